"""The sentences of the Correct & export dock about steps and kept edits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctseg_imaging.volume import Labels
from napari_ctseg.docks.correct.state import Tool
from napari_ctseg.journal.folder import Kept
from napari_ctseg.journal.words import steps


def step(meta: Mapping[str, Any], labels: Labels) -> str:
    """One line of the list of steps, from what a gesture says about itself. labels : what the values are
    called.
    """
    label, where = meta.get("label"), meta.get("slice")
    operation = str(meta.get("operation", "stroke"))
    name = []
    if label is not None and operation != Tool.ERASE:  # the eraser takes whatever is under it
        name.append("background" if label == 0 else labels.name(label))
    return ", ".join([operation, *name, *([f"slice {where + 1}"] if where is not None else [])])


def unsaved(count: int) -> str:
    """What is kept of the mask that is corrected; "" for nothing."""
    return f"Not exported, kept for recovery: {steps(count)}" if count else ""


def offer(kept: tuple[Kept, ...]) -> str:
    """What of earlier times is kept; "" for nothing."""
    if not kept:
        return ""
    newest, others = (
        kept[0],
        ""
        if len(kept) == 1
        else " One more is kept."
        if len(kept) == 2
        else f" {len(kept) - 1} more are kept.",
    )
    what = "Damaged edits" if newest.steps is None else steps(newest.steps)
    were = "was" if newest.steps == 1 else "were"
    return f"{what} of {newest.when:%d %b, %H:%M} on this image {were} not exported.{others}"
