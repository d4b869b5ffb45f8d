"""The sentences of the Correct & export dock about steps and kept edits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctseg_imaging.volume import Labels
from napari_ctseg.docks.correct.state import Tool
from napari_ctseg.journal.folder import Kept


def step(meta: Mapping[str, Any], labels: Labels) -> str:
    """One line of the list of steps, from what a gesture says about itself. labels : what the values are called."""
    label, where = meta.get("label"), meta.get("slice")
    operation = str(meta.get("operation", "stroke"))
    name = []
    if label is not None and operation != Tool.ERASE:  # the eraser takes whatever is under it
        name.append("background" if label == 0 else labels.name(label))
    return ", ".join([operation, *name, *([f"slice {where + 1}"] if where is not None else [])])


def unsaved(edits: int) -> str:
    """What is kept of the mask that is corrected; "" for nothing."""
    return f"Not exported, kept for recovery: {_edits(edits)}" if edits else ""


def offer(kept: tuple[Kept, ...]) -> str:
    """What of earlier times is kept; "" for nothing."""
    if not kept:
        return ""
    newest, others = kept[0], "" if len(kept) == 1 else " One more is kept." if len(kept) == 2 else f" {len(kept) - 1} more are kept."
    what = "Damaged edits" if newest.edits is None else _edits(newest.edits)
    were = "was" if newest.edits == 1 else "were"
    return f"{what} of {newest.when:%d %b, %H:%M} on this image {were} not exported.{others}"


def _edits(count: int) -> str:
    return "1 edit" if count == 1 else f"{count} edits"
