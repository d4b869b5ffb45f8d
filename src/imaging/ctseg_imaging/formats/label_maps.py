"""Label maps from files and from volumes, without guessing the meaning of a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging import label_names
from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.formats import segmentations
from ctseg_imaging.formats.segmentations import SegmentationKind
from ctseg_imaging.formats.segmentations.onto_grid import place
from ctseg_imaging.formats.volumes import read
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume

NEARLY_WHOLE = 0.01  # a float label may be off by this much; interpolation leaves more, storage less


def read_labels(
    path: str | Path,
    *,
    names: Mapping[int, str] | None = None,
    volume: int | None = None,
    segment_layer: int | str | None = None,
    like: Geometry | Volume | None = None,
    nearest_grid: bool = False,
) -> LabelMap:
    """Read a label map or a segmentation (.seg.nrrd, DICOM SEG, RTSTRUCT).

    names : {value: name}; where None, those of the file itself and of the files next to it (provenance,
    dataset.json, labels.json: see `label_names`), else "label VALUE". Segments keep their names and colours.
    nearest_grid : as in `read`. volume : which one of a 4D file, from 1.

    segment_layer : of overlapping segments, the number of a layer in `list_choices`, the name of a segment,
    or "merged" for all of them with smaller ones over larger ones. like : an image or its grid, on whose
    voxels the labels then lie; an RTSTRUCT without one is drawn on the series that it was made for, which has
    to be in its folder or the one above.

    Whole numbers of any type, floats within 0.01 of a whole number too (rounded, with a note). Raises
    ChoiceNeeded for overlapping segments; GeometryError where the voxels do not lie on those of `like`;
    FormatError for probabilities, negative values and everything that `read` refuses.
    """
    path = Path(path)
    grid = like.geometry if isinstance(like, Volume) else like
    if (kind := segmentations.kind_of(path)) is None:
        if segment_layer is not None:
            raise FormatError(f"{path}: is a label map without layers; leave out the layer.")
        found = to_label_map(read(path, volume=volume, nearest_grid=nearest_grid), path, names)
    else:
        if volume is not None:
            raise FormatError(f"{path}: is a {kind}; choose a layer, not a volume.")
        found = segmentations.read(path, kind, grid).label_map(segment_layer)
    if names is None and kind in (
        None,
        SegmentationKind.SEG_NRRD,
    ):  # in DICOM the numbers only count segments
        found = label_names.complete(found, path)
    return found if grid is None else place(found, grid)


def read_layers(path: str | Path, grid: Geometry | None = None) -> list[LabelMap]:
    """Every layer of a segmentation, one label map where no segments overlap.

    grid : of the image that the segmentation belongs to. The layers lie on it, or on their own where the
    voxels of the two do not coincide. Raises FormatError, GeometryError.
    """
    path = Path(path)
    kind = segmentations.kind_of(path)
    if kind is None:
        raise FormatError(
            f"{path}: is not a segmentation with layers; give .seg.nrrd, DICOM SEG or RTSTRUCT."
        )
    whole = segmentations.read(path, kind, grid)
    layers = [whole.label_map(choice.index) for choice in whole.choices()]
    return layers if grid is None else [_near(layer, grid) for layer in layers]


def read_labels_of(
    path: str | Path, grid: Geometry, *, segment_layer: int | str | None = None, nearest_grid: bool = False
) -> LabelMap:
    """A label map as `read_labels` reads it.

    A segmentation lies on the grid of its image, `grid`, or on its own where the voxels of the two do not
    coincide.
    """
    kind = segmentations.kind_of(path)
    if kind is None:
        return read_labels(path, segment_layer=segment_layer, nearest_grid=nearest_grid)
    if kind is SegmentationKind.RTSTRUCT:
        return read_labels(path, segment_layer=segment_layer, like=grid)
    return _near(read_labels(path, segment_layer=segment_layer), grid)


def _near(label_map: LabelMap, grid: Geometry) -> LabelMap:
    try:
        return place(label_map, grid)
    except GeometryError:
        note = "The segmentation lies on another grid than the image and was left on its own."
        return replace(label_map, notes=(*label_map.notes, note))


def to_label_map(volume: Volume, path: Path, names: Mapping[int, str] | None = None) -> LabelMap:
    """The labels of `volume` as uint8, uint16 or int32. Raises FormatError if its values are not labels."""
    array, notes = volume.array, list(volume.notes)
    if array.ndim != 3:
        raise FormatError(f"{path}: has {volume.channels} channels; a label map has one.")
    if array.dtype.kind == "f":
        array = _rounded(array, path, notes)
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if low < 0:
        raise FormatError(
            f"{path}: has the negative value {low}, and labels are 0 (background) and above; map it to "
            "another value first."
        )
    if high > np.iinfo(np.int32).max:
        raise FormatError(f"{path}: has the value {high}, too large for a label; is it a label map?")
    dtype = np.uint8 if high <= 255 else np.uint16 if high <= 65535 else np.int32
    array = array.astype(dtype, copy=False)
    labels = Labels.from_values(array) if names is None else Labels.from_names(names)
    return LabelMap(array, volume.geometry, labels, volume.header, volume.source, tuple(notes))


def _rounded(array: NDArray[Any], path: Path, notes: list[str]) -> NDArray[Any]:
    """Nearest whole numbers of a float array, a slice at a time."""
    whole = np.empty(array.shape, np.int32)
    worst = 0.0
    for plane, out in zip(array, whole, strict=True):
        nearest = np.rint(plane)
        if not np.isfinite(plane).all():
            raise FormatError(
                f"{path}: has voxels that are not a number, so it is not a label map; is it an image?"
            )
        worst = max(worst, float(np.abs(plane - nearest).max()))
        if worst > NEARLY_WHOLE or np.abs(nearest).max() > np.iinfo(np.int32).max:
            raise FormatError(
                f"{path}: has values between whole numbers (probabilities or an image), so it is not a label "
                "map; threshold it or take the argmax first."
            )
        out[...] = nearest
    notes.append(
        "The labels were stored as floating point numbers."
        if worst == 0
        else f"The labels were stored as floating point numbers off by up to {worst:.2g}; they were rounded."
    )
    return whole
