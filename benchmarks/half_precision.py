"""Where torch's bfloat16 convolutions on this processor are wrong: small random ones against float64.

   python benchmarks/half_precision.py --isa AVX512_CORE_AMX --isa AVX512_CORE_BF16 --count 2000 \
       --out found.jsonl

Each line of the output is one convolution under one instruction set (`ONEDNN_MAX_CPU_ISA`) with the relative
errors of its output, its input gradient, its weight gradient and its bias gradient; "slow" where it exceeded
the time limit. The convolutions follow from the seed, so the same command continues an interrupted run.
`--quick` checks 300.

The convolutions run in a worker process, which is replaced when one of them exceeds the time limit or
crashes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import selectors
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ISAS = ("AVX512_CORE_AMX", "AVX512_CORE_BF16", "AVX512_CORE", "AVX2")
WRONG = 0.03  # relative error; rounding to bfloat16 alone gives up to 0.006
SECONDS = 20.0  # for one convolution
Shape = dict[str, Any]


def shapes(seed: int) -> Iterator[Shape]:
    """Endless random convolutions; a shape in `size` has the axes (z, y, x) or (y, x)."""
    rng = random.Random(seed)
    while True:
        axes = rng.choice((2, 3, 3))
        kernel = [rng.choice((1, 2, 3, 3, 5, 7))] * axes
        if rng.random() < 0.3:
            kernel = [rng.choice((1, 3, 5)) for _ in range(axes)]
        dilation = rng.choice((1, 1, 1, 2))
        padding = [rng.choice((dilation * (k // 2), dilation * (k // 2), 0)) for k in kernel]
        size = [rng.choice((1, 2, 3, 4, 5, 6, 7, 9, 16)) for _ in kernel]
        channels = [rng.choice((1, 2, 3, 8, 16, 32, 33)) for _ in range(2)]
        groups = rng.choice((1, 1, 1, 1, channels[0]))
        out = channels[1] if groups == 1 else groups
        stride = [rng.choice((1, 1, 2)) for _ in kernel] if rng.random() < 0.5 else [1] * axes
        transposed = rng.random() < 0.2
        if not transposed and any(
            n + 2 * p < d
            for n, p, d in zip(size, padding, (dilation * (k - 1) + 1 for k in kernel), strict=True)
        ):
            continue
        if transposed and any(
            (n - 1) * s - 2 * p + dilation * (k - 1) + 1 < 1
            for n, s, p, k in zip(size, stride, padding, kernel, strict=True)
        ):
            continue
        yield {
            "transposed": transposed,
            "kernel": kernel,
            "size": size,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "in": channels[0],
            "out": out,
            "batch": rng.choice((1, 2)),
            "layout": rng.choice(("contiguous", "channels_last")),
        }


def errors(shape: Shape) -> dict[str, float]:
    """Relative errors of bfloat16 against float64 on the same (rounded) numbers; infinite for values not
    finite.
    """
    import torch
    from torch.nn import functional as F

    torch.manual_seed(0)
    axes = len(shape["size"])
    operation = getattr(F, f"conv{'_transpose' if shape['transposed'] else ''}{axes}d")
    within = shape["out"] if shape["transposed"] else shape["in"]
    outer = shape["in"] if shape["transposed"] else shape["out"]
    layout = torch.contiguous_format
    if shape["layout"] == "channels_last":
        layout = torch.channels_last if axes == 2 else torch.channels_last_3d
    numbers = {
        "input gradient": torch.randn(shape["batch"], shape["in"], *shape["size"]),
        "weight gradient": torch.randn(outer, within // shape["groups"], *shape["kernel"]),
        "bias gradient": torch.randn(shape["out"]),
    }
    settings = {name: shape[name] for name in ("stride", "padding", "dilation", "groups")}
    results: list[list[Any]] = []
    back = None
    for dtype in (torch.bfloat16, torch.float64):
        given = [tensor.bfloat16().to(dtype) for tensor in numbers.values()]
        if dtype == torch.bfloat16:
            given[:2] = [tensor.contiguous(memory_format=layout) for tensor in given[:2]]
        for tensor in given:
            tensor.requires_grad_()
        made = operation(*given, **settings)
        back = torch.randn(made.shape).bfloat16() if back is None else back
        results.append([made.detach(), *torch.autograd.grad(made, given, back.to(dtype))])
    found = {}
    for name, rounded, exact in zip(("output", *numbers), *results, strict=True):
        error = float((rounded.double() - exact).norm() / exact.norm().clamp_min(1e-30))
        found[name] = round(error, 5) if error < 1e30 else float("inf")
    return found


def work() -> None:
    """The worker: one shape a line in, its errors out."""
    for line in sys.stdin:
        print(json.dumps(errors(json.loads(line))), flush=True)


class Worker:
    """A process that computes under one instruction set."""

    def __init__(self, isa: str) -> None:
        self.isa = isa
        self._start()

    def _start(self) -> None:
        environment = os.environ | {"ONEDNN_MAX_CPU_ISA": self.isa}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker"],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.ask(
            {
                "transposed": False,
                "kernel": [1, 1],
                "size": [1, 1],
                "stride": [1, 1],
                "padding": [0, 0],
                "dilation": 1,
                "groups": 1,
                "in": 1,
                "out": 1,
                "batch": 1,
                "layout": "contiguous",
            },
            120,
        )  # importing torch is not timed

    def ask(self, shape: Shape, seconds: float = SECONDS) -> dict[str, float] | str:
        """The errors; "slow" or "crashed", after which the worker is replaced."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(shape) + "\n")
        self._process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            ready = selector.select(seconds)
        line = self._process.stdout.readline() if ready else ""
        if line:
            found: dict[str, float] = json.loads(line)
            return found
        self.close()
        self._start()
        return "crashed" if ready else "slow"

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def main() -> None:
    """Continue the file, then summarise the errors in it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--isa", action="append", choices=ISAS, help="repeatable; default: all")
    parser.add_argument("--count", type=int, default=2000, help="convolutions for each instruction set")
    parser.add_argument("--quick", action="store_true", help="300 convolutions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("half_precision.jsonl"))
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work()
    count = 300 if arguments.quick else arguments.count
    known = (
        [json.loads(line) for line in arguments.out.read_text().splitlines()]
        if arguments.out.exists()
        else []
    )
    done = Counter(row["isa"] for row in known if row["seed"] == arguments.seed)
    with arguments.out.open("a") as out:
        for isa in arguments.isa or ISAS:
            worker = Worker(isa)
            for number, shape in zip(range(count), shapes(arguments.seed), strict=False):
                if number >= done[isa]:
                    row = {"isa": isa, "seed": arguments.seed, "shape": shape, "errors": worker.ask(shape)}
                    out.write(json.dumps(row) + "\n")
                    out.flush()
                    known.append(row)
            worker.close()
    summarise(known)
    return None


def wrong(row: dict[str, Any]) -> list[str]:
    """The wrong parts of one convolution, or "slow" or "crashed"."""
    found = row["errors"]
    return [found] if isinstance(found, str) else [part for part, error in found.items() if not error < WRONG]


def summarise(rows: list[dict[str, Any]]) -> None:
    """Print, for each instruction set, how many were wrong, and each of those."""
    for isa in dict.fromkeys(row["isa"] for row in rows):
        mine = [row for row in rows if row["isa"] == isa]
        bad = [row for row in mine if wrong(row)]
        parts = Counter(part for row in bad for part in wrong(row))
        print(f"{isa}: {len(mine)} convolutions, {len(bad)} wrong {dict(parts)}")
        for row in bad:
            print("  ", ", ".join(wrong(row)), json.dumps(row["shape"]))


if __name__ == "__main__":
    main()
