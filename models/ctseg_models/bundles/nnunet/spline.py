"""Resizing as in nnU-Net: cubic splines that do not overshoot, slice by slice where one axis is much coarser.

Resizing an axis is a linear map, so its matrix is scipy's result for unit vectors, and a volume takes three
matrix products in float32, without a float64 copy.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctseg_imaging.geometry import Shape

ANISOTROPIC = 3.0  # a spacing beyond this ratio is resampled apart from the other two
TIE_DIGITS = 5  # of spacings in mm: the difference between equal ones that came from float32 cosines
SLICES_PER_STEP = 8
# Slice i of the axis along which a volume is read: (n, m) float32 of the other two axes, in their order.
ReadSlice = Callable[[int], NDArray[np.float32]]


def separate_axis(
    current_mm: Sequence[float], wanted_mm: Sequence[float], force: bool | None = None
) -> int | None:
    """The axis that is resampled by nearest neighbours apart from the others; None: all alike.

    Spacings in any one axis order. It is the coarsest axis, where its current or else its wanted spacing is
    more than three times the finest one and only one axis is that coarse. force : True: always; False: never.
    Source: nnU-Net v2, determine_do_sep_z_and_axis.
    """
    if force is False:
        return None
    for spacing in (current_mm, wanted_mm):
        if force or max(spacing) / min(spacing) > ANISOTROPIC:
            coarsest = [axis for axis, mm in enumerate(spacing) if round(max(spacing) - mm, TIE_DIGITS) == 0]
            return coarsest[0] if len(coarsest) == 1 else None
    return None


@lru_cache(maxsize=16)
def zoom_matrix(n_in: int, n_out: int, order: int) -> Tensor:
    """(n_out, n_in) float32: skimage's `resize(order, mode="edge", anti_aliasing=False)` along an axis,
    unclipped.
    """
    from scipy import ndimage

    if n_in == n_out:
        return torch.eye(n_in)
    matrix = np.empty((n_out, n_in))
    unit = np.zeros(n_in)
    for column in range(n_in):
        unit[column] = 1
        matrix[:, column] = ndimage.zoom(unit, n_out / n_in, order=order, mode="nearest", grid_mode=True)
        unit[column] = 0
    return torch.from_numpy(matrix.astype(np.float32))


def nearest_slices(n_in: int, n_out: int, *, backwards: bool = False) -> list[int]:
    """The input slice of every output slice.

    Midway between two it is the later one, counted from the end where `backwards`.
    """
    scale = n_in / n_out
    chosen = [min(n_in - 1, max(0, int(np.floor(scale * (i + 0.5) - 0.5 + 0.5)))) for i in range(n_out)]
    return [n_in - 1 - i for i in reversed(chosen)] if backwards else chosen


def resize(
    read: ReadSlice,
    shape: Shape,
    out: Tensor,
    *,
    order: int,
    axis: int | None,
    backwards: bool = False,
) -> Generator[float, None, None]:
    """Fill `out` (z, y, x) float32 with a volume of `shape`, resized. Yields shares of the work.

    read : gives the volume's slices along `axis`, or along z where that is None; each is read at most once or
    twice. axis : resampled by nearest neighbours, the others slice by slice (each clipped to its own range);
    None: all three alike (clipped to the range of the whole). backwards : whether the network counts `axis`
    from the other end, which decides ties.
    """
    if axis is None:
        yield from _resize_whole(read, shape, out, order)
        return
    along = out.movedim(axis, 0)
    plane = [n for number, n in enumerate(shape) if number != axis]
    rows, columns = (zoom_matrix(a, b, order) for a, b in zip(plane, along.shape[1:], strict=True))
    unchanged = tuple(plane) == tuple(along.shape[1:])
    before, made = -1, torch.empty(0)
    for number, source in enumerate(nearest_slices(shape[axis], len(along), backwards=backwards)):
        if source != before:
            pixels = torch.from_numpy(read(source))
            made = pixels if unchanged else (rows @ pixels @ columns.T).clamp_(pixels.min(), pixels.max())
            before = source
        along[number] = made
        yield 1 / len(along)


def _resize_whole(read: ReadSlice, shape: Shape, out: Tensor, order: int) -> Generator[float, None, None]:
    along_z, rows, columns = (zoom_matrix(a, b, order) for a, b in zip(shape, out.shape, strict=True))
    in_plane = torch.empty(shape[0], *out.shape[1:])
    lowest, highest = float("inf"), float("-inf")
    for z in range(shape[0]):
        pixels = torch.from_numpy(read(z))
        lowest, highest = min(lowest, float(pixels.min())), max(highest, float(pixels.max()))
        torch.matmul(rows @ pixels, columns.T, out=in_plane[z])
        yield 0.7 / shape[0]
    for y in range(0, out.shape[1], SLICES_PER_STEP):
        lines = in_plane[:, y : y + SLICES_PER_STEP]
        out[:, y : y + SLICES_PER_STEP] = (
            (along_z @ lines.flatten(1)).clamp_(lowest, highest).reshape(-1, *lines.shape[1:])
        )
        yield 0.3 * lines.shape[1] / out.shape[1]
