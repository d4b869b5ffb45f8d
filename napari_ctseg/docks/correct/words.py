"""The texts of the Correct & export dock about undo steps and saved edits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctseg_imaging.volume import Labels, slice_number
from napari_ctseg.docks.correct.state import MaskChoice, Tool
from napari_ctseg.journal.folder import Kept
from napari_ctseg.journal.words import steps


def step(meta: Mapping[str, Any], labels: Labels) -> str:
    """One line of the list of steps. meta : of a gesture. labels : names of the values."""
    label, where = meta.get("label"), meta.get("slice")
    operation = str(meta.get("operation", "stroke"))
    name = []
    if label is not None and operation != Tool.ERASE:  # the eraser takes every class
        name.append("background" if label == 0 else labels.name(label))
    return ", ".join([operation, *name, *([f"slice {slice_number(where)}"] if where is not None else [])])


def unsaved(count: int) -> str:
    """How much of the mask is saved for recovery only; "" for nothing."""
    return f"Not exported, saved for recovery: {steps(count)}" if count else ""


def offer(kept: tuple[Kept, ...]) -> str:
    """The saved edits of earlier sessions; "" for none."""
    if not kept:
        return ""
    newest, others = (
        kept[0],
        ""
        if len(kept) == 1
        else " One more set is saved."
        if len(kept) == 2
        else f" {len(kept) - 1} more are saved.",
    )
    what = "Damaged edits" if newest.steps is None else steps(newest.steps)
    were = "was" if newest.steps == 1 else "were"
    return f"{what} of {newest.when:%d %b, %H:%M} on this image {were} not exported.{others}"


def which(mask: MaskChoice) -> str:
    """Which layer the tools change, and what becomes of the reference."""
    layer, reference = mask.layer, mask.reference
    if mask.in_use:
        return mask.in_use
    if layer is None:
        locked = f"“{reference}” is the reference (truth) and locked. No other mask is open."
        return locked if reference else ""
    if layer == reference:
        state = "locked." if mask.locked else "unlocked: the tools edit the truth itself."
        return f"“{layer}” is the reference (truth) and {state}"
    if mask.locked:
        return f"“{layer}” is locked."
    return f"The tools edit “{layer}”. {_compared(mask)}"


def _compared(mask: MaskChoice) -> str:
    """What the edited mask is compared with."""
    if not mask.truth:
        compared = "There is no truth to compare it with."
    else:
        compared = f"It is compared with the reference “{mask.truth}”."
    if mask.reference_at_risk:
        compared += f" “{mask.reference}” is unlocked: napari's tools can edit it."
    return compared
