"""Our inference against MONAI's sliding window: the same networks, the same crop and spacing, one run.

    python benchmarks/inference.py                                   # an untrained SCN of paper 5 and a made-up CT of 512 x 512 x 150
    python benchmarks/inference.py --bundle headneck-ct-scn CT.nii.gz

Both get the array that our preprocessing made (the region of interest at the bundle's spacing) and give class probabilities for it;
what is timed is the network with its inferer. A third line is MONAI's inferer with one window as large as the array.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from monai.inferers import sliding_window_inference

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Labels, Volume
from ctseg_models.bundles import store
from ctseg_models.bundles.metadata import Intensity, Sizes, Stage
from ctseg_models.bundles.own import OwnBundle, build_network, write_bundle
from ctseg_models.inference import Settings, run
from ctseg_models.inference.arithmetic import choose
from ctseg_models.inference.lattice import Box
from ctseg_models.inference.preprocess import network_input
from ctseg_models.inference.stepwise import steps_of
from ctseg_models.inference.upright import Upright
from ctseg_models.networks.probabilities import Probabilities


def untrained(folder: Path) -> OwnBundle:
    """Paper 5's SCN with random weights at its sizes and spacing."""
    torch.manual_seed(0)
    stage = Stage(name="segment", network="scn", config={"norm": "instance"}, spacing_mm=(2, 2, 2), outputs=5,
                  sizes=Sizes(min=(32, 32, 32), max=(160, 128, 160), step=(16, 16, 16)),
                  intensity=Intensity(clip_low=-2048, clip_high=2048, scale=2048))
    return write_bundle(folder / "untrained", name="untrained", stages=[stage], weights={"segment": build_network(stage).state_dict()},
                        labels=Labels.from_names({k: f"organ {k}" for k in range(1, 5)}), card="# Untrained\n")


def made_up_ct() -> Volume:
    """512 x 512 x 150 at 0.8 x 0.8 x 2.5 mm of soft noise."""
    rng = np.random.default_rng(0)
    return Volume(rng.integers(-1000, 400, (150, 512, 512), dtype=np.int16), Geometry.from_parts((150, 512, 512), (2.5, 0.8, 0.8)),
                  modality="CT")


def main() -> None:
    """Print one line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--bundle")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--patch", type=int, nargs=3, default=(96, 96, 96), help="MONAI's window (z, y, x)")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.image is not None:
        from ctseg_imaging import formats

        volume = formats.read(chosen.image)
    else:
        volume = made_up_ct()
    with tempfile.TemporaryDirectory() as folder:
        bundle = store.find(chosen.bundle) if chosen.bundle else untrained(Path(folder))
        if not isinstance(bundle, OwnBundle):
            raise SystemExit("Name a bundle of this project; a TorchScript or ONNX file has no network to hand to MONAI.")
        compare(bundle, volume, chosen)


def compare(bundle: OwnBundle, volume: Volume, chosen: argparse.Namespace) -> None:
    """Time all ways on one array."""
    settings = Settings(device=chosen.device, precision=chosen.precision, threads=chosen.threads)
    begun = time.perf_counter()
    prediction = finish(run(bundle, volume, settings=settings))
    print(f"{'our run, array to labels':<44}{time.perf_counter() - begun:8.2f} s   {prediction.provenance['seconds']}")

    x, stage = crop_of(bundle, volume, prediction.provenance["roi"])
    x = x.to(chosen.device)
    print(f"the segmenter's input: {tuple(x.shape[2:])} voxels")
    network = bundle.network("segment").to(chosen.device).requires_grad_(False)
    arithmetic = choose(chosen.precision, chosen.device)
    ours, seconds = timed(lambda: finish(steps_of(network).steps(x, arithmetic)))
    print(f"{f'ours, whole, in steps, {arithmetic.dtype}':<44}{seconds:8.2f} s")

    for name, dtype in (("float32", None), ("autocast bf16", torch.bfloat16)):
        if dtype is not None and arithmetic.dtype != torch.bfloat16:
            continue
        for window, told in ((tuple(chosen.patch), "sliding window"), (tuple(x.shape[2:]), "one window")):
            theirs, seconds = timed(lambda w=window, d=dtype: monai_way(network, x, w, stage.overlap, d))  # type: ignore[misc]
            same = (theirs[0].argmax(dim=0) == ours.argmax(dim=0)).float().mean()
            print(f"{f'MONAI, {told} {window}, {name}':<64}{seconds:8.2f} s   {100 * same:.2f} % of labels as ours")


def crop_of(bundle: OwnBundle, volume: Volume, roi: list[dict[str, list[int]]]) -> tuple[torch.Tensor, Stage]:
    """The array that the segmenter sees, over the box that the localiser gave (all of the volume without one)."""
    upright = Upright.of(volume)
    plan = bundle.load().stages[-1].plan
    box = Box.whole(upright.geometry)
    if roi:
        from ctseg_models.inference import Region

        start, stop = roi[0]["start"], roi[0]["stop"]
        box = Region.from_index(volume.geometry, (start[0], start[1], start[2]), (stop[0], stop[1], stop[2])).box(upright.geometry)
    lattice = plan.lattice(box, divide_evenly=not roi)
    view = upright.view.apply(volume.array)
    return finish(network_input(view, upright.geometry.spacing_mm, lattice, plan)), bundle.stage("segment")  # type: ignore[arg-type]


def monai_way(network: torch.nn.Module, x: torch.Tensor, window: tuple[int, ...], overlap: float,
              dtype: torch.dtype | None) -> torch.Tensor:
    """MONAI's inferer over the bare network."""
    with torch.inference_mode(), torch.autocast(x.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        result = sliding_window_inference(x, window, 1, Probabilities(network), overlap=overlap, mode="gaussian")
    assert isinstance(result, torch.Tensor)
    return result.float()


def timed(call):  # type: ignore[no-untyped-def]
    """(result, seconds), after the device has finished."""
    begun = time.perf_counter()
    result = call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - begun


if __name__ == "__main__":
    main()
