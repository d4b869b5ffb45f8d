"""One case in memory, upright and ready to be sampled, and a cache that holds as many as fit a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctseg_imaging import formats
from ctseg_imaging.errors import RecipeError
from ctseg_imaging.geometry import AxisView, Geometry, Match, Triple
from ctseg_models.inference.lattice import Box
from ctseg_training.data.decathlon import CaseEntry

POINTS_PER_LABEL = 2000


@dataclass(frozen=True, eq=False)
class Case:
    """A case along the LPS-upright axes (z to superior, y to posterior, x to left), in its true spacing.

    image : (z, y, x) in the type it is stored in. labels : (z, y, x) uint8 class indices. geometry : of the upright arrays.
    present : per class index, contoured or not. points : per class index that occurs, up to 2000 (n, 3) voxel indices of it.
    box : of all labels, in mm from the outer face of voxel 0; the whole volume when there are none.
    """

    name: str
    image: Tensor
    labels: Tensor
    geometry: Geometry
    present: tuple[bool, ...]
    points: dict[int, NDArray[np.int32]]
    box: Box

    @property
    def spacing_mm(self) -> Triple:
        """(z, y, x)."""
        return self.geometry.spacing_mm

    @property
    def bytes(self) -> int:
        """Memory of the arrays."""
        return self.image.nbytes + self.labels.nbytes + sum(points.nbytes for points in self.points.values())


def load_case(entry: CaseEntry) -> Case:
    """Read both files. Raises RecipeError when they lie on different grids or hold a value that dataset.json does not know."""
    volume, label_map = formats.read(entry.image), formats.read_labels(entry.label)
    if volume.array.ndim != 3:
        raise RecipeError(f"{entry.image}: has {volume.channels} channels; training takes images of one channel.")
    if volume.geometry.matches(label_map.geometry) not in (Match.SAME, Match.ROUNDING):
        raise RecipeError(f"{entry.label}: lies on another grid than its image; resample it onto the image first.")
    view = AxisView.of(volume.geometry)
    image = _ready(view.apply(volume.array))
    labels = _class_indices(entry, np.ascontiguousarray(view.apply(label_map.array)))
    return make_case(entry.name, image, labels, view.geometry(volume.geometry), entry.present)


def make_case(name: str, image: NDArray[np.generic], labels: NDArray[np.uint8], geometry: Geometry, present: tuple[bool, ...]) -> Case:
    """From upright arrays. Raises RecipeError for a voxel of a label that was not contoured."""
    found = [int(value) for value in np.unique(labels) if value]
    if wrong := [value for value in found if not present[value]]:
        raise RecipeError(f"{name}: has voxels of class {wrong[0]}, which labels_present says was not contoured; correct one of them.")
    points = {value: _some_voxels(labels, value) for value in found}
    box = Box.whole(geometry)
    if found:
        voxels = [np.flatnonzero((labels > 0).any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        low = [float(v[0] * s) for v, s in zip(voxels, geometry.spacing_mm, strict=True)]
        high = [float((v[-1] + 1) * s) for v, s in zip(voxels, geometry.spacing_mm, strict=True)]
        box = Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    return Case(name, torch.from_numpy(image), torch.from_numpy(labels), geometry, present, points, box)


class CaseCache:
    """The most recently used cases, up to a number of bytes; always at least the last one. Safe between threads."""

    def __init__(self, megabytes: float, load: Callable[[CaseEntry], Case] = load_case) -> None:
        self._budget, self._load = megabytes * 1e6, load
        self._cases: OrderedDict[CaseEntry, Case] = OrderedDict()
        self._lock = Lock()

    def get(self, entry: CaseEntry) -> Case:
        """The case, from memory or from the disk."""
        with self._lock:
            if entry in self._cases:
                self._cases.move_to_end(entry)
                return self._cases[entry]
            case = self._cases[entry] = self._load(entry)
            while len(self._cases) > 1 and self.bytes > self._budget:
                self._cases.popitem(last=False)
            return case

    @property
    def bytes(self) -> int:
        """What the cases held take."""
        return sum(case.bytes for case in self._cases.values())


def _ready(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """int16 where that holds the values, else float32: torch takes neither unsigned 16 bit nor big-endian numbers."""
    if array.dtype.kind in "iu" and array.size and -32768 <= int(array.min()) <= int(array.max()) <= 32767:
        return np.ascontiguousarray(array, dtype=np.int16)
    return np.ascontiguousarray(array, dtype=np.float32)


def _class_indices(entry: CaseEntry, stored: NDArray[np.generic]) -> NDArray[np.uint8]:
    known = dict(entry.classes) | {0: 0}
    values = [int(value) for value in np.unique(stored)]
    if unknown := [value for value in values if value not in known]:
        raise RecipeError(f"{entry.label}: has the value {unknown[0]}, which dataset.json does not name; name it or remove it.")
    table = np.zeros(max(values, default=0) + 1, np.uint8)
    for value in values:
        table[value] = known[value]
    indices: NDArray[np.uint8] = table[stored.astype(np.int64)]
    return indices


def _some_voxels(labels: NDArray[np.uint8], value: int) -> NDArray[np.int32]:
    flat = np.flatnonzero(labels == value)
    flat = flat[:: max(1, len(flat) // POINTS_PER_LABEL)]
    return np.stack(np.unravel_index(flat, labels.shape), axis=1).astype(np.int32)
