"""Values of class maps at the voxels of another grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ctseg_imaging.geometry import Shape
from ctseg_models.inference.input.axis import Axis
from ctseg_models.inference.input.preprocess import axis_weights
from ctseg_models.inference.labels.class_maps import ClassMaps, Target
from ctseg_models.inference.labels.rival import WIDENED, InPlaneWindow, Rival

COLUMNS = 64  # that are interpolated together
UINT8_MAX = 255
SMALLEST_PROBABILITY = 1e-7  # 0 has no logarithm


class ClassMapSampler:
    """Class maps at the voxel centres of a target.

    Outside the lattice a map is 0 and the background 1, unless the border repeats.
    """

    def __init__(self, class_maps: ClassMaps, target: Target) -> None:
        self.class_maps = class_maps
        self.values = class_maps.values
        lattice, repeat = class_maps.lattice, class_maps.border == "repeat"
        self.axes = [
            Axis(
                axis_weights(
                    lattice.shape[axis],
                    lattice.spacing_mm[axis],
                    target.start[axis] * target.spacing_mm[axis] - lattice.low_mm[axis],
                    target.spacing_mm[axis],
                    target.shape[axis],
                    interpolation=class_maps.interpolation[axis],
                    repeat=repeat,
                )
            )
            for axis in range(3)
        ]
        self.covers = all(bool(axis.within.all()) for axis in self.axes)
        self._normaliser: tuple[int, int, Tensor] | None = None

    def needed(self, a: int, b: int) -> tuple[int, int]:
        """The maps' slices [low, high) that the target's slices [a, b) need; equal if there are none."""
        return self.axes[0].inputs(a, b)

    def slab(self, value: int, a: int, b: int) -> Tensor | None:
        """(b - a, y, x) float32: the probability of `value` in slices [a, b) of the target; None where it is
        0.
        """
        if value not in self.values:
            return None
        if self.class_maps.form == "regions":
            chance = self._region_chance(value, a, b)
        else:
            chance = torch.zeros(self._shape(a, b))
            as_it_is = self.class_maps.form == "probabilities" and self.class_maps.temperature == 1
            for k, meant in enumerate(self.class_maps.each):
                if meant == value:
                    chance += (
                        self._raw(k, a, b)
                        if as_it_is
                        else (self._logit(k, a, b) - self._log_total(a, b)).exp_()
                    )
        if not self.covers:
            chance.masked_fill_(self._outside(a, b), 1.0 if value == 0 else 0.0)
        return chance

    def ranked(self, a: int, b: int) -> tuple[Tensor, Tensor, Tensor]:
        """Of slices [a, b), each (b - a, y, x): the most probable value, its probability, the second highest
        one.

        Values are int32, the lower one of equals. One map and a few slices are held at a time, never all
        classes.
        """
        best = self.slab(0, a, b)
        assert best is not None  # all class maps have a background
        second, winner = torch.zeros_like(best), torch.zeros(best.shape, dtype=torch.int32)
        for value in self.values[1:]:
            chance = self.slab(value, a, b)
            assert chance is not None
            second = torch.maximum(second, torch.minimum(best, chance))
            winner.masked_fill_(chance > best, value)
            torch.maximum(best, chance, out=best)
        return winner, best, second

    def winner(self, a: int, b: int) -> Tensor:
        """(b - a, y, x) int32: the label in slices [a, b).

        The most probable value, the lower one of equals; of regions, the last one that covers the voxel.
        """
        maps = self.class_maps
        if maps.form == "regions":
            winner = self._covering(a, b)
        elif 0 in maps.each and len(set(maps.each)) == len(maps.each):
            winner = self._highest(a, b)
        else:
            best = self._probability(0, a, b)
            winner = torch.zeros(best.shape, dtype=torch.int32)
            for value in self.values[1:]:
                score = self._probability(value, a, b)
                winner.masked_fill_(score > best, value)
                torch.maximum(best, score, out=best)
        return winner if self.covers else winner.masked_fill_(self._outside(a, b), 0)

    def _covering(self, a: int, b: int) -> Tensor:
        """`winner` of regions: each where its logit is positive, which it can be near positive voxels of its
        map only.
        """
        winner = torch.zeros(self._shape(a, b), dtype=torch.int32)
        for k, value in enumerate(self.class_maps.each):
            coarse = self._between_slices(k, a, b)
            if (window := self._reach(coarse > 0)) is not None:
                _at(winner, window).masked_fill_(self._in_plane(coarse, window) > 0, value)
        return winner

    def _highest(self, a: int, b: int) -> Tensor:
        """`winner` where the maps as they are rank the values.

        Interpolated linearly, a map can exceed the background's only near voxels where it does so itself, so
        it is computed there and nowhere else.
        """
        narrow = torch.uint8 if self.values[-1] <= UINT8_MAX else torch.int32
        winner = torch.zeros(self._shape(a, b), dtype=narrow)
        ordered = sorted((value, k) for k, value in enumerate(self.class_maps.each))
        background = self._between_slices(ordered[0][1], a, b)
        rivals = []
        for value, k in ordered[1:]:
            coarse = self._between_slices(k, a, b)
            if (window := self._reach(coarse > background)) is not None:
                rivals.append((value, self._cut(coarse, window)))
        if rivals:
            (top, bottom), (left, right) = union = around([rival.window for _, rival in rivals])
            behind = self._cut(background, union)
            contenders = [(0, behind), *rivals]
            best, room = torch.empty(bottom - top, right - left), torch.empty((bottom - top) * (right - left))
            at_once = max(1, WIDENED // sum(rival.widened_bytes for _, rival in contenders))
            for low in range(0, b - a, at_once):
                high = min(b - a, low + at_once)
                wide = [rival.widened(low, high) for _, rival in contenders]
                for z in range(
                    low, high
                ):  # one slice at a time, which the caches hold while all rivals are compared
                    behind.down.of(wide[0][z - low], out=best)
                    for (value, rival), map_slices in zip(rivals, wide[1:], strict=True):
                        (y0, y1), (x0, x1) = rival.window
                        score = rival.down.of(
                            map_slices[z - low], out=room[: (y1 - y0) * (x1 - x0)].view(y1 - y0, x1 - x0)
                        )
                        highest = best[y0 - top : y1 - top, x0 - left : x1 - left]
                        _put(value, winner[z, y0:y1, x0:x1], score > highest)
                        torch.maximum(highest, score, out=highest)
        return winner.to(torch.int32)

    def _probability(self, value: int, a: int, b: int) -> Tensor:
        chance = self.slab(value, a, b)
        assert chance is not None
        return chance

    def _shape(self, a: int, b: int) -> Shape:
        return b - a, len(self.axes[1]), len(self.axes[2])

    def _raw(self, k: int, a: int, b: int) -> Tensor:
        """(b - a, y, x) float32: map k in slices [a, b), 0 outside the lattice."""
        _, height, width = self._shape(a, b)
        return self._in_plane(self._between_slices(k, a, b), ((0, height), (0, width)))

    def _between_slices(self, k: int, a: int, b: int) -> Tensor:
        """(b - a, y, x) float32: map k in slices [a, b) of the target, with the network's own y and x."""
        low, high = self.needed(a, b)
        if low == high:
            return torch.zeros(b - a, *self.class_maps.maps.shape[2:])
        between: Tensor = torch.tensordot(
            self.axes[0].weights[a:b, low:high], self.class_maps.maps.part(k, low, high), dims=1
        )
        return between

    def _in_plane(self, coarse: Tensor, window: InPlaneWindow) -> Tensor:
        """The result of `_between_slices` in a window of the target's plane."""
        rows, columns = window
        (y0, y1), (x0, x1) = self.axes[1].inputs(*rows), self.axes[2].inputs(*columns)
        across = coarse[:, y0:y1, x0:x1] @ self.axes[2].weights[slice(*columns), x0:x1].T
        return self.axes[1].taps(*rows).of(across)

    def _cut(self, coarse: Tensor, window: InPlaneWindow) -> Rival:
        """The result of `_between_slices`, prepared for resampling to a window slice by slice."""
        rows, columns = window
        (y0, y1), (x0, x1) = self.axes[1].inputs(*rows), self.axes[2].inputs(*columns)
        across = []
        for start in range(*columns, COLUMNS):
            stop = min(start + COLUMNS, columns[1])
            low, high = self.axes[2].inputs(start, stop)
            across.append(
                (
                    slice(start - columns[0], stop - columns[0]),
                    slice(low - x0, high - x0),
                    self.axes[2].weights[start:stop, low:high].T,
                )
            )
        return Rival(window, coarse[:, y0:y1, x0:x1].contiguous(), self.axes[1].taps(*rows), across)

    def _reach(self, mask: Tensor) -> InPlaneWindow | None:
        """The window of the target's plane that voxels of `mask` (slices, y, x of the maps) contribute to;
        None: none.
        """
        flat = mask.view(torch.uint8).amax(dim=0).bool()  # many times faster than any()
        window = []
        for axis, used in ((self.axes[1], flat.any(dim=1)), (self.axes[2], flat.any(dim=0))):
            where = used.nonzero()
            if not len(where):
                return None
            window.append(axis.outputs(int(where[0]), int(where[-1]) + 1))
        return None if any(start == stop for start, stop in window) else (window[0], window[1])

    def _logit(self, k: int, a: int, b: int) -> Tensor:
        """(b - a, y, x) float32: the logit (or log probability) of map k in slices [a, b), over the
        temperature.
        """
        raw = self._raw(k, a, b)
        if self.class_maps.form == "probabilities":
            raw = raw.clamp_min_(SMALLEST_PROBABILITY).log_()
        return raw.div_(self.class_maps.temperature)

    def _log_total(self, a: int, b: int) -> Tensor:
        """The logarithm of the softmax's denominator in slices [a, b), cached for the next class."""
        if self._normaliser is None or self._normaliser[:2] != (a, b):
            total = self._logit(0, a, b)
            for k in range(1, len(self.class_maps.each)):
                total = torch.logaddexp(total, self._logit(k, a, b))
            self._normaliser = (a, b, total)
        return self._normaliser[2]

    def _region_chance(self, value: int, a: int, b: int) -> Tensor:
        """The probability that a region is painted and no later one covers it, the regions taken as
        independent.
        """
        chance = torch.zeros(self._shape(a, b))
        uncovered = torch.ones_like(chance)
        for k, meant in reversed(list(enumerate(self.class_maps.each))):
            inside = self._raw(k, a, b).div_(self.class_maps.temperature).sigmoid_()
            if meant == value:
                chance += inside * uncovered
            uncovered *= 1 - inside
        return uncovered if value == 0 else chance

    def _outside(self, a: int, b: int) -> Tensor:
        """(b - a, y, x) bool: outside the lattice."""
        z, y, x = (axis.within for axis in self.axes)
        return ~(z[a:b, None, None] & y[None, :, None] & x[None, None, :])


def around(windows: Sequence[InPlaneWindow]) -> InPlaneWindow:
    """The smallest window that holds all of them."""
    rows, columns = zip(*windows, strict=True)
    return (
        (min(start for start, _ in rows), max(stop for _, stop in rows)),
        (min(start for start, _ in columns), max(stop for _, stop in columns)),
    )


def _put(value: int, winner: Tensor, where: Tensor) -> None:
    """Write `value` where the mask is true. A branch for each byte would take many times as long."""
    if winner.dtype == torch.uint8:
        winner.bitwise_xor_((winner ^ value).bitwise_and_(where.view(torch.uint8).neg_()))
    else:
        winner.masked_fill_(where, value)


def _at(x: Tensor, window: InPlaneWindow) -> Tensor:
    """A view (slices, y, x) of the window."""
    (top, bottom), (left, right) = window
    return x[:, top:bottom, left:right]
