"""Polygons to pixels and back, exactly: a pixel belongs to a polygon if its centre lies inside it.

Coordinates are (row, column) with pixel centres at whole numbers. A centre on an edge belongs to one side
only (top and left edges are inside), so neighbours which share an edge share no pixel. Traced outlines run
along pixel borders, which contain no centre.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.geometry import Float

Loop = list[tuple[int, int]]  # corners (row, column) of pixels; corner (r, c) lies at (r - 0.5, c - 0.5)


def fill(polygon: Float, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(rows, columns) mask of the pixels whose centres are inside an (n, 2) closed polygon, by the even-odd
    rule.

    A hole that is joined to the outline by a channel of no width (keyhole) is a hole.
    """
    rows, columns = shape
    start, end = polygon, np.roll(polygon, -1, axis=0)
    upper, lower = np.minimum(start[:, 0], end[:, 0]), np.maximum(start[:, 0], end[:, 0])
    first = np.clip(np.ceil(upper), 0, rows).astype(int)  # an edge crosses the rows upper <= row < lower
    count = np.clip(np.ceil(lower), 0, rows).astype(int) - first
    edge = np.repeat(np.arange(len(polygon)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    share = (row - start[edge, 0]) / (end[edge, 0] - start[edge, 0])
    crossing = start[edge, 1] + share * (end[edge, 1] - start[edge, 1])
    mask = np.zeros(shape, bool)
    if len(edge):
        column = np.clip(np.ceil(crossing), 0, columns).astype(int)
        top, left, right = row.min(), column.min(), column.max()
        toggles = np.zeros((row.max() - top + 1, right - left + 1), np.int32)
        np.add.at(toggles, (row - top, column - left), 1)
        mask[top : row.max() + 1, left:right] = np.cumsum(toggles, axis=1)[:, :-1] % 2 == 1
    return mask


def trace(mask: NDArray[np.bool_]) -> Iterator[Float]:
    """(n, 2) outlines of a mask along pixel borders, one for each 4-connected region; holes are joined to it
    by keyholes.

    `fill` of each, together, gives the mask back, by the even-odd rule and by union alike.
    """
    loops = list(_loops(mask))
    outer = [loop for loop in loops if _doubled_area(loop) > 0]
    holes = [loop for loop in loops if _doubled_area(loop) < 0]
    owned: dict[int, list[Loop]] = {}
    for hole in holes:
        owned.setdefault(_owner(hole, outer), []).append(hole)
    for k, loop in enumerate(outer):
        for hole in sorted(owned.get(k, []), key=lambda one: min(column for _, column in one)):
            loop = _joined(loop, hole)
        yield np.array(_without_straight(loop), np.float64) - 0.5


def _loops(mask: NDArray[np.bool_]) -> Iterator[Loop]:
    """Closed walks along pixel borders with the mask on the right, corner by corner, without the first corner
    again.

    Where two regions touch in a corner the walk turns right and stays at its own region.
    """
    padded = np.pad(mask, 1)
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    here = padded[1:-1, 1:-1]
    for (dr, dc), begin, neighbour in (
        ((0, 1), (0, 0), padded[:-2, 1:-1]),
        ((1, 0), (0, 1), padded[1:-1, 2:]),
        ((0, -1), (1, 1), padded[2:, 1:-1]),
        ((-1, 0), (1, 0), padded[1:-1, :-2]),
    ):
        for r, c in np.argwhere(here & ~neighbour).tolist():
            steps.setdefault((r + begin[0], c + begin[1]), []).append((dr, dc))
    while steps:
        start = at = next(iter(steps))
        loop: Loop = []
        heading = steps[at][0]
        while True:
            loop.append(at)
            options = steps[at]
            right = (heading[1], -heading[0])
            heading = right if right in options else options[0]
            options.remove(heading)
            if not options:
                del steps[at]
            at = (at[0] + heading[0], at[1] + heading[1])
            if at == start:
                break
        yield loop


def _doubled_area(loop: Loop) -> int:
    """Above 0 for an outline, below 0 for a hole."""
    corners = np.array(loop)
    row, column = corners[:, 0], corners[:, 1]
    return int(np.sum(column * np.roll(row, -1) - np.roll(column, -1) * row))


def _owner(hole: Loop, outer: list[Loop]) -> int:
    """The outline around a hole: of those that it lies in, the smallest."""
    row, column = min(hole)
    point = (
        row - 0.5,
        column + 0.5,
    )  # the centre of the mask's pixel above the topmost left corner, as corner coordinates
    around = [k for k, loop in enumerate(outer) if _contains(loop, point)]
    return min(around, key=lambda k: _doubled_area(outer[k]))


def _contains(loop: Loop, point: tuple[float, float]) -> bool:
    corners = np.array(loop, np.float64)
    ends = np.roll(corners, -1, axis=0)
    crosses = (corners[:, 0] <= point[0]) != (
        ends[:, 0] <= point[0]
    )  # vertical edges only: the others run along rows
    return bool(np.count_nonzero(crosses & (corners[:, 1] < point[1])) % 2)


def _joined(loop: Loop, hole: Loop) -> Loop:
    """The outline with a hole cut into it by a channel of no width, from the hole's leftmost corner straight
    to the left.
    """
    left = min(range(len(hole)), key=lambda k: (hole[k][1], hole[k][0]))
    row, column = hole[left]
    reached = max(
        (k for k, corner in enumerate(loop) if corner[0] == row and corner[1] < column),
        key=lambda k: loop[k][1],
    )
    return [*loop[: reached + 1], *hole[left:], *hole[: left + 1], *loop[reached:]]


def _without_straight(loop: Loop) -> Loop:
    """Corners at which the walk changes its direction."""
    corners = np.array(loop)
    before, after = corners - np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0) - corners
    turns = (np.sign(before) != np.sign(after)).any(axis=1)
    return [corner for corner, kept in zip(loop, turns, strict=True) if kept]
