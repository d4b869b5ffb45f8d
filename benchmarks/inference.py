"""A two-stage bundle on a CT of 512 x 512 x 300, from array to labels: ours, plain torch, MONAI's sliding
window.

   python benchmarks/inference.py                          # synthetic CT, networks of paper 5's sizes;
                                                           # about six minutes on two cores
   python benchmarks/inference.py --write docs/speed.md    # also writes the table there
   python benchmarks/inference.py --bundle headneck-ct-scn CT.nii.gz
   python benchmarks/inference.py --device cuda

Every way runs in processes of its own, in turn, and the best of its rounds counts. The plain script runs the
same two networks once each, as a user of torch would write it: F.interpolate before and after, classes
compared at full resolution one after the other; in float32 with torch's own layout, and, where bfloat16 is
the faster precision, under autocast with channels last. MONAI's inferer gets the arrays of our preprocessing,
and only the networks with the inferer are timed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from benchmarks.speed.made import made_ct, two_stage
from benchmarks.speed.measuring import (
    MEGABYTE,
    ceiling,
    dice,
    in_a_child,
    loaded,
    machine,
    peak_bytes,
    stored,
    timed,
    write_section,
)
from ctseg_imaging.geometry import Shape
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Volume
from ctseg_models.bundles import store
from ctseg_models.bundles.own.bundle import OwnBundle, read_own
from ctseg_models.contract.lattice import Lattice, Region, ViewBox
from ctseg_models.contract.plan import StagePlan
from ctseg_models.contract.prediction import Prediction
from ctseg_models.contract.upright import Upright
from ctseg_models.inference import InferenceSettings, run
from ctseg_models.inference.input.preprocess import network_input
from ctseg_models.inference.network.precision import choose
from ctseg_models.networks.probabilities import Probabilities
from ctseg_models.process_memory import prepare_process

HEADING = "Two stages of paper 5"
WINDOW, OVERLAP, WINDOWS_AT_ONCE = (96, 96, 96), 0.5, 4
RUNS = 2  # of each process: the first one includes one-time work
AIMS = {"plain": 2.0, "monai": 8.0, "share": 0.6, "beyond": 2.5e9}
Result = dict[str, Any]


def ours(
    bundle: OwnBundle,
    volume: Volume,
    chosen: argparse.Namespace,
    labels: Path,
    precision: Literal["auto", "fp32"] = "auto",
) -> Result:
    """`inference.run`, and the networks' speed next to a bare convolution's. precision : "auto" is the one
    that is faster here.
    """
    dtype = choose(precision, chosen.device).dtype
    settings = InferenceSettings(
        device=chosen.device, precision="fp32" if dtype == torch.float32 else "bf16", threads=chosen.threads
    )
    results = [
        timed(lambda: finish(run(bundle, volume, settings=settings)), chosen.device) for _ in range(RUNS)
    ]
    peak = peak_bytes()
    prediction, seconds = min(results, key=lambda pair: pair[1])
    np.save(labels, prediction.labels.array)
    stages = prediction.provenance["stages"]
    flops = sum(
        stage.flops(tuple(log["size"])) for stage, log in zip(bundle.load().stages, stages, strict=True)
    )
    network = sum(log["seconds"]["network"] for log in stages)
    best = ceiling(dtype, chosen.device, tuple(stages[-1]["size"][1:]))
    return {
        "seconds": seconds,
        "network": network,
        "flops": flops,
        "ceiling": best,
        "peak": peak,
        "dtype": str(dtype),
        "times": prediction.provenance["seconds"],
        "sizes": [log["size"] for log in stages],
        "box": box_of(prediction),
    }


def box_of(prediction: Prediction) -> list[list[int]]:
    """[start, stop) of the region of interest in stored voxels; the whole volume without one."""
    if not prediction.roi_boxes:
        return [[0, 0, 0], list(prediction.labels.geometry.shape)]
    return [list(prediction.roi_boxes[0].start), list(prediction.roi_boxes[0].stop)]


def plain(
    bundle: OwnBundle, volume: Volume, chosen: argparse.Namespace, labels: Path, autocast: bool = False
) -> Result:
    """The same two networks, once each, in plain torch. autocast : to bfloat16, with channels last."""
    networks = [bundle.network(stage.name).to(chosen.device).requires_grad_(False) for stage in bundle.stages]
    if autocast:
        for network in networks:
            network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    with torch.autocast(chosen.device.split(":")[0], torch.bfloat16, enabled=autocast):
        results = [
            timed(lambda: plain_labels(bundle, volume, networks, chosen.device), chosen.device)
            for _ in range(RUNS)
        ]
    peak = peak_bytes()
    found, seconds = min(results, key=lambda pair: pair[1])
    np.save(labels, found)
    return {"seconds": seconds, "peak": peak}


def plain_labels(
    bundle: OwnBundle, volume: Volume, networks: list[torch.nn.Module], device: str
) -> NDArray[np.uint8]:
    """Localise, crop, segment, and the labels at full resolution; boxes are rounded to voxels."""
    spacing = np.array(volume.geometry.spacing_mm)
    image = torch.from_numpy(volume.array)[None, None].to(device).float()
    plans = [stage.plan for stage in bundle.stages]
    box = ViewBox.whole(volume.geometry)
    if len(plans) == 2:
        lattice = plans[0].lattice(box, divide_evenly=True)
        count = [round(e / s) for e, s in zip(box.extent, lattice.spacing_mm, strict=True)]
        before = [(n - c) // 2 for n, c in zip(lattice.shape, count, strict=True)]
        sides = [
            side
            for n, c, b in reversed(list(zip(lattice.shape, count, before, strict=True)))
            for side in (b, n - c - b)
        ]
        coarse = F.pad(F.interpolate(image, size=count, mode="area"), sides, value=plans[0].pad)
        seen = networks[0](scaled(coarse, plans[0]))[0].argmax(dim=0).nonzero().cpu().numpy()
        step, low = np.array(lattice.spacing_mm), np.array(lattice.low_mm)
        ends = (
            seen.min(axis=0) * step + low - plans[0].margin_mm,
            (seen.max(axis=0) + 1) * step + low + plans[0].margin_mm,
        )
        box = ViewBox(tuple(ends[0]), tuple(ends[1])).cut(box)
    lattice = plans[-1].lattice(box, divide_evenly=False)
    start = np.maximum(0, np.round(np.array(lattice.low_mm) / spacing)).astype(int)
    stop = np.minimum(volume.geometry.shape, np.round(np.array(lattice.box.high) / spacing)).astype(int)
    place = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    crop = F.interpolate(image[:, :, place[0], place[1], place[2]], size=lattice.shape, mode="area")
    maps = Probabilities(networks[-1])(scaled(crop, plans[-1]))
    best, labels = (
        torch.zeros((), device=device),
        torch.zeros([int(n) for n in stop - start], dtype=torch.uint8, device=device),
    )
    for value in range(maps.shape[1]):
        chance = F.interpolate(maps[:, value : value + 1], size=labels.shape, mode="trilinear")[0, 0]
        labels[chance > best] = value
        best = torch.maximum(best, chance)
    out = np.zeros(volume.array.shape, np.uint8)
    out[place] = labels.cpu().numpy()
    return out


def scaled(x: Tensor, plan: StagePlan) -> Tensor:
    """The bundle's intensities, for bundles that clip and scale by fixed numbers."""
    one = plan.channels[0]
    return (x.clamp(one.clip_low, one.clip_high) - one.shift) / one.scale


def monai(bundle: OwnBundle, volume: Volume, chosen: argparse.Namespace, labels: Path) -> Result:
    """MONAI's inferer with its defaults on our arrays: the networks alone."""
    total = 0.0
    upright = Upright.of(volume)
    for stage in bundle.stages:
        network = Probabilities(bundle.network(stage.name).to(chosen.device).requires_grad_(False))
        x = array_of(stage.plan, stage.name == "localise", chosen.box, upright).to(chosen.device)
        _, seconds = timed(
            lambda n=network, a=x: sliding_window_inference(a, WINDOW, WINDOWS_AT_ONCE, n, overlap=OVERLAP),  # type: ignore[misc]
            chosen.device,
        )
        total += seconds
    return {"seconds": total, "peak": peak_bytes()}


def array_of(plan: StagePlan, whole: bool, box: list[Shape], upright: Upright) -> Tensor:
    """A network's input by our preprocessing: of the whole volume, or of a box of stored voxels."""
    wanted = (
        ViewBox.whole(upright.geometry)
        if whole
        else Region.from_index(upright.volume.geometry, *box).box(upright.geometry)
    )
    lattice: Lattice = plan.lattice(wanted, divide_evenly=whole)
    view = upright.view.apply(upright.volume.array)
    return finish(network_input(view, upright.geometry.spacing_mm, lattice, plan))


WAYS: dict[str, Callable[..., Result]] = {
    "ours": ours,
    "ours_fp32": partial(ours, precision="fp32"),
    "plain": plain,
    "plain_bf16": partial(plain, autocast=True),
    "monai": monai,
}
HALF = ("ours_fp32", "plain_bf16")  # these tell something new only where bfloat16 is the faster precision


def child(chosen: argparse.Namespace) -> None:
    """One way in this process; prints what was measured."""
    if chosen.way.startswith("ours"):
        prepare_process()
    torch.set_num_threads(chosen.threads)
    volume = loaded(chosen.folder / "ct.npy")
    chosen.box = json.loads(chosen.box)
    with torch.inference_mode():
        found = WAYS[chosen.way](
            read_own(chosen.bundle_folder), volume, chosen, chosen.folder / f"{chosen.way}.npy"
        )
    if chosen.device.startswith("cuda"):
        found["gpu_peak"] = torch.cuda.max_memory_allocated(chosen.device)
    print(json.dumps(found))


def compare(bundle: OwnBundle, folder: Path, chosen: argparse.Namespace) -> str:
    """Run all ways in turn and report."""
    best: dict[str, Result] = {}
    box = "null"
    halves = choose("auto", chosen.device).dtype != torch.float32
    ways = [way for way in WAYS if halves or way not in HALF]
    for turn in range(chosen.rounds):
        for way in ways if turn == 0 else [way for way in ways if way != "monai"]:
            arguments = [
                "--way",
                way,
                "--folder",
                str(folder),
                "--bundle-folder",
                str(bundle.path),
                "--box",
                box,
                "--device",
                chosen.device,
                "--threads",
                str(chosen.threads),
            ]
            found = in_a_child(__file__, arguments)
            box = json.dumps(found["box"]) if way == "ours" else box
            print(f"{way}: {found['seconds']:.2f} s", flush=True)
            if way not in best or found["seconds"] < best[way]["seconds"]:
                best[way] = found
    return summary(best, folder, chosen)


def summary(best: dict[str, Result], folder: Path, chosen: argparse.Namespace) -> str:
    """The table and the sentences below it."""
    mine, volume = best["ours"], loaded(folder / "ct.npy")
    names = {
        "ours": f"ours ({mine['dtype'].removeprefix('torch.')})",
        "ours_fp32": "ours (float32)",
        "plain": "the two networks once, plain torch, float32",
        "plain_bf16": "the two networks once, plain torch, autocast to bfloat16, channels last",
        "monai": f"MONAI sliding window {WINDOW[0]}³, overlap {OVERLAP}, float32 (networks alone)",
    }
    rows = [
        "| way | ms | times ours | peak RSS beyond the volume, MB |"
        + (" peak GPU, MB |" if "gpu_peak" in mine else "")
    ]
    rows.append("|---|---|---|---|" + ("---|" if "gpu_peak" in mine else ""))
    for way, found in best.items():
        row = (
            f"| {names[way]} | {1000 * found['seconds']:.0f} | {found['seconds'] / mine['seconds']:.1f} | "
            f"{(found['peak'] - volume.array.nbytes) / MEGABYTE:.0f} |"
        )
        rows.append(row + (f" {found['gpu_peak'] / MEGABYTE:.0f} |" if "gpu_peak" in found else ""))
    share = mine["flops"] / mine["network"] / mine["ceiling"]
    labels = {way: np.load(folder / f"{way}.npy") for way in ("ours", "plain")}
    alike = float(np.mean(labels["ours"] == labels["plain"]))
    size = " x ".join(str(n) for n in volume.array.shape)
    shapes = " and ".join(" x ".join(str(n) for n in size) for size in mine["sizes"])
    parts = ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in mine["times"].items())
    beyond = mine["peak"] - volume.array.nbytes
    return "\n".join(
        [
            f"{machine(chosen.threads, chosen.device)} A CT of {size} voxels, the networks on {shapes}; from "
            f"array to labels, the best of {chosen.rounds} processes each (MONAI: of one).\n",
            *rows,
            "",
            f"Ours: {parts}. The networks reach {mine['flops'] / mine['network'] / 1e9:.0f} Gflop/s, "
            f"{100 * share:.0f} % of the {mine['ceiling'] / 1e9:.0f} of the fastest bare convolution. "
            f"{100 * alike:.2f} % of the labels are the plain script's, which rounds its box to voxels (Dice "
            f"{', '.join(f'{d:.3f}' for d in dice(labels['ours'], labels['plain']).values())}).\n",
            verdict(
                "at least twice as fast as plain torch",
                best["plain"]["seconds"] / mine["seconds"] >= AIMS["plain"],
            ),
            verdict(
                "at least eight times as fast as MONAI's sliding window",
                best["monai"]["seconds"] / mine["seconds"] >= AIMS["monai"],
            ),
            verdict("the networks at 60 % of a bare convolution or more", share >= AIMS["share"]),
            verdict("at most 2.5 GB beyond the volume", beyond <= AIMS["beyond"]),
        ]
    )


def verdict(aim: str, met: bool) -> str:
    """A line of the list of aims."""
    return f"- {aim}: {'yes' if met else 'no'}"


def main() -> None:
    """Print, and with --write put on a page, the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--bundle")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--bundle-folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--box", default="null", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.way is not None:
        child(chosen)
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        if chosen.image is None:
            volume = made_ct()
        else:
            from ctseg_imaging import formats

            volume = formats.read(chosen.image)
        stored(volume, folder / "ct.npy")
        bundle = store.find(chosen.bundle) if chosen.bundle else two_stage(folder)
        if not isinstance(bundle, OwnBundle):
            raise SystemExit(
                "Name a bundle of this project; a TorchScript or ONNX file has no network to hand to MONAI."
            )
        text = compare(bundle, folder, chosen)
    print(f"\n{text}")
    if chosen.write is not None:
        write_section(chosen.write, HEADING, f"Made by `benchmarks/inference.py`. {text}\n")


if __name__ == "__main__":
    main()
