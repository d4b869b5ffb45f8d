"""Compares a network's labels in half precision with those in float32, on a crop of the image to segment."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ctseg_imaging.errors import BundleError, is_out_of_memory
from ctseg_imaging.geometry import Shape
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.measured import Agreement
from ctseg_models.contract.run_warning import RunWarning, WarningKind
from ctseg_models.contract.stage import Form, LoadedStage, NetworkSteps, Prepared
from ctseg_models.inference.input.crops import smaller, spread

LEAST_DICE = 0.995
LEAST_VOXELS = 200  # of a class within the crop; the Dice of fewer means nothing
SIDE = 48  # voxels of a crop, roughly
CROPS = 3  # that are searched for foreground
WINDOWS = 12  # of a network that takes whole windows only: at least so many for each that is spent on a trial


@dataclass(frozen=True)
class Trial:
    """The outcome of a trial. note : for the provenance, plain JSON."""

    arithmetic: Arithmetic
    note: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[RunWarning, ...] = ()


def try_precision(
    stage: LoadedStage,
    steps: NetworkSteps,
    prepared: Prepared,
    device: str,
    arithmetic: Arithmetic,
) -> Generator[float, None, Trial]:
    """`arithmetic`, or float32 where it is on trial and the Dice of a class is below LEAST_DICE.

    A network in memory is tried once. Where no crop shows foreground, float32 is used and the next image
    is tried again. A localiser is not tried: its box has a margin.
    """
    plain = replace(arithmetic, dtype=torch.float32, on_trial=False)
    if not arithmetic.on_trial or not stage.half or stage.name == "localise":
        return Trial(arithmetic if stage.half else plain)
    name, known = str(arithmetic.dtype).removeprefix("torch."), stage.measured.agreements
    found = known.get((arithmetic.dtype, device))
    if found is None:
        found = yield from _tried(stage, steps, prepared, device, arithmetic, plain)
    if found is None:
        text = (
            f"{name} could not be tried on a part of the image, as the network takes no smaller one, so "
            "float32 was used."
        )
        return Trial(plain, {"agreement": None}, (RunWarning(WarningKind.PRECISION, text),))
    if any(found.judged):
        known[arithmetic.dtype, device] = found
    note = {"agreement": {"with": name, **_noted(found)}}
    if (fault := _fault(found)) is None:
        return Trial(arithmetic, note)
    text = f"{name} would be faster, but {fault}, so float32 was used."
    return Trial(plain, note, (RunWarning(WarningKind.PRECISION, text),))


def _noted(found: Agreement) -> dict[str, Any]:
    """For the provenance."""
    return {
        "dice": None if math.isnan(found.dice) else round(found.dice, 4),
        "judged": list(found.judged),
        "too small to judge": list(found.left_out),
    }


def _fault(found: Agreement) -> str | None:
    """Why half precision is not used, None where it may be."""
    if not found.finite:
        return "on a part of the image its numbers were not finite"
    if not any(found.judged):
        return (
            "the parts of the image on which it was tried show too little of any label to compare it with "
            "float32"
        )
    if found.dice < LEAST_DICE:
        return (
            "on a part of the image its labels agreed with those of float32 only to a Dice of "
            f"{found.dice:.3f}"
        )
    return None


def compare(fast: Tensor, exact: Tensor, values: tuple[int | None, ...], form: Form) -> Agreement:
    """Compare two results (K, z, y, x) of one network. values : the label of each map. form : what the maps
    are.
    """
    found: dict[int, tuple[Tensor, Tensor]] = {}
    if form == "regions":
        found = {value or 0: (fast[k] > 0, exact[k] > 0) for k, value in enumerate(values)}
    else:
        meant = torch.tensor([value or 0 for value in values], device=fast.device)
        a, b = (meant[maps[: len(values)].argmax(dim=0)] for maps in (fast, exact))
        found = {value: (a == value, b == value) for value in sorted({value or 0 for value in values})}
    dice, left_out = {}, []
    for value, (one, other) in found.items():
        sizes = int(one.sum()), int(other.sum())
        if max(sizes) >= LEAST_VOXELS:
            dice[value] = 2 * int((one & other).sum()) / sum(sizes)
        else:
            left_out.append(value)
    finite = bool((fast.isfinite() | ~exact.isfinite()).all())
    return Agreement(min(dice.values(), default=math.nan), tuple(dice), tuple(left_out), finite)


def _tried(
    stage: LoadedStage,
    steps: NetworkSteps,
    prepared: Prepared,
    device: str,
    fast: Arithmetic,
    plain: Arithmetic,
) -> Generator[float, None, Agreement | None]:
    """Both precisions on the first crop where float32 finds foreground; on the others only float32.

    None where the network takes no crop that is small compared with the whole work.
    """
    whole: Shape = (prepared.x.shape[2], prepared.x.shape[3], prepared.x.shape[4])
    tiling = prepared.tiling
    window = whole if tiling is None else tiling.window
    parts = [(smaller(window, SIDE), CROPS)]
    if tiling is not None and tiling.count >= WINDOWS and parts[0][0] != window:
        parts.append((window, min(CROPS, tiling.count // WINDOWS)))
    for part, most in parts:
        found: Agreement | None = None
        for place in spread(whole, part)[:most]:
            x = prepared.x[(slice(None), slice(None), *place)].to(device)
            try:
                exact = yield from _silent(steps(x, plain))
                found = compare(exact, exact, stage.values, stage.form)
                if any(found.judged):
                    got = yield from _silent(steps(x, fast))
                    return compare(got, exact, stage.values, stage.form)
            except (RuntimeError, ValueError, BundleError) as error:
                if is_out_of_memory(error):
                    raise
                break  # a network may take one size only
        if found is not None:
            return found
    return None


def _silent(work: Generator[float, None, Tensor]) -> Generator[float, None, Tensor]:
    """Drive `work` with shares of 0, as it comes on top of the run itself."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            maps: Tensor = end.value
            return maps
        yield 0.0
