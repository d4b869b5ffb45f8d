"""A box of a volume as a network's input: resampling as one separable linear map, then the intensities."""

from __future__ import annotations

from collections.abc import Generator
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Triple
from ctseg_models.contract.lattice import Lattice
from ctseg_models.contract.plan import StagePlan
from ctseg_models.inference.input.axis import Axis
from ctseg_models.inference.input.intensities import normalise, settle

Interpolation = Literal["area", "linear", "nearest"]
SLICES_PER_STEP = 4


def axis_weights(
    n_in: int,
    spacing_in: float,
    low_mm: float,
    spacing_out: float,
    n_out: int,
    *,
    interpolation: Interpolation = "area",
    sigma_mm: float = 0.0,
    repeat: bool = False,
) -> NDArray[np.float32]:
    """Weights (n_out, n_in) that resample one axis; mm are counted from the outer face of the first input
    voxel.

    "area" is the mean over the output voxel when that is larger than the input voxel, and linear otherwise. A
    row sums to 1 when its centre lies within the volume (the border is repeated there); outside it is all 0,
    unless `repeat` repeats the border there too. sigma_mm : of a Gaussian that is applied first.
    """
    edges = (low_mm + spacing_out * np.arange(n_out + 1)) / spacing_in  # in input voxels
    centres = (edges[:-1] + edges[1:]) / 2
    if interpolation == "area" and spacing_out > spacing_in:
        cells = np.arange(n_in)
        weights = np.clip(
            np.minimum(edges[1:, None], cells + 1) - np.maximum(edges[:-1, None], cells), 0, None
        )
    elif interpolation == "nearest":
        weights = np.zeros((n_out, n_in))
        weights[np.arange(n_out), np.clip(np.floor(centres), 0, n_in - 1).astype(int)] = 1
    else:
        weights = _linear(np.clip(centres - 0.5, 0, n_in - 1), n_in)
    if repeat:
        lost = weights.sum(axis=1) == 0
        weights[lost, np.clip(np.floor(centres[lost]), 0, n_in - 1).astype(int)] = 1
    else:
        weights[(centres < 0) | (centres > n_in)] = 0
    if sigma_mm > 0:
        weights = weights @ _gaussian(n_in, sigma_mm / spacing_in)
    total = weights.sum(axis=1, keepdims=True)
    rows: NDArray[np.float32] = (weights / np.where(total > 0, total, 1)).astype(np.float32)
    return rows


def _linear(position: NDArray[np.float64], n_in: int) -> NDArray[np.float64]:
    weights = np.zeros((len(position), n_in))
    first = np.minimum(np.floor(position).astype(int), n_in - 1)
    share = position - first
    rows = np.arange(len(position))
    weights[rows, first] = 1 - share
    weights[rows, np.minimum(first + 1, n_in - 1)] += share
    return weights


def _gaussian(n: int, sigma: float) -> NDArray[np.float64]:
    """(n, n) Gaussian of `sigma` voxels, cut at 4 sigma; rows sum to 1, so borders are neither darkened nor
    mirrored.
    """
    distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    kernel = np.where(distance <= max(1.0, 4 * sigma), np.exp(-0.5 * (distance / sigma) ** 2), 0.0)
    normal: NDArray[np.float64] = kernel / kernel.sum(axis=1, keepdims=True)
    return normal


def resample_box(
    view: NDArray[np.generic],
    spacing_mm: Triple,
    lattice: Lattice,
    *,
    pad: float = -1024.0,
    interpolation: Interpolation = "area",
    sigma_mm: float = 0.0,
    repeat: bool = False,
) -> Generator[float, None, Tensor]:
    """`view` (z, y, x), any number type and strides, resampled onto `lattice`: float32, `pad` outside.

    repeat : the border instead of `pad`. Works on a few slices at a time, without a float copy of the volume,
    and yields the share done. Voxels that are not finite become `pad`.
    """
    wz, wy, wx = (
        axis_weights(
            view.shape[axis],
            spacing_mm[axis],
            lattice.low_mm[axis],
            lattice.spacing_mm[axis],
            lattice.shape[axis],
            interpolation=interpolation,
            sigma_mm=sigma_mm,
            repeat=repeat,
        )
        for axis in range(3)
    )
    z, y, x = (Axis(weights) for weights in (wz, wy, wx))
    (z0, z1), (y0, y1), (x0, x1) = (axis.inputs(0, len(axis)) for axis in (z, y, x))
    if z0 == z1 or y0 == y1 or x0 == x1:
        return torch.full(lattice.shape, float(pad))
    resampled = torch.zeros(lattice.shape)
    rows, columns = y.weights[:, y0:y1], x.weights[:, x0:x1].T.contiguous()
    start, stop = z.outputs(z0, z1)
    for a in range(start, stop, SLICES_PER_STEP):
        b = min(stop, a + SLICES_PER_STEP)
        low, high = z.inputs(a, b)
        pixels = np.ascontiguousarray(view[low:high, y0:y1, x0:x1], dtype=np.float32)
        if not np.issubdtype(view.dtype, np.integer):
            np.nan_to_num(pixels, copy=False, nan=pad, posinf=pad, neginf=pad)
        # Along z first: most often fewer slices are left for the products in the plane, which take the time.
        planes = (z.weights[a:b, low:high] @ torch.from_numpy(pixels).flatten(1)).view(-1, y1 - y0, x1 - x0)
        torch.matmul(rows, planes @ columns, out=resampled[a:b])
        yield (b - a) / (stop - start)
    for axis, one in enumerate((z, y, x)):
        resampled[(slice(None),) * axis + (~one.within,)] = pad
    return resampled


def network_input(
    view: NDArray[np.generic], spacing_mm: Triple, lattice: Lattice, plan: StagePlan
) -> Generator[float, None, Tensor]:
    """(1, C, z, y, x) float32 for the network. view : (z, y, x) or (c, z, y, x) along the LPS-upright axes.

    Raises BundleError when the volume has fewer channels than the network takes.
    """
    channels = view if view.ndim == 4 else view[None]
    needed = 1 + max(channel.source for channel in plan.channels)
    if len(channels) < needed:
        raise BundleError(
            f"The bundle takes {needed} channels and the volume has {len(channels)}; give one file per "
            "channel (CASE_0000, CASE_0001, ...)."
        )
    resampled: dict[int, Tensor] = {}
    for source in sorted({channel.source for channel in plan.channels}):
        work = resample_box(
            channels[source],
            spacing_mm,
            lattice,
            pad=plan.pad,
            interpolation=plan.interpolation,
            sigma_mm=plan.smoothing_sigma_mm,
        )
        resampled[source] = yield from work
    settled = [settle(channel, channels[channel.source]) for channel in plan.channels]
    return torch.stack([normalise(resampled[channel.source].clone(), channel) for channel in settled])[None]
