"""The outlines of the labels of a slice: the edges between voxels, in the order in which they are walked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The four directions (row, column) in which an edge is walked, clockwise, with the label on the right.
STEPS = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
STARTS = np.array([(0, 0), (0, 1), (1, 1), (1, 0)]) - 0.5  # from the voxel's centre to the edge's start
DASHES = 128  # lengths of a dash along the longer side of a slice


@dataclass(frozen=True, eq=False)
class Edges:
    """n edges of voxels. value : (n,) the label each belongs to. start : (n, 2) in (row, column) of voxels.
    direction : (n,) index into STEPS. successor : (n,) the next edge of the outline, which is closed.
    """

    value: NDArray[Any]
    start: NDArray[np.float64]
    direction: NDArray[np.intp]
    successor: NDArray[np.intp]


def boundary_edges(plane: NDArray[Any]) -> Edges:
    """The edges of the outlines of all labels but 0 in a (rows, columns) plane.

    Voxels of one label that touch at a corner only have separate outlines. Two labels side by side each have
    an edge between them. The border of the plane is an outline.
    """
    padded = np.pad(plane, 1)
    rows, columns, directions = (
        np.concatenate(parts) for parts in zip(*(_edges_along(padded, k) for k in range(4)), strict=True)
    )
    number = np.zeros((4, *padded.shape), np.intp)
    number[directions, rows, columns] = np.arange(len(rows))
    step, outward = STEPS[directions].T, STEPS[directions - 1].T
    value = padded[rows, columns]
    ahead = rows + step[0], columns + step[1]
    outside = ahead[0] + outward[0], ahead[1] + outward[1]
    straight = padded[ahead] == value
    outer = straight & (padded[outside] == value)
    successor = number[(directions + 1) % 4, rows, columns]
    successor = np.where(straight, number[directions, *ahead], successor)
    successor = np.where(outer, number[directions - 1, *outside], successor)
    start = np.stack([rows - 1, columns - 1], axis=1) + STARTS[directions]
    return Edges(value, start, directions, successor)


def segments(
    plane: NDArray[Any], spacing_mm: tuple[float, float], dashed: bool
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """(n, 2, 2) straight pieces of all outlines, both ends in (row, column) of voxels, and (n,) their labels.

    spacing_mm : (row, column). dashed : leave out every second dash; one is at least a voxel long, else
    1/DASHES of the plane's longer side.
    """
    edges = boundary_edges(plane)
    steps = STEPS[edges.direction]
    if not dashed:
        return np.stack([edges.start, edges.start + steps], axis=1), edges.value
    lengths = np.abs(steps) @ np.asarray(spacing_mm)
    short = min(spacing_mm)
    dash = max(short, max(np.multiply(plane.shape, spacing_mm)) / DASHES)
    pieces = np.maximum(1, np.round(lengths / short)).astype(int)  # a long side of a voxel holds several
    edge = np.repeat(np.arange(len(pieces)), pieces)
    part = np.arange(len(edge)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    share = 1 / pieces[edge]
    middle = way_along(edges.successor, lengths)[edge] + (part + 0.5) * share * lengths[edge]
    drawn = np.floor(middle / dash) % 2 == 0
    edge, part, share = edge[drawn], part[drawn, None], share[drawn, None]
    ends = [edges.start[edge] + (part + end) * share * steps[edge] for end in (0, 1)]
    return np.stack(ends, axis=1), edges.value[edge]


def way_along(successor: NDArray[np.intp], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each edge lies along its closed outline, up to a whole turn.

    By pointer jumping, which needs log2(n) passes for all outlines together (Wyllie 1979).
    """
    here = np.arange(len(successor))
    first, jump = here, successor
    for _ in range(len(here).bit_length()):
        first, jump = np.minimum(first, first[jump]), jump[jump]
    ends = first == here  # one edge of each outline
    left, jump = np.where(ends, 0.0, lengths), np.where(ends, here, successor)
    for _ in range(len(here).bit_length()):
        left, jump = left + left[jump], jump[jump]
    return -left


def _edges_along(padded: NDArray[Any], k: int) -> tuple[NDArray[np.intp], ...]:
    """Rows and columns (of the padded plane) of the voxels with an edge in direction k, and k for each."""
    inner = padded[1:-1, 1:-1]
    down, right = STEPS[k - 1]  # of the voxel on the other side of the edge
    beyond = padded[1 + down : padded.shape[0] - 1 + down, 1 + right : padded.shape[1] - 1 + right]
    rows, columns = np.nonzero((inner != 0) & (inner != beyond))
    return rows + 1, columns + 1, np.full(len(rows), k)
