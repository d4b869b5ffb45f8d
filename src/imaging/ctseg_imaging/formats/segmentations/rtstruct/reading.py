"""RTSTRUCT: closed planar contours in patient coordinates, drawn onto the grid of an image.

A voxel belongs to a structure if its centre lies inside the contours of its slice. Contours are matched to
slices by position: references by UID are often those of another copy of the series. Of contours in one plane,
one inside another is a hole, and one inside that hole an island, in any order; contours that cross are
merged. Nothing is interpolated. Source: DICOM PS3.3 C.8.8.5 (structure set), C.8.8.6 (ROI contour).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.formats.segmentations.dicom_objects import opened, parsing
from ctseg_imaging.formats.segmentations.rtstruct.contours import fill
from ctseg_imaging.formats.segmentations.segments import (
    Segment,
    Segmentation,
    SliceBox,
    colour_of,
    refuse_empty,
)
from ctseg_imaging.geometry import Float, Geometry

IN_PLANE = 0.01  # slices: a contour whose points spread no further along an axis lies in a plane across it
ON_SLICE = 0.05  # slices: a plane further than this from the centre of its slice lies between slices
NEARLY_IN_PLANE = 0.25  # slices: planes tilted by less are rounding of a coarse export
XOR = "CLOSEDPLANAR_XOR"


@dataclass(frozen=True, eq=False)
class _Contour:
    """One polygon. index : (n, 3) voxel coordinates (z, y, x). kind : ContourGeometricType."""

    index: Float
    kind: str


@dataclass
class _Remarks:
    """Counts over all structures, for one sentence each."""

    no_polygons: int = 0
    twice: int = 0
    crossing: int = 0
    outside: int = 0
    partly_outside: int = 0
    between: list[float] = field(default_factory=list)
    dropped_planes: int = 0
    gaps: list[str] = field(default_factory=list)

    def sentences(self) -> list[str]:
        counts = [
            (self.no_polygons, "{} contours are points or open lines and were left out."),
            (self.twice, "{} contours occur twice and were drawn once."),
            (self.crossing, "{} contours cross another one in their plane and were merged with it."),
            (self.outside, "{} contours lie outside the image and were left out."),
            (self.partly_outside, "{} contours reach beyond the image and were cut at its border."),
            (self.dropped_planes, "{} contour planes share a slice with a closer one and were left out."),
        ]
        found = [text.format(count) for count, text in counts if count]
        if self.between:
            found.append(
                f"{len(self.between)} contour planes lie between slices (up to {max(self.between):.2f} mm "
                "from one) and were drawn on the nearest slice."
            )
        if self.gaps:
            found.append(f"Slices without a contour lie inside {', '.join(self.gaps)}; they stayed empty.")
        return found


def read(path: Path, grid: Geometry) -> Segmentation:
    """Every structure on `grid`; a structure without contours is empty.

    Raises FormatError for a file that is not an RTSTRUCT, GeometryError if the contours do not lie in planes
    of the grid or all lie outside it.
    """
    with parsing(path, "RTSTRUCT"):
        dataset = opened(path)
        remarks = _Remarks()
        named = {
            int(roi.ROINumber): str(roi.get("ROIName") or "")
            for roi in dataset.get("StructureSetROISequence") or []
        }
        drawn: dict[int, Dataset] = {}
        for item in dataset.get("ROIContourSequence") or []:
            drawn[int(item.ReferencedROINumber)] = item
        if unknown := drawn.keys() - named.keys():
            raise FormatError(
                f"{path}: has contours of structure {min(unknown)}, which it does not describe; export it "
                "again."
            )
        segments = []
        for number, name in named.items():
            item = drawn.get(number, Dataset())
            name = name.strip() or f"structure {number}"
            contours = _contours(item, grid, remarks)
            segments.append(_segment(path, number, name, _colour(item), contours, grid, remarks))
    refuse_empty(path, segments)
    if remarks.outside and all(segment.box is None for segment in segments):
        raise GeometryError(
            f"{path}: every contour lies outside the image; give the image that it was drawn on."
        )
    return Segmentation(path, grid, tuple(segments), tuple(remarks.sentences()))


def _contours(item: Dataset, grid: Geometry, remarks: _Remarks) -> list[_Contour]:
    """The polygons of a structure in voxel coordinates, each once."""
    found: list[_Contour] = []
    seen: set[bytes] = set()
    for contour in item.get("ContourSequence") or []:
        kind = str(contour.get("ContourGeometricType", "CLOSED_PLANAR")).upper()
        numbers = np.array([float(number) for number in contour.get("ContourData") or []])
        if numbers.size % 3 or not np.isfinite(numbers).all():
            raise ValueError("contour data")
        points = numbers.reshape(-1, 3)
        if kind not in ("CLOSED_PLANAR", XOR) or len(points) < 3:
            remarks.no_polygons += 1
            continue
        key = np.round(points, 3).tobytes()
        if key in seen and kind != XOR:
            remarks.twice += 1
            continue
        seen.add(key)
        found.append(_Contour(grid.lps_to_index(points), kind))
    return found


def _segment(
    path: Path,
    number: int,
    name: str,
    colour: str,
    contours: Sequence[_Contour],
    grid: Geometry,
    remarks: _Remarks,
) -> Segment:
    empty = Segment(number, name, colour, None, np.zeros((0, 0, 0), bool))
    if not contours:
        return empty
    axis = _plane_axis(path, contours)
    planes: dict[float, list[_Contour]] = {}
    for contour in contours:
        planes.setdefault(round(float(contour.index[:, axis].mean()), 2), []).append(contour)
    across = [other for other in range(3) if other != axis]
    shape = (grid.shape[across[0]], grid.shape[across[1]])
    slices: dict[int, NDArray[np.bool_]] = {}
    for k, members in _nearest_planes(planes, grid, axis, remarks).items():
        if not 0 <= k < grid.shape[axis]:
            remarks.outside += len(members)
            continue
        mask = _filled([(one.index[:, across], one.kind) for one in members], shape, remarks)
        if mask.any():
            slices[k] = mask
    if not slices:
        return empty
    if len(slices) < max(slices) - min(slices) + 1:
        remarks.gaps.append(name)
    return _boxed(empty, slices, axis)


def _plane_axis(path: Path, contours: Sequence[_Contour]) -> int:
    """The array axis across which all contours lie."""
    spread = np.max([np.ptp(contour.index, axis=0) for contour in contours], axis=0)
    axis = int(spread.argmin())
    if spread[axis] > NEARLY_IN_PLANE:
        raise GeometryError(
            f"{path}: its contours do not lie in planes of the image's grid; give the image that it was "
            "drawn on."
        )
    return axis


def _nearest_planes(
    planes: dict[float, list[_Contour]], grid: Geometry, axis: int, remarks: _Remarks
) -> dict[int, list[_Contour]]:
    """The contours of each slice: those of the plane nearest to it, of the planes within half a slice."""
    chosen: dict[int, float] = {}
    for place in sorted(planes, key=lambda one: abs(one - round(one))):
        k = int(np.floor(place + 0.5))
        if k in chosen and abs(place - chosen[k]) > IN_PLANE * 2:
            remarks.dropped_planes += 1
            continue
        if k in chosen:
            planes[chosen[k]].extend(planes[place])
            continue
        chosen[k] = place
        off = abs(place - k)
        if off > ON_SLICE and 0 <= k < grid.shape[axis]:
            remarks.between.append(off * grid.spacing_mm[axis])
    return {k: planes[place] for k, place in chosen.items()}


def _filled(
    polygons: Sequence[tuple[Float, str]], shape: tuple[int, int], remarks: _Remarks
) -> NDArray[np.bool_]:
    """The contours of one plane together, larger ones first."""
    mask = np.zeros(shape, bool)
    for polygon, kind in sorted(polygons, key=lambda one: -_area(one[0])):
        low, high = polygon.min(axis=0), polygon.max(axis=0)
        if (high < -0.5).any() or (low > np.array(shape) - 0.5).any():
            remarks.outside += 1
            continue
        remarks.partly_outside += bool((low < -0.5).any() or (high > np.array(shape) - 0.5).any())
        one = fill(polygon, shape)
        shared = one & mask
        if kind != XOR and shared.any() and not np.array_equal(shared, one):
            remarks.crossing += 1
            mask |= one
        else:
            mask ^= one
    return mask


def _area(polygon: Float) -> float:
    row, column = polygon[:, 0], polygon[:, 1]
    return abs(float(np.sum(column * np.roll(row, -1) - np.roll(column, -1) * row)))


def _boxed(empty: Segment, slices: dict[int, NDArray[np.bool_]], axis: int) -> Segment:
    """A segment from its slices across an axis, cut to its box."""
    union = np.logical_or.reduce(list(slices.values()))
    rows, columns = np.flatnonzero(union.any(axis=1)), np.flatnonzero(union.any(axis=0))
    inner = [slice(int(found[0]), int(found[-1]) + 1) for found in (rows, columns)]
    low = min(slices)
    stack = np.zeros(
        (max(slices) - low + 1, inner[0].stop - inner[0].start, inner[1].stop - inner[1].start), bool
    )
    for k, mask in slices.items():
        stack[k - low] = mask[tuple(inner)]
    spans = inner[:]
    spans.insert(axis, slice(low, max(slices) + 1))
    box: SliceBox = (spans[0], spans[1], spans[2])
    return Segment(empty.value, empty.name, empty.colour, box, np.moveaxis(stack, 0, axis))


def _colour(item: Dataset) -> str:
    stored = item.get("ROIDisplayColor")
    return colour_of(*[int(number) / 255 for number in stored]) if stored and len(stored) == 3 else ""
