"""The sentences of the Correct & export dock about steps and kept edits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_ctseg.journal.folder import Kept


def step(meta: Mapping[str, Any]) -> str:
    """One line of the list of steps, from what a gesture says about itself."""
    label, where = meta.get("label"), meta.get("slice")
    parts = [str(meta.get("operation", "stroke")), *([f"label {label}"] if label is not None else []),
             *([f"slice {where + 1}"] if where is not None else [])]
    return ", ".join(parts)


def unsaved(edits: int) -> str:
    """What is kept of the mask that is corrected; "" for nothing."""
    return f"Not exported, kept for recovery: {edits} edit{'s' if edits != 1 else ''}" if edits else ""


def offer(kept: tuple[Kept, ...]) -> str:
    """What of earlier times is kept; "" for nothing."""
    if not kept:
        return ""
    newest, others = kept[0], f" {len(kept) - 1} more are kept." if len(kept) > 1 else ""
    what = "Damaged edits" if newest.edits is None else f"{newest.edits} edits"
    return f"{what} of {newest.when:%d %b, %H:%M} on this image were not exported.{others}"
