"""Which precision to use and how fast it is: short measurements of this machine, made once per process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from ctseg_imaging.errors import BundleError
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.inference.network.interruptible import STEP_FLOPS
from ctseg_models.inference.network.onednn import conv3d, onednn_takes

WORTHWHILE = 1.3  # how much faster bf16 has to be to be used
TENSOR_CORES = 7  # the first generation of GPUs that multiply float16 faster than float32


def choose(precision: str, device: str) -> Arithmetic:
    """The arithmetic for `precision` ("auto", "fp32", "bf16") on `device`; a faster type chosen by "auto" is
    on trial.
    """
    step = STEP_FLOPS["cpu" if device == "cpu" else "cuda"]
    if precision == "bf16":
        return Arithmetic(torch.bfloat16, step)
    faster = half_type(device) if precision == "auto" else None
    return Arithmetic(faster or torch.float32, step, on_trial=faster is not None)


def half_type(device: str) -> torch.dtype | None:
    """The half precision that is faster on `device`, None if neither is.

    bfloat16, or float16 on a GPU that only emulates bfloat16.
    """
    if bf16_is_faster(device):
        return torch.bfloat16
    if not device.startswith("cuda"):
        return None
    return torch.float16 if torch.cuda.get_device_capability(device)[0] >= TENSOR_CORES else None


def check_device(device: str) -> str:
    """`device`, if it can be used. Raises BundleError."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BundleError(
            f'The device "{device}" cannot be used here; choose cpu, or install a torch built for it.'
        ) from error
    return device


@cache
def bf16_is_faster(device: str) -> bool:
    """Whether bf16 convolutions are clearly faster than float32 ones.

    Without bf16 instructions they are hundreds of times slower, so a tiny map is tried first: the answer
    takes a few milliseconds either way.
    """
    if device != "cpu":
        return device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        if not onednn_takes(torch.bfloat16) or _ratio(6, runs=3) < 1 / 4:
            return False
        return _ratio(24) > WORTHWHILE
    except RuntimeError:  # oneDNN is configured not to use the instructions that bf16 needs
        return False


@cache
def flops_per_second(device: str, dtype: torch.dtype) -> float:
    """The speed of 3x3x3 convolutions of 32 channels."""
    side = 24 if device == "cpu" else 96
    return 2.0 * 27 * 32 * 32 * side**3 / _seconds((dtype,), side, device)[0]


def _ratio(side: int, runs: int = 8) -> float:
    """How many times faster than float32 bf16 is on the processor."""
    half, single = _seconds((torch.bfloat16, torch.float32), side, "cpu", runs)
    return single / half


def _seconds(dtypes: Sequence[torch.dtype], side: int, device: str, runs: int = 8) -> list[float]:
    """The best of `runs` runs of one convolution on a cube in each type, after a warm-up run.

    The types take turns: another busy process then slows down all of them.
    """
    inputs = [_input(dtype, side, device) for dtype in dtypes]
    best = [float("inf")] * len(inputs)
    for run in range(runs + 1):
        for k, (x, weight) in enumerate(inputs):
            start = time.perf_counter()
            conv3d(x, weight, None)
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            if run:
                best[k] = min(best[k], time.perf_counter() - start)
    return [max(seconds, 1e-9) for seconds in best]


def _input(dtype: torch.dtype, side: int, device: str) -> tuple[Tensor, Tensor]:
    """A map of 32 channels (1, 32, side, side, side) and a 3x3x3 kernel for it, channels last."""
    x = torch.rand(1, 32, side, side, side, device=device)
    weight = torch.rand(32, 32, 3, 3, 3, device=device)
    layout = torch.channels_last_3d
    return x.to(dtype, memory_format=layout), weight.to(dtype, memory_format=layout)
