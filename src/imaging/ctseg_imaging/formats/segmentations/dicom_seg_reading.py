"""DICOM SEG: frames of one segment each (BINARY, FRACTIONAL) or of segment numbers (LABELMAP), by their
positions.

The grid comes from the object itself: the source series is not needed. Frames that were left out because they
are empty are empty slices. Source: DICOM PS3.3 A.51 and C.8.20 (segmentation), C.7.6.16 (functional groups).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from skimage.color import lab2rgb

from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.formats.segmentations import seg_values, terminology
from ctseg_imaging.formats.segmentations.dicom_objects import first, opened, parsing
from ctseg_imaging.formats.segmentations.segments import (
    Segment,
    Segmentation,
    colour_of,
    refuse_empty,
    segment_of,
)
from ctseg_imaging.geometry import Float, Geometry

STEP_TOLERANCE = 0.02  # of a slice step: how far a frame may lie from its slice
MOST_SLICES = 5000


@dataclass(frozen=True, eq=False)
class _Frames:
    """Where the frames lie.

    places : slice number of each. segments : segment number of each, 0 in a LABELMAP.
    """

    geometry: Geometry
    places: tuple[int, ...]
    segments: tuple[int, ...]


@dataclass(frozen=True)
class _Described:
    """A segment as the file describes it.

    value : the label value; the segment number, except in files of this program.
    """

    value: int
    name: str
    colour: str
    tags: str


def read(path: Path, like: Geometry | None = None) -> Segmentation:
    """Every segment on the object's own grid.

    like : an image's grid, for the distance of slices where the object lacks it.

    Raises FormatError, GeometryError: tiled (microscopy), cut off, frames without a position or at uneven
    ones.
    """
    with parsing(path, "DICOM SEG"):
        dataset = opened(path)
        kind = str(dataset.get("SegmentationType", "")).upper()
        if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
            raise FormatError(
                f"{path}: is a segmentation of the unknown type {kind[:20] or '(none)'}; export it as BINARY."
            )
        frames = _frames(path, dataset, like, kind)
        pixels = _pixels(path, dataset, len(frames.places))
        notes: list[str] = []
        if kind == "LABELMAP":
            segments = _of_numbers(dataset, frames, pixels)
        else:
            segments = _of_masks(path, dataset, frames, _as_mask(dataset, kind, pixels, notes))
        refuse_empty(path, segments)
        empty = frames.geometry.shape[0] - len(set(frames.places))
        if empty:
            notes.append(f"{empty} slices between the frames have no frame and were taken as empty.")
    return Segmentation(path, frames.geometry, segments, tuple(notes))


def _frames(path: Path, dataset: Dataset, like: Geometry | None, kind: str) -> _Frames:
    shared = first(dataset, "SharedFunctionalGroupsSequence")
    groups = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    if not groups or len(groups) != int(dataset.get("NumberOfFrames") or len(groups)):
        raise FormatError(
            f"{path}: describes {len(groups)} of its {dataset.get('NumberOfFrames', 1)} frames; export it "
            "again."
        )

    def group(own: Dataset, name: str) -> Dataset:
        return first(own, name) if own.get(name) else first(shared, name)

    positions, cosines, spacings = [], [], []
    for own in groups:
        place = group(own, "PlanePositionSequence").get("ImagePositionPatient")
        turn = group(own, "PlaneOrientationSequence").get("ImageOrientationPatient")
        pixel = group(own, "PixelMeasuresSequence").get("PixelSpacing")
        if place is None or turn is None or pixel is None:
            raise GeometryError(
                f"{path}: has frames without a position, orientation or pixel spacing in the patient (a "
                "slide, perhaps); a segmentation of a volume is needed."
            )
        positions.append([float(number) for number in place])
        cosines.append([float(number) for number in turn])
        spacings.append([float(number) for number in pixel])
    if np.ptp(cosines, axis=0).max() > 1e-3 or np.ptp(spacings, axis=0).max() > 1e-4:
        raise GeometryError(
            f"{path}: its frames differ in orientation or pixel spacing; export one segmentation for each."
        )
    measures = group(groups[0], "PixelMeasuresSequence")
    geometry, places = _grid(
        path, dataset, np.array(positions), np.array(cosines[0]), spacings[0], measures, like
    )
    numbers = [
        0 if kind == "LABELMAP" else int(group(own, "SegmentIdentificationSequence").ReferencedSegmentNumber)
        for own in groups
    ]
    return _Frames(geometry, places, tuple(numbers))


def _grid(
    path: Path,
    dataset: Dataset,
    positions: Float,
    cosines: Float,
    spacing: list[float],
    measures: Dataset,
    like: Geometry | None,
) -> tuple[Geometry, tuple[int, ...]]:
    """The smallest grid that holds all frames, z along rows x columns, and the slice number of each frame."""
    row = cosines[:3] / np.linalg.norm(cosines[:3])
    column = cosines[3:] - (cosines[3:] @ row) * row
    column /= np.linalg.norm(column)
    normal = np.cross(row, column)
    along = positions @ normal
    sideways = positions - positions[0] - np.outer(along - along[0], normal)
    if not np.isfinite(positions).all() or np.linalg.norm(sideways, axis=1).max() > 0.05 * min(spacing):
        raise GeometryError(
            f"{path}: its frames do not lie straight above each other (gantry tilt); resample the image "
            "first."
        )
    step = _step(path, np.unique(np.round(along, 4)), measures, normal, like)
    places = np.rint((along - along.min()) / step).astype(int)
    if places.max() >= MOST_SLICES:
        raise GeometryError(
            f"{path}: its frames span {places.max() + 1} slices of {step:g} mm; is its geometry correct?"
        )
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([normal * step, column * spacing[0], row * spacing[1]])
    affine[:3, 3] = positions[int(along.argmin())]
    shape = (int(places.max()) + 1, int(dataset.Rows), int(dataset.Columns))
    return Geometry(shape, affine), tuple(places.tolist())


def _step(path: Path, along: Float, measures: Dataset, normal: Float, like: Geometry | None) -> float:
    """The distance of slices in mm: the image's, the one stated in the file, or the smallest distance of
    frames: the first that fits every frame.
    """
    candidates: list[float] = []
    if like is not None:
        parallel = np.abs(normal @ like.direction_zyx)
        if parallel.max() > 0.9999:
            candidates.append(like.spacing_mm[int(parallel.argmax())])
    given = measures.get("SpacingBetweenSlices")
    candidates += [float(given)] if given else []
    candidates += [float(np.diff(along).min())] if len(along) > 1 else []
    thickness = measures.get("SliceThickness")
    candidates += [float(thickness)] if thickness else []
    for step in candidates:
        numbers = (along - along[0]) / step if step > 1e-4 else np.array([np.nan])
        if np.abs(numbers - np.rint(numbers)).max() <= STEP_TOLERANCE and len(
            np.unique(np.rint(numbers))
        ) == len(along):
            last = float(np.rint(numbers[-1]))
            return float(along[-1] - along[0]) / last if last else step
    if len(along) == 1:
        raise GeometryError(
            f"{path}: is a single frame without a thickness; give the image that it belongs to."
        )
    raise GeometryError(
        f"{path}: its frames lie at uneven distances that no slice spacing explains; export it again."
    )


def _pixels(path: Path, dataset: Dataset, count: int) -> NDArray[Any]:
    pixels = np.asarray(dataset.pixel_array)
    if int(dataset.get("SamplesPerPixel") or 1) != 1 or pixels.size != count * int(dataset.Rows) * int(
        dataset.Columns
    ):
        raise FormatError(f"{path}: does not hold the pixels of its {count} frames; export it again.")
    return pixels.reshape(count, int(dataset.Rows), int(dataset.Columns))


def _as_mask(dataset: Dataset, kind: str, pixels: NDArray[Any], notes: list[str]) -> NDArray[np.bool_]:
    if kind == "BINARY":
        return np.asarray(pixels != 0)
    top = int(dataset.get("MaximumFractionalValue") or 255)
    if ((pixels != 0) & (pixels != top)).any():
        meaning = str(dataset.get("SegmentationFractionalType", "")).lower()
        known = meaning if meaning in ("probability", "occupancy") else "of unknown meaning"
        notes.append(f"Fractions ({known}) of one half and more were taken.")
    mask: NDArray[np.bool_] = pixels.astype(np.int64) * 2 >= top
    return mask


def _of_masks(path: Path, dataset: Dataset, frames: _Frames, masks: NDArray[np.bool_]) -> tuple[Segment, ...]:
    descriptions = _descriptions(dataset)
    if unknown := set(frames.segments) - descriptions.keys():
        raise FormatError(
            f"{path}: has frames of segment {min(unknown)}, which it does not describe; export it again."
        )
    segments = []
    for number, description in descriptions.items():
        whole = np.zeros(frames.geometry.shape, bool)
        for frame, (place, segment) in enumerate(zip(frames.places, frames.segments, strict=True)):
            if segment == number:
                whole[place] |= masks[frame]
        segments.append(_segment(description, whole))
    return tuple(segments)


def _of_numbers(dataset: Dataset, frames: _Frames, pixels: NDArray[Any]) -> tuple[Segment, ...]:
    whole = np.zeros(frames.geometry.shape, pixels.dtype)
    for place, plane in zip(frames.places, pixels, strict=True):
        whole[place] = plane
    descriptions = _descriptions(dataset)
    background = int(dataset.get("PixelPaddingValue") or 0)
    numbers = [int(number) for number in np.unique(whole) if number not in (0, background)]
    listed = {number: one for number, one in descriptions.items() if number not in (0, background)}
    segments = []
    for number in sorted({*listed, *numbers}):
        description = listed.get(number, _Described(number, f"label {number}", "", ""))
        segments.append(_segment(description, whole == number))
    return tuple(segments)


def _segment(description: _Described, mask: NDArray[np.bool_]) -> Segment:
    return segment_of(description.value, description.name, description.colour, mask, description.tags)


def _descriptions(dataset: Dataset) -> dict[int, _Described]:
    """By segment number, in file order."""
    found = {}
    for item in dataset.get("SegmentSequence") or []:
        number = int(item.SegmentNumber)
        name = str(
            item.get("SegmentLabel")
            or first(item, "SegmentedPropertyTypeCodeSequence").get("CodeMeaning")
            or f"segment {number}"
        )
        colour = _colour(item.get("RecommendedDisplayCIELabValue"))
        value = seg_values.value_of(dataset, item) or number
        found[number] = _Described(value, name.strip(), colour, terminology.of_segment(item))
    return found


def _colour(stored: Any) -> str:
    """#RRGGBB from CIELab as DICOM stores it, 16 bits each (PS3.3 C.10.7.1.1); "" without one.

    The white is sRGB's own, as in DCMTK, dcmqi and highdicom: white stays white.
    """
    if not stored or len(stored) != 3:
        return ""
    light, a, b = (int(number) for number in stored)
    lab = [light / 65535 * 100, a / 65535 * 255 - 128, b / 65535 * 255 - 128]
    return colour_of(*lab2rgb(np.array([[lab]]), illuminant="D65")[0, 0])
