"""From a volume to the input of an nnU-Net: crop, normalise, resize, pad, and place windows.

Arrays lie along the view's axes. The network has axes of its own (the stored ones, reordered by the plans),
so paddings, starts of windows and ties in rounding are computed along those and turned. Source: nnU-Net v2
(2.8.1), DefaultPreprocessor and sliding_window_prediction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import AxisView, Shape, Triple
from ctseg_models.bundles.nnunet.normalisation import Cropped, Pixels, SliceReader
from ctseg_models.bundles.nnunet.plan import NNUNetPlan
from ctseg_models.bundles.nnunet.spline import resize, separate_axis
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.axis_order import AxisOrder
from ctseg_models.contract.lattice import Lattice, ViewBox
from ctseg_models.contract.stage import Interpolation, NetworkSteps, Prepare, Prepared, RunSize
from ctseg_models.contract.tiling import Tiling
from ctseg_models.contract.upright import Upright

RAS = AxisOrder((0, 1, 2), (1, 2))  # the array that nibabel's RAS axes give, transposed to (z, y, x)
SLICES_AT_ONCE = 8  # of a 2D network
TIE = 1e-6  # voxels: rounding must not move a target voxel centred between two slices to the other one
AGREEING = 1e-4  # of a spacing: the header's and the affine's may differ by this much through rounding
# The labels of an earlier stage for a volume, along its view's axes (z, y, x).
PreviousLabels = Callable[[Upright], Generator[float, None, NDArray[Any]]]


@dataclass(frozen=True)
class InputSizes:
    """The sizes that the plans lead to for `shape` voxels of a view, along the view's axes (z, y, x).

    turn : the network's axes. resized : voxels at the plans' spacing. padded : at least a window. low :
    padding before them. apart : the axis whose slices are resized one by one; apart_labels : of an earlier
    stage's labels; apart_back : of the logits.
    """

    turn: AxisOrder
    shape: Shape
    wanted_mm: Triple
    resized: Shape
    padded: Shape
    low: Shape
    apart: int | None
    apart_labels: int | None
    apart_back: int | None
    tiling: Tiling

    @classmethod
    def of(cls, plan: NNUNetPlan, upright: Upright, shape: Shape) -> InputSizes:
        """For a crop of `shape` voxels."""
        turn = turn_of(plan, upright.view)
        own = spacing_of(upright)
        a, b, c = (own[turn.order[0]], *plan.spacing_mm) if plan.flat else plan.spacing_mm
        wanted = turn.zyx((a, b, c))
        resized = _zyx(max(1, round(old / new * n)) for old, new, n in zip(own, wanted, shape, strict=True))
        apart = (
            separate_axis(own, wanted, plan.data.force_separate),
            separate_axis(own, wanted, plan.seg.force_separate),
            separate_axis(wanted, own, plan.logits.force_separate),
        )
        window, tiling = _window(plan, turn, resized)
        missing = [max(0, w - n) for w, n in zip(window, resized, strict=True)]
        backwards = {turn.order[axis] for axis in turn.flips}
        low = _zyx(d - d // 2 if axis in backwards else d // 2 for axis, d in enumerate(missing))
        padded = _zyx(n + d for n, d in zip(resized, missing, strict=True))
        return cls(turn, shape, wanted, resized, padded, low, *apart, tiling)

    def runs_backwards(self, axis: int | None) -> bool:
        """Whether the network counts this axis of the view from the other end."""
        return axis is not None and self.turn.order.index(axis) in self.turn.flips

    def lattice(self, start: Shape, upright: Upright) -> Lattice:
        """The lattice of the resized crop that begins at voxel `start`: its box, divided evenly."""
        own = upright.geometry.spacing_mm
        z, y, x = (s * n / m for s, n, m in zip(own, self.shape, self.resized, strict=True))
        low = [a * s for a, s in zip(start, own, strict=True)]
        if self.apart_back is not None:
            low[self.apart_back] += (TIE if self.runs_backwards(self.apart_back) else -TIE) * (z, y, x)[
                self.apart_back
            ]
        return Lattice((low[0], low[1], low[2]), (z, y, x), self.resized)

    @property
    def interpolation(self) -> tuple[Interpolation, Interpolation, Interpolation]:
        """How the logits are interpolated."""
        ways: list[Interpolation] = ["nearest" if axis == self.apart_back else "linear" for axis in range(3)]
        return ways[0], ways[1], ways[2]

    @property
    def keep(self) -> tuple[Shape, Shape]:
        """[start, stop) of the padded array without its padding."""
        return self.low, _zyx(a + n for a, n in zip(self.low, self.resized, strict=True))


def spacing_of(upright: Upright) -> Triple:
    """The spacing as nnU-Net's readers give it: the header's own, along the view's axes.

    The affine's where the header does not agree with it, or a volume has no header.
    """
    stated, own = upright.geometry.stated_mm, upright.geometry.spacing_mm
    return stated if stated is not None and np.allclose(stated, own, rtol=AGREEING, atol=0) else own


def turn_of(plan: NNUNetPlan, view: AxisView) -> AxisOrder:
    """The plans' axes within the view of a volume."""
    if plan.to_ras:
        order, flipped = RAS.order, RAS.flips
    else:
        order = _zyx(view.order.index(stored) for stored in range(3))
        flipped = tuple(stored for stored in range(3) if view.flips[order[stored]])
    flips = tuple(axis for axis, stored in enumerate(plan.transpose) if stored in flipped)
    return AxisOrder(_zyx(order[stored] for stored in plan.transpose), flips)


def window_starts(size: int, window: int) -> list[int]:
    """Windows that overlap by at least a half, evenly spaced."""
    count = math.ceil((size - window) / (window * 0.5)) + 1
    return [round((size - window) / (count - 1) * i) if count > 1 else 0 for i in range(count)]


@lru_cache(maxsize=4)
def gaussian(window: tuple[int, ...]) -> Tensor:
    """Weights of a window: float32 numbers that float16 can hold, 10 in the middle.

    Those that round to 0 become the smallest that does not.
    """
    from scipy.ndimage import gaussian_filter1d

    weights = np.ones(())
    for n in window:
        impulse = np.zeros(n)
        impulse[n // 2] = 1
        weights = weights[..., None] * gaussian_filter1d(impulse, n / 8, mode="constant")
    half = torch.from_numpy(weights / (weights.max() / 10)).half()
    half[half == 0] = half[half != 0].min()
    return half.float()


def _window(plan: NNUNetPlan, turn: AxisOrder, resized: Shape) -> tuple[Shape, Tiling]:
    """The size of a window, and the windows of the array padded to at least that."""
    sizes = [resized[axis] for axis in turn.order]
    if plan.flat:
        parts = math.ceil(sizes[0] / SLICES_AT_ONCE)
        depth = math.ceil(sizes[0] / parts)
        window = (depth, *plan.patch)
        starts = [[min(i * depth, sizes[0] - depth) for i in range(parts)]]
        weights = gaussian(plan.patch).expand(window)
    else:
        window, starts, weights = plan.patch, [], gaussian(plan.patch)
    for n, w in zip(sizes[len(starts) :], window[len(starts) :], strict=True):
        starts.append(window_starts(max(n, w), w))
    seen = [
        sorted(max(n, w) - w - start for start in each) if axis in turn.flips else each
        for axis, (n, w, each) in enumerate(zip(sizes, window, starts, strict=True))
    ]
    z, y, x = turn.zyx((tuple(seen[0]), tuple(seen[1]), tuple(seen[2])))
    a, b, c = window
    return turn.zyx((a, b, c)), Tiling(turn.zyx((a, b, c)), (z, y, x), turn.back(weights))


def nnunet_layout(plan: NNUNetPlan) -> Callable[[Upright, ViewBox], RunSize]:
    """The sizes of a run over a box, assuming that it has no frame of zeros."""

    def layout(upright: Upright, box: ViewBox) -> RunSize:
        start, stop = box.voxels(upright.geometry)
        sizes = InputSizes.of(plan, upright, _zyx(b - a for a, b in zip(start, stop, strict=True)))
        return RunSize(sizes.padded, sizes.tiling.window, sizes.tiling.count)

    return layout


def nnunet_input(
    plan: NNUNetPlan,
    steps: NetworkSteps,
    mirror_axes: tuple[int, ...],
    previous: PreviousLabels | None = None,
) -> Prepare:
    """The preparation that the plans describe.

    steps, mirror_axes : along the plans' axes. previous : labels of an earlier stage. Intensities are those
    of the whole volume; a smaller box only cuts what the network sees. Raises BundleError when the volume has
    fewer channels than the plans.
    """

    def prepare(upright: Upright, box: ViewBox, whole: bool) -> Generator[float, None, Prepared]:
        view = upright.view.apply(upright.volume.array)
        channels = view if view.ndim == 4 else view[None]
        wanted = len(plan.normalisations)
        if len(channels) < wanted:
            raise BundleError(
                f"The bundle takes {wanted} channels and the volume has {len(channels)}; give one file per "
                "channel (CASE_0000, CASE_0001, ...)."
            )
        image = Cropped.of(channels[:wanted])
        low, high = (image.start, image.stop) if whole else image.within(*box.voxels(upright.geometry))
        sizes = InputSizes.of(plan, upright, _zyx(b - a for a, b in zip(low, high, strict=True)))
        x = torch.zeros(1, plan.inputs, *sizes.padded)
        (z0, y0, x0), (z1, y1, x1) = sizes.keep
        kept = x[0, :, z0:z1, y0:y1, x0:x1]
        for number, normalisation in enumerate(plan.normalisations):
            change = image.normaliser(number, normalisation)
            read = SliceReader(
                channels[number],
                low,
                high,
                sizes.apart,
                change,
                image.inside if normalisation.masked else None,
            )
            for share in resize(
                read,
                sizes.shape,
                kept[number],
                order=plan.data.order,
                axis=sizes.apart,
                backwards=sizes.runs_backwards(sizes.apart),
            ):
                yield share / plan.inputs
        if previous is not None:
            labels = yield from previous(upright)
            yield from _one_hot(plan, sizes, labels, low, high, kept[wanted:])
        return Prepared(
            x,
            sizes.lattice(low, upright),
            sizes.tiling,
            sizes.keep,
            sizes.interpolation,
            steps=_turned(steps, sizes.turn),
            mirror_axes=tuple(sorted(sizes.turn.order[axis] for axis in mirror_axes)),
        )

    return prepare


def _turned(steps: NetworkSteps, turn: AxisOrder) -> NetworkSteps:
    def along_the_view(x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
        maps = yield from steps(turn.to_network(x), arithmetic)
        return turn.back(maps)

    return along_the_view


def _one_hot(
    plan: NNUNetPlan,
    sizes: InputSizes,
    labels: NDArray[Any],
    low: Shape,
    high: Shape,
    out: Tensor,
) -> Generator[float, None, None]:
    """One channel a label, resized as nnU-Net resizes label maps.

    Each mask by itself, a later label over an earlier one.
    """
    apart = sizes.apart_labels
    for number, value in enumerate(plan.heads.foreground):
        read = SliceReader(labels, low, high, apart, partial(_is, value))
        share = torch.empty(out.shape[1:])
        for done in resize(
            read, sizes.shape, share, order=plan.seg.order, axis=apart, backwards=sizes.runs_backwards(apart)
        ):
            yield done / plan.inputs
        here = share >= 0.5
        out[:number].masked_fill_(here, 0)
        out[number] = here


def _is(value: int, pixels: Pixels, _: NDArray[np.bool_] | None) -> Pixels:
    return np.asarray(pixels == value, np.float32)


def _zyx(numbers: Iterable[int]) -> Shape:
    z, y, x = numbers
    return z, y, x
