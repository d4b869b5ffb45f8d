"""An nnU-Net v2 results folder of realistic size on a CT of 512 x 512 x 300: time, memory, share of
convolutions.

   python benchmarks/nnunet_folder.py    # about three minutes on two cores with fast bf16
   python benchmarks/nnunet_folder.py --write docs/speed.md
   python benchmarks/nnunet_folder.py --device cuda

The folder is made as nnU-Net writes it: a PlainConvUNet of the default six stages of 32 to 320 features at 3
mm with windows of 128 x 128 x 128 (as in TotalSegmentator's fast model, with its 24 organs), and random
weights. Mirroring takes eight times as long: it is measured where that takes minutes, and otherwise
extrapolated from one window; the table tells which.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.speed.made import made_ct
from benchmarks.speed.measuring import (
    MEGABYTE,
    in_a_child,
    loaded,
    machine,
    peak_bytes,
    stored,
    timed,
    write_section,
)
from ctseg_imaging.progress import finish
from ctseg_models.bundles.nnunet import folds, slab_runner
from ctseg_models.bundles.nnunet.bundle import read_nnunet
from ctseg_models.bundles.nnunet.network import empty_network
from ctseg_models.bundles.nnunet.plans import Documents
from ctseg_models.inference import InferenceSettings, run
from ctseg_models.inference.network import convolution
from ctseg_models.inference.network.precision import choose
from ctseg_models.process_memory import prepare_process

HEADING = "An nnU-Net results folder"
FEATURES = (32, 64, 128, 256, 320, 320)
PATCH, SPACING_MM, ORGANS, MIRRORINGS = (128, 128, 128), 3.0, 24, 8
CONVOLUTIONS = (nn.Conv3d, nn.ConvTranspose3d)
PATIENCE_S = 480.0  # a run with mirroring that would take longer is extrapolated
NETWORK_LOGITS = folds.network_logits
BACKGROUND_LOGIT = 1.2  # with heads this small, most voxels are background, as in a body

Result = dict[str, Any]


class Stopwatch:
    """Wall-clock seconds in convolutions (transposed ones too) and in whole networks."""

    def __init__(self) -> None:
        self.convolutions = self.networks = 0.0

    @contextmanager
    def watching(self) -> Generator[None]:
        """While this is open, convolutions and networks are timed."""
        with (
            mock.patch.object(convolution, "conv3d", self._convolution(convolution.conv3d)),
            mock.patch.object(convolution, "add_conv3d", self._convolution(convolution.add_conv3d)),
            mock.patch.object(
                slab_runner.TransposedConvolution,
                "blocks",
                self._convolution(slab_runner.TransposedConvolution.blocks),
            ),
            mock.patch.object(folds, "network_logits", self._network),
        ):
            yield

    def _convolution(self, compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def timed_one(*arguments: Any) -> Tensor:
            begun = time.perf_counter()
            made = compute(*arguments)
            self.convolutions += time.perf_counter() - begun
            return made

        return timed_one

    def _network(self, *arguments: Any) -> Generator[float, None, Tensor]:
        """`network_logits`, without the time between two steps."""
        begun = time.perf_counter()
        logits = yield from NETWORK_LOGITS(*arguments)
        self.networks += time.perf_counter() - begun
        return logits


def results_folder(folder: Path) -> Path:
    """plans.json, dataset.json and one fold, as nnU-Net writes them; random weights."""
    made = folder / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    (made / "fold_0").mkdir(parents=True)
    stages = len(FEATURES)
    architecture = {
        "n_stages": stages,
        "features_per_stage": FEATURES,
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3] * 3] * stages,
        "strides": [[1] * 3, *[[2] * 3] * (stages - 1)],
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    splines = {"order": 3, "order_z": 0, "force_separate_z": None, "is_seg": False}
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": PATCH,
        "spacing": [SPACING_MM] * 3,
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": splines,
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_seg_kwargs": {**splines, "order": 1, "is_seg": True},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**splines, "order": 1},
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": architecture,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    intensities = {
        "mean": -20.0,
        "std": 250.0,
        "median": 10.0,
        "min": -1024.0,
        "max": 3000.0,
        "percentile_00_5": -1000.0,
        "percentile_99_5": 900.0,
    }
    plans = {
        "dataset_name": "Dataset900_Made",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "experiment_planner_used": "ExperimentPlanner",
        "configurations": {"3d_fullres": configuration},
        "foreground_intensity_properties_per_channel": {"0": intensities},
    }
    labels = {"background": 0} | {f"organ_{k}": k for k in range(1, 1 + ORGANS)}
    (made / "plans.json").write_text(json.dumps(plans), encoding="utf-8")
    (made / "dataset.json").write_text(
        json.dumps(
            {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"}
        ),
        encoding="utf-8",
    )
    torch.save(
        {
            "network_weights": random_weights(made),
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": (0, 1, 2),
            "init_args": {"configuration": "3d_fullres", "fold": 0},
        },
        made / "fold_0" / "checkpoint_final.pth",
    )
    return made


def random_weights(folder: Path) -> dict[str, Tensor]:
    """Weights of the network that the plans describe: He's for the convolutions, small heads."""
    torch.manual_seed(0)
    network = empty_network(Documents.read(folder).plan("3d_fullres")).to_empty(device="cpu")
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS):
            head = module.out_channels == 1 + ORGANS
            nn.init.normal_(module.weight, std=0.1 if head else (2 / module.weight[0].numel()) ** 0.5)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
            if head:
                module.bias[0] = BACKGROUND_LOGIT
        elif isinstance(module, nn.InstanceNorm3d):
            module.reset_parameters()
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def child(chosen: argparse.Namespace) -> None:
    """One run in this process; prints the measurements."""
    prepare_process()
    torch.set_num_threads(chosen.threads)
    volume = loaded(chosen.folder / "ct.npy")
    fast = choose("auto", chosen.device).dtype != torch.float32
    settings = InferenceSettings(
        device=chosen.device,
        precision="bf16" if fast else "fp32",
        threads=chosen.threads,
        mirroring=chosen.way == "mirrored",
    )
    bundle = read_nnunet(chosen.results)
    watch = Stopwatch()
    with watch.watching():
        prediction, seconds = timed(lambda: finish(run(bundle, volume, settings=settings)), chosen.device)
    times, log = prediction.provenance["seconds"], prediction.provenance["stages"][-1]
    found = {
        "seconds": seconds,
        "peak": peak_bytes(),
        "convolutions": watch.convolutions,
        "networks": watch.networks,
        "load": times["load"],
        "resample": log["seconds"]["resample"],
        "size": log["size"],
        "fast": fast,
    }
    if chosen.device.startswith("cuda"):
        found["gpu_peak"] = torch.cuda.max_memory_allocated(chosen.device)
    print(json.dumps(found))


def compare(folder: Path, chosen: argparse.Namespace) -> str:
    """Without and with mirroring."""
    results = results_folder(folder)
    arguments = [
        "--folder",
        str(folder),
        "--results",
        str(results),
        "--device",
        chosen.device,
        "--threads",
        str(chosen.threads),
        "--way",
    ]
    once: Result = in_a_child(__file__, [*arguments, "once"])
    reckoned = {
        **once,
        "seconds": once["seconds"] + (MIRRORINGS - 1) * once["networks"],
        "networks": MIRRORINGS * once["networks"],
        "convolutions": MIRRORINGS * once["convolutions"],
        "peak": None,
    }
    too_long = reckoned["seconds"] > PATIENCE_S or chosen.device.startswith("cuda")
    mirrored: Result = (
        reckoned if chosen.no_mirroring or too_long else in_a_child(__file__, [*arguments, "mirrored"])
    )
    volume_bytes = loaded(folder / "ct.npy").array.nbytes
    gpu = "gpu_peak" in once
    columns = [
        "",
        "seconds",
        "network",
        "convolution",
        "resampling",
        "export and the rest",
        "peak RSS beyond the volume, MB",
    ]
    rows = [*columns, "peak GPU, MB"] if gpu else columns
    lines = ["| " + " | ".join(rows) + " |", "|" + "---|" * len(rows)]
    for name, found in (
        ("mirroring off", once),
        ("mirroring on" + (" (reckoned)" if mirrored is reckoned else ""), mirrored),
    ):
        lines.append(row(name, found, volume_bytes, gpu))
    rest = (once["seconds"] - once["load"] - once["networks"]) / once["seconds"]
    return "\n".join(
        [
            f"{machine(chosen.threads, chosen.device)} {'bfloat16' if once['fast'] else 'float32'}; "
            f"{1 + ORGANS} classes, {' x '.join(map(str, once['size']))} voxels of {SPACING_MM:g} mm in "
            f"windows of {' x '.join(map(str, PATCH))}.\n",
            *lines,
            "",
            f"- resampling and export under 15 % without mirroring: {'yes' if rest < 0.15 else 'no'} "
            f"({100 * rest:.0f} %)",
        ]
    )


def row(name: str, found: Result, volume_bytes: int, gpu: bool) -> str:
    """Percentages of the whole."""
    seconds = found["seconds"]
    rest = seconds - found["load"] - found["networks"] - found["resample"]
    shares = [found["networks"], found["convolutions"], found["resample"], rest]
    peak = "not measured" if found["peak"] is None else f"{(found['peak'] - volume_bytes) / MEGABYTE:.0f}"
    cells = [name, f"{seconds:.1f}", *(f"{100 * share / seconds:.0f} %" for share in shares), peak]
    return "| " + " | ".join([*cells, f"{found['gpu_peak'] / MEGABYTE:.0f}"] if gpu else cells) + " |"


def main() -> None:
    """Print the table; with --write, put it on a page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-mirroring", action="store_true", help="reckon it")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--way", choices=["once", "mirrored"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--results", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.way is not None:
        child(chosen)
        return
    with tempfile.TemporaryDirectory() as made:
        stored(made_ct(), Path(made) / "ct.npy")
        text = compare(Path(made), chosen)
    print(text)
    if chosen.write is not None:
        write_section(chosen.write, HEADING, f"Made by `benchmarks/nnunet_folder.py`. {text}\n")


if __name__ == "__main__":
    main()
