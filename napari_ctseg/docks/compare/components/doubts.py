"""What looks wrong in a truth: left and right exchanged, islands, a label without voxels."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.editing.connected_parts import connected_parts
from ctseg_imaging.metrics.boxes import label_boxes
from napari_ctseg.viewer.pairs import Counted

ISLAND = 0.05  # of the largest piece: smaller pieces are islands, larger ones may be lesions or lungs
SIDE = re.compile(r"(?i)(?<![a-z])(left|right)(?![a-z])")


def truth_doubts(counted: Counted) -> tuple[str, ...]:
    """One sentence for each doubt. Takes seconds on a large volume; call it in a thread."""
    truth, names = counted.live.truth, counted.names
    boxes = label_boxes(truth, truth, counted.live.values)
    masks = {value: (box, truth[box] == value) for value, box in boxes.items() if box is not None}
    middles = {names.name(value): _middle_x(*found) for value, found in masks.items()}
    doubts = [f"“{names.name(value)}” is empty in the truth." for value in boxes if value not in masks]
    doubts += [
        f"“{left}” lies to the right of “{right}” in the truth; the two may be exchanged."
        for left, right in _pairs(middles)
        if middles[left] < middles[right]
    ]
    for value, (_, mask) in masks.items():
        if count := _islands(mask):
            pieces = "1 small island" if count == 1 else f"{count} small islands"
            doubts.append(f"“{names.name(value)}” has {pieces} in the truth.")
    return tuple(doubts)


def _pairs(names: dict[str, float]) -> list[tuple[str, str]]:
    """(left, right) names that differ in nothing but the side."""
    by_side: dict[str, dict[str, str]] = {}
    for name in names:
        if len(sides := SIDE.findall(name.replace("_", " "))) == 1:
            rest = SIDE.sub("", name.replace("_", " ")).strip()
            by_side.setdefault(rest, {})[sides[0].lower()] = name
    return [(found["left"], found["right"]) for found in by_side.values() if len(found) == 2]


def _middle_x(box: Any, mask: NDArray[np.bool_]) -> float:
    """Along the array's last axis, which goes to the patient's left."""
    return float(box[2].start + np.average(np.arange(mask.shape[2]), weights=mask.sum((0, 1))))


def _islands(mask: NDArray[np.bool_]) -> int:
    pieces, _ = connected_parts(mask)
    sizes = np.bincount(pieces.ravel())[1:]
    return int((sizes < ISLAND * sizes.max()).sum())
