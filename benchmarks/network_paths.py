"""Is each hand-written way to run a network worth its lines? Time and memory of whole runs in each way.

   python benchmarks/network_paths.py                  # both cases, in every precision that is fast here
   python benchmarks/network_paths.py --threads 1      # CPU time then is meaningful on a shared machine
   python benchmarks/network_paths.py --write docs/speed.md

Two cases on a CT of 512 x 512 x 300: the two stages of paper 5 (`benchmarks/inference.py`) and an nnU-Net
results folder without mirroring (`benchmarks/nnunet_folder.py`). Resampling, windows and export are ours in
every way; only how the networks run differs:

- slabs: as shipped, `scn_slab_runner` and `bundles/nnunet/slab_runner`;
- generic: any network unchanged, its long operations cut, `interruptible.watched`;
- plain torch: `network(x)`, channels last, under autocast in half precision.

Every way runs in processes of its own, in turn; the best of its rounds counts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.nnunet_folder import results_folder
from benchmarks.speed.made import made_ct, two_stage
from benchmarks.speed.measuring import (
    MEGABYTE,
    in_a_child,
    loaded,
    machine,
    peak_bytes,
    stored,
    write_section,
)
from ctseg_imaging.progress import finish
from ctseg_models.bundles.nnunet import folds, slab_runner
from ctseg_models.bundles.nnunet.bundle import read_nnunet
from ctseg_models.bundles.own.bundle import read_own
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.inference import InferenceSettings, run
from ctseg_models.inference.network import scn_slab_runner
from ctseg_models.inference.network.interruptible import watched
from ctseg_models.inference.network.precision import choose
from ctseg_models.inference.network.whole_network import NetworkRunner
from ctseg_models.networks.probabilities import Probabilities
from ctseg_models.process_memory import prepare_process

HEADING = "One way to run a network next to the other"
CASES = {"two-stage": "two stages of paper 5", "nnunet": "nnU-Net folder"}
WAYS = {
    "slabs": "slabs",
    "generic": "generic",
    "plain": "plain torch",
}
STEPS_OF = scn_slab_runner.steps_of
Result = dict[str, Any]


def plain_maps(network: nn.Module, x: Tensor, arithmetic: Arithmetic) -> Tensor:
    """(1, C, z, y, x) to what the network returns, as a user of torch would run it."""
    half = arithmetic.dtype != torch.float32
    with (
        torch.inference_mode(),
        torch.autocast(x.device.type, dtype=arithmetic.dtype if half else torch.bfloat16, enabled=half),
    ):
        maps: Tensor = network(x.contiguous(memory_format=torch.channels_last_3d))
    return maps


def own_network(network: nn.Module, cut: bool) -> NetworkRunner:
    """A network of paper 5 without our slabs: the probabilities of one call. cut : in the generic way."""
    network.requires_grad_(False).eval().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    flops = STEPS_OF(network).flops
    probabilities = Probabilities(network)

    def steps(x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
        def call() -> Tensor:
            return plain_maps(probabilities, x, arithmetic)[0].float()

        if cut:
            work = flops((x.shape[2], x.shape[3], x.shape[4]))
            return (yield from watched(call, flops=work, step_flops=arithmetic.step_flops))
        yield 1.0
        return call()

    return NetworkRunner(steps, flops)


def plain_logits(
    network: nn.Module, flat: bool, flops: float, x: Tensor, arithmetic: Arithmetic
) -> Generator[float, None, Tensor]:
    """What `folds.network_logits` returns."""
    assert not flat
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    yield 1.0
    return plain_maps(network, x, arithmetic)[0].float().contiguous()


@contextmanager
def patched(way: str) -> Iterator[None]:
    """The networks run in this way while it is open."""
    if way == "generic":
        with (
            mock.patch.object(scn_slab_runner, "steps_of", partial(own_network, cut=True)),
            mock.patch.object(slab_runner, "runs_in_slabs", return_value=False),
        ):
            yield
    elif way == "plain":
        with (
            mock.patch.object(scn_slab_runner, "steps_of", partial(own_network, cut=False)),
            mock.patch.object(folds, "network_logits", plain_logits),
        ):
            yield
    else:
        yield


def child(chosen: argparse.Namespace) -> None:
    """One run in this process; prints the measurements."""
    prepare_process()
    torch.set_num_threads(chosen.threads)
    volume = loaded(chosen.folder / "ct.npy")
    settings = InferenceSettings(precision=chosen.precision, threads=chosen.threads)
    bundle = read_own(chosen.model) if chosen.case == "two-stage" else read_nnunet(chosen.model)
    begun, cpu = time.perf_counter(), time.process_time()
    with patched(chosen.way):
        prediction = finish(run(bundle, volume, settings=settings))
    found = {
        "seconds": time.perf_counter() - begun,
        "cpu": time.process_time() - cpu,
        "peak": peak_bytes() - volume.array.nbytes,
        "labels": int(prediction.labels.array.astype("int64").sum()),
    }
    print(json.dumps(found))


def compare(folder: Path, chosen: argparse.Namespace) -> str:
    """All ways of all cases in turn."""
    stored(made_ct(), folder / "ct.npy")
    models = {"two-stage": two_stage(folder).path, "nnunet": results_folder(folder)}
    fast = choose("auto", "cpu").dtype != torch.float32
    precisions = ("bf16", "fp32") if fast else ("fp32",)
    best: dict[tuple[str, str, str], Result] = {}
    for _ in range(chosen.rounds):
        for case in chosen.cases:
            for precision in precisions:
                for way in WAYS:
                    found = in_a_child(
                        __file__, arguments(folder, models[case], case, precision, way, chosen)
                    )
                    key = case, precision, way
                    best[key] = {
                        name: min(value, best.get(key, found)[name]) for name, value in found.items()
                    }
                    print(key, {name: round(value, 2) for name, value in found.items()}, flush=True)
    return table(best, chosen.threads)


def arguments(
    folder: Path, model: Path, case: str, precision: str, way: str, chosen: argparse.Namespace
) -> list[str]:
    """The command line of one run."""
    given = {"--folder": folder, "--model": model, "--case": case, "--precision": precision, "--way": way}
    return [str(part) for pair in {**given, "--threads": chosen.threads}.items() for part in pair]


def table(best: dict[tuple[str, str, str], Result], threads: int) -> str:
    """Seconds, CPU seconds and memory, and what the slabs save compared to each other way."""
    rows = [
        "| case | precision | way | seconds | CPU seconds | peak RSS beyond the volume, MB "
        "| slabs save time | slabs save memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (case, precision, way), found in best.items():
        slabs = best[case, precision, "slabs"]
        saved = [f"{100 * (1 - slabs[name] / found[name]):.0f} %" for name in ("cpu", "peak")]
        rows.append(
            f"| {CASES[case]} | {precision} | {WAYS[way]} | {found['seconds']:.2f} | {found['cpu']:.2f} "
            f"| {found['peak'] / MEGABYTE:.0f} | " + " | ".join(saved if way != "slabs" else ["", ""]) + " |"
        )
    return "\n".join([f"{machine(threads, 'cpu')} The time saved is CPU time.\n", *rows])


def main() -> None:
    """Print the table; with --write, put it on a page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--write", type=Path)
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--case", choices=list(CASES), help=argparse.SUPPRESS)
    parser.add_argument("--precision", choices=["bf16", "fp32"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.way is not None:
        child(chosen)
        return
    with tempfile.TemporaryDirectory() as made:
        text = compare(Path(made), chosen)
    print(f"\n{text}")
    if chosen.write is not None:
        write_section(chosen.write, HEADING, f"Made by `benchmarks/network_paths.py`. {text}\n")


if __name__ == "__main__":
    main()
