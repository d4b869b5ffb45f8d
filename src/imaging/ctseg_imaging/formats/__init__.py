"""Reading and writing volumes: the path's content and ending decide the format."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from ctseg_imaging import label_names
from ctseg_imaging.endings import DICOM_ENDING, ENDINGS, RTSTRUCT_ENDING
from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.formats import itk, nifti, segmentations
from ctseg_imaging.formats.choice import Choice
from ctseg_imaging.formats.dicom import reading as dicom
from ctseg_imaging.formats.edge import reading_edge
from ctseg_imaging.formats.labels import to_label_map
from ctseg_imaging.formats.segmentations import SegmentationKind, seg_nrrd
from ctseg_imaging.formats.segmentations.onto_grid import place
from ctseg_imaging.geometry import Geometry, Match
from ctseg_imaging.progress import Progress, finish
from ctseg_imaging.volume import LabelMap, ViewOnlyVolume, Volume, exact

__all__ = [
    "DICOM_ENDING",
    "ENDINGS",
    "RTSTRUCT_ENDING",
    "Choice",
    "SegmentationKind",
    "is_dicom",
    "is_readable",
    "kind_of_segmentation",
    "list_choices",
    "read",
    "read_labels",
    "read_labels_of",
    "read_layers",
    "read_view_only",
    "reading",
    "write",
]


def read(
    path: str | Path,
    *,
    volume: int | None = None,
    series: int | str | None = None,
    nearest_grid: bool = False,
) -> Volume:
    """Read a file or a DICOM folder in its own voxel order, in HU or the file's own units.

    volume : which one of a 4D file, from 1. series : which DICOM series, its number in `list_choices` (from
    1) or its UID. nearest_grid : where rounding has sheared the axes of a file (by at most 1 degree), take
    the nearest grid without shear. Raises ChoiceNeeded if several are there and none was named, FormatError
    or GeometryError (one sentence) for anything else.
    """
    return finish(reading(path, volume=volume, series=series, nearest_grid=nearest_grid))


def reading(
    path: str | Path,
    *,
    volume: int | None = None,
    series: int | str | None = None,
    nearest_grid: bool = False,
) -> Generator[Progress, None, Volume]:
    """As `read`, with the progress of a long series; closing it cancels."""
    path = Path(path)
    with reading_edge(path):
        kind = _kind(path)
        if kind is dicom:
            if volume is not None:
                raise FormatError(f"{path}: is DICOM; choose a series, not a volume.")
            return (yield from dicom.reading(path, series))
        if series is not None:
            raise FormatError(f"{path}: is not a DICOM folder; choose a volume, not a series.")
        found: Volume = kind.read(path, volume, nearest_grid)
        return found


def read_view_only(path: str | Path, *, series: int | str | None = None) -> ViewOnlyVolume:
    """Read a DICOM series whose slices make no regular grid (tilted, incomplete, uneven) to look at it; see
    dicom_view_only.

    Raises FormatError for a path that is not DICOM, and for a series that `read` reads exactly.
    """
    path = Path(path)
    with reading_edge(path):
        if _kind(path) is not dicom:
            raise FormatError(f"{path}: is not DICOM; only DICOM series can be opened as view only.")
        return finish(dicom.viewing(path, series))


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
    dataset.json, labels.json: see `label_names`), made up from the values where nothing names them. Segments
    keep the names and colours that they have. nearest_grid : as in `read`.
    volume : which one of a 4D file, from 1.

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
    if (kind := kind_of_segmentation(path)) is None:
        if segment_layer is not None:
            raise FormatError(f"{path}: is a label map without layers; leave out the layer.")
        found = to_label_map(read(path, volume=volume, nearest_grid=nearest_grid), path, names)
    else:
        if volume is not None:
            raise FormatError(f"{path}: is a {kind}; choose a layer, not a volume.")
        found = _segmentation(path, kind, grid).label_map(segment_layer)
    if names is None and kind in (
        None,
        SegmentationKind.SEG_NRRD,
    ):  # numbers in DICOM count segments and mean nothing elsewhere
        found = label_names.complete(found, path)
    return found if grid is None else place(found, grid)


def read_layers(path: str | Path, grid: Geometry | None = None) -> list[LabelMap]:
    """Every layer of a segmentation, one label map where no segments overlap.

    grid : of the image that the segmentation belongs to. The layers lie on it, or on their own where the
    voxels of the two do not coincide. Raises FormatError, GeometryError.
    """
    path = Path(path)
    kind = kind_of_segmentation(path)
    if kind is None:
        raise FormatError(
            f"{path}: is not a segmentation with layers; give .seg.nrrd, DICOM SEG or RTSTRUCT."
        )
    whole = _segmentation(path, kind, grid)
    layers = [whole.label_map(choice.index) for choice in whole.choices()]
    return layers if grid is None else [_near(layer, grid) for layer in layers]


def read_labels_of(
    path: str | Path, grid: Geometry, *, segment_layer: int | str | None = None, nearest_grid: bool = False
) -> LabelMap:
    """A label map as `read_labels` reads it. A segmentation lies on the grid of its image, `grid`, or on its
    own where the voxels of the two do not coincide.
    """
    kind = kind_of_segmentation(path)
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


def write(
    path: str | Path,
    item: Volume | LabelMap,
    *,
    like: Volume | LabelMap | None = None,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write `item`, whole or not at all; the ending of `path` decides the format: .rtstruct.dcm is an
    RTSTRUCT, any other .dcm a DICOM SEG.

    like : whose header geometry (q/sform and codes in NIfTI) to take over; it must have the grid of `item`. A
    DICOM SEG or RTSTRUCT needs the image here, as it was read from DICOM; its voxels have to be those of
    `item`, in any order of axes. Returns one sentence for each thing that the file does not hold as it was.
    Raises FormatError if `path` exists and `overwrite` is false, has no known ending or cannot be written;
    GeometryError if `like` lies on another grid.
    """
    path = Path(path)
    for one in (item, like):
        if isinstance(one, Volume):
            exact(one, "be written")
    if path.name.lower().endswith(DICOM_ENDING):
        return _write_dicom(path, item, like, overwrite)
    if like is not None and like.geometry.matches(item.geometry) not in (Match.SAME, Match.ROUNDING):
        raise GeometryError(
            f"{path}: the volume whose geometry it is to take has another grid; resample onto that grid "
            "first."
        )
    if not path.name.lower().endswith(ENDINGS):
        raise FormatError(f"{path}: cannot tell the format from the name; end it in {', '.join(ENDINGS)}.")
    if path.name.lower().endswith(seg_nrrd.SUFFIX) and isinstance(item, LabelMap):
        seg_nrrd.write(path, item, overwrite)
    elif path.name.lower().endswith((".nii", ".nii.gz")):
        nifti.write(path, item, like, overwrite)
    else:
        itk.write(path, item, like, overwrite)
    return ()


def _write_dicom(
    path: Path, item: Volume | LabelMap, like: Volume | LabelMap | None, overwrite: bool
) -> tuple[str, ...]:
    kind = (
        SegmentationKind.RTSTRUCT
        if path.name.lower().endswith(RTSTRUCT_ENDING)
        else SegmentationKind.DICOM_SEG
    )
    if not isinstance(item, LabelMap):
        raise FormatError(
            f"{path}: only labels are written as DICOM, images are not; end it in {', '.join(ENDINGS)}."
        )
    if not isinstance(like, Volume):
        raise FormatError(
            f"{path}: a {kind} refers to the DICOM series that the labels were drawn on; give that image as "
            "well."
        )
    if kind is SegmentationKind.RTSTRUCT:
        from ctseg_imaging.formats.segmentations.rtstruct.writing import write_rtstruct

        return write_rtstruct(path, item, like, overwrite)
    from ctseg_imaging.formats.segmentations.dicom_seg_writing import (
        write_seg,
    )  # scikit-image's colours take a moment

    return write_seg(path, item, like, overwrite)


def list_choices(path: str | Path) -> list[Choice]:
    """What a path offers: the volumes of a 4D file, the series of a DICOM folder (localisers left out), the
    layers of a segmentation with overlapping segments; one where there is no choice.
    """
    path = Path(path)
    if (segmented := kind_of_segmentation(path)) is not None:
        return _segmentation(path, segmented, None).choices()
    with reading_edge(path):
        choices: list[Choice] = _kind(path).list_choices(path)
        return choices


def is_dicom(path: str | Path) -> bool:
    """Whether a path is a DICOM image: a folder, or a file that begins as DICOM does and holds no
    segmentation.

    Raises FormatError for a path that `read` does not know.
    """
    return _kind(Path(path)) is dicom and kind_of_segmentation(path) is None


def is_readable(path: str | Path) -> bool:
    """A quick look (names, first bytes) whether `read` is worth trying; never raises."""
    path = Path(path)
    try:
        if path.is_dir():
            return dicom.looks_like_folder(path)
        return path.is_file() and (
            path.name.lower().endswith((*ENDINGS, ".hdr")) or dicom.looks_like_file(path)
        )
    except OSError:
        return False


def kind_of_segmentation(path: str | Path) -> SegmentationKind | None:
    """Slicer segmentation, DICOM SEG or RTSTRUCT by the file's name and content; None for anything else.
    Raises FormatError.
    """
    with reading_edge(Path(path)):
        return segmentations.kind_of(path)


def _segmentation(path: Path, kind: SegmentationKind, grid: Geometry | None) -> segmentations.Segmentation:
    with reading_edge(path):
        return segmentations.read(path, kind, grid)


def _kind(path: Path) -> ModuleType:
    """The module of this package that reads `path`."""
    if not path.exists():
        raise FormatError(f"{path}: does not exist; check the name.")
    if path.is_dir():
        return dicom
    if not path.is_file():
        raise FormatError(f"{path}: is a device or a pipe, not a file; give a file.")
    name = path.name.lower()
    if name.endswith(itk.SUFFIXES):
        return itk
    if name.endswith((".nii", ".nii.gz")):
        return nifti
    if dicom.looks_like_file(path):
        return dicom
    if name.endswith(nifti.SUFFIXES):
        return nifti
    raise FormatError(
        f"{path}: is not an image format known here; give NIfTI, NRRD, MetaImage or a DICOM folder."
    )
