"""From a volume to the input of a side file's network: which voxels, along which axes, how normalised."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import TYPE_CHECKING

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Shape, Triple
from ctseg_imaging.progress import scaled
from ctseg_models.bundles.single_file.side_fields import Channel, SideFile
from ctseg_models.contract.lattice import ROUNDING, Lattice, ViewBox
from ctseg_models.contract.plan import Intensity
from ctseg_models.contract.stage import Prepare, Prepared, RunSize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ctseg_models.contract.upright import Upright

MOST_VOXELS = 2**31  # of an input; a spacing that leads to more is a mistake


def laid_out(side: SideFile) -> Callable[[Upright, ViewBox], RunSize]:
    """The sizes of a run, from a side file."""

    def layout(upright: Upright, box: ViewBox) -> RunSize:
        from ctseg_models.contract.tiling import Tiling

        size, _ = _padded(side, lattice_of(side, upright, box, False))
        if side.patch is None:
            return RunSize(size.shape, size.shape)
        patch = side.turn.zyx(side.patch)
        return RunSize(size.shape, patch, Tiling.spread(size.shape, patch, side.overlap).count)

    return layout


def prepared(side: SideFile) -> Prepare:
    """The preparation of the input, from a side file."""

    def prepare(upright: Upright, box: ViewBox, whole: bool) -> Generator[float, None, Prepared]:
        from ctseg_models.contract.tiling import Tiling

        kept = lattice_of(side, upright, box, whole)
        padded, start = _padded(side, kept)
        inside = tuple(slice(a, a + n) for a, n in zip(start, kept.shape, strict=True))
        array = yield from _input(side, upright, padded, inside)
        tiling = None
        if side.patch is not None:
            tiling = Tiling.spread(padded.shape, side.turn.zyx(side.patch), side.overlap)
            tiling = tiling if side.weights == "gaussian" else replace(tiling, weights=None)
        way_back = side.output.interpolation
        return Prepared(array, padded, tiling, None, (way_back, way_back, way_back), "repeat")

    return prepare


def lattice_of(side: SideFile, upright: Upright, box: ViewBox, whole: bool) -> Lattice:
    """The voxels of the network's input over `box`, without padding.

    whole : the box is the volume, whose extent is divided evenly; otherwise the spacing is exact and the
    lattice at least as large as the box. Raises BundleError for an impossible size.
    """
    axes = []
    sizes = (None, None, None) if side.size is None else side.turn.zyx(side.size)
    spacings = (None, None, None) if side.spacing is None else side.turn.zyx(side.spacing)
    for size, spacing, low, extent, own in zip(
        sizes, spacings, box.low, box.extent, upright.geometry.spacing_mm, strict=True
    ):
        if side.size is not None:
            axes.append(_resized(size or max(1, floor(extent / own + 0.5)), low, extent, own, side.align))
        elif side.align == "centres":
            step = spacing or own
            axes.append((max(1, round((extent - own) / step + 1)), step, low + (own - step) / 2))
        elif whole:
            axes.append(_resized(max(1, floor(extent / (spacing or own) + 0.5)), low, extent, own, "edges"))
        else:
            step = spacing or own
            count = max(1, ceil(extent / step - ROUNDING))
            axes.append((count, step, low - (count * step - extent) / 2))
    (nz, sz, lz), (ny, sy, ly), (nx, sx, lx) = axes
    if nz * ny * nx > MOST_VOXELS:
        raise BundleError(
            f"The side file of {side.name or 'the network'} asks for an input of {nz} x {ny} x {nx} voxels; "
            "fix spacing or size, or choose a smaller region."
        )
    return Lattice((lz, ly, lx), (sz, sy, sx), (nz, ny, nx))


def _resized(count: int, low: float, extent: float, own: float, align: str) -> tuple[int, float, float]:
    """(count, spacing, low end) of an axis that is resized to `count` voxels. own : the volume's spacing."""
    if align == "edges" or count == 1:
        return count, extent / count, low
    step = max(extent - own, own * ROUNDING) / (count - 1)
    return count, step, low + (own - step) / 2


def _padded(side: SideFile, kept: Lattice) -> tuple[Lattice, Shape]:
    """The lattice with the padding that multiple_of and patch need, and where the kept part begins in it."""
    multiple = side.multiple_of if not isinstance(side.multiple_of, int) else (side.multiple_of,) * 3
    least = side.turn.zyx(side.patch or side.min_size)
    steps = side.turn.zyx(multiple)
    z, y, x = (ceil(max(n, low) / step) * step for n, low, step in zip(kept.shape, least, steps, strict=True))
    before = [(after - n) // 2 for after, n in zip((z, y, x), kept.shape, strict=True)]
    low = [a - n * s for a, n, s in zip(kept.low_mm, before, kept.spacing_mm, strict=True)]
    return Lattice((low[0], low[1], low[2]), kept.spacing_mm, (z, y, x)), (before[0], before[1], before[2])


def _input(
    side: SideFile, upright: Upright, lattice: Lattice, inside: tuple[slice, ...]
) -> Generator[float, None, Tensor]:
    """(1, C, z, y, x) float32 on `lattice`. inside : its voxels without padding.

    Raises BundleError for too few channels.
    """
    import torch

    from ctseg_models.inference.input.intensities import normalise
    from ctseg_models.inference.input.preprocess import resample_box

    view = upright.view.apply(upright.volume.array)
    channels = view if view.ndim == 4 else view[None]
    needed = 1 + max(channel.source for channel in side.channels)
    if len(channels) < needed:
        raise BundleError(
            f"The bundle takes {needed} channels and the volume has {len(channels)}; give one file per "
            "channel (CASE_0000, CASE_0001, ...)."
        )
    sources = sorted({channel.source for channel in side.channels})
    neighbours = NeighbourSlices.of(side, lattice, view.shape[-3:], upright.geometry.spacing_mm)
    resampled: dict[int, Tensor] = {}
    for source in sources:
        work = resample_box(
            channels[source],
            upright.geometry.spacing_mm,
            neighbours.lattice,
            pad=side.pad,
            interpolation=side.interpolation,
            sigma_mm=side.smoothing,
        )
        resampled[source] = yield from scaled(work, 1 / len(sources))
    x = torch.empty(1, len(side.channels), *lattice.shape)
    for number, channel in enumerate(side.channels):
        own = resampled[channel.source]
        taken_of = (
            channels[channel.source]
            if channel.statistics == "volume"
            else neighbours.of_slice(own, 0)[inside].numpy()
        )
        x[0, number] = neighbours.of_slice(own, channel.slice)
        normalise(x[0, number], _settled(channel, taken_of))
        yield 0.0
    return x


@dataclass(frozen=True, eq=False)
class NeighbourSlices:
    """An input's lattice with the neighbouring slices that its channels read.

    axis : of the view, along which slices are counted, by `step` (-1 where the network's axis runs the other
    way). first, last : the slices of `lattice` that lie within the volume.
    """

    lattice: Lattice
    axis: int
    step: int
    reach: int
    first: int
    last: int

    @classmethod
    def of(cls, side: SideFile, lattice: Lattice, volume: Shape, spacing_mm: Triple) -> NeighbourSlices:
        """volume, spacing_mm : of the view."""
        axis, reach = side.turn.order[0], max(abs(channel.slice) for channel in side.channels)
        low, shape, spacing = list(lattice.low_mm), list(lattice.shape), lattice.spacing_mm[axis]
        low[axis] -= reach * spacing
        shape[axis] += 2 * reach
        end = volume[axis] * spacing_mm[axis]
        first = max(
            0, ceil(-low[axis] / spacing - 0.5 - ROUNDING)
        )  # the first slice whose centre is inside the volume
        last = min(shape[axis] - 1, floor((end - low[axis]) / spacing - 0.5 + ROUNDING))
        wide = Lattice((low[0], low[1], low[2]), lattice.spacing_mm, (shape[0], shape[1], shape[2]))
        return cls(wide, axis, -1 if 0 in side.turn.flips else 1, reach, first, last)

    def of_slice(self, resampled: Tensor, offset: int) -> Tensor:
        """From an array on `lattice`: for each slice of the input, the one `offset` steps further.

        At the volume's ends its last one. Slices that pad the volume have their own neighbours.
        """
        import numpy as np
        import torch

        if not self.reach:
            return resampled
        own = np.arange(self.reach, self.lattice.shape[self.axis] - self.reach)
        of_volume = (own >= self.first) & (own <= self.last)
        index = np.where(
            of_volume, np.clip(own + self.step * offset, self.first, self.last), own + self.step * offset
        )
        return resampled.index_select(self.axis, torch.from_numpy(index))


def _settled(channel: Channel, taken_of: NDArray[np.generic]) -> Intensity:
    """Clip, shift and scale as numbers, with the ends that "minmax" goes to."""
    from ctseg_models.inference.input.intensities import settle

    intensity = settle(channel.intensity(), taken_of)
    if channel.normalise != "minmax" or channel.to == (0.0, 1.0):
        return intensity
    low, high = channel.to
    scale = intensity.scale / (high - low)
    return intensity.model_copy(update={"scale": scale, "shift": intensity.shift - low * scale})
