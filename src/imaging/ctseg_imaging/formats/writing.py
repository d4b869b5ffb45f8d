"""Writing volumes and label maps: the ending of a path decides the format."""

from __future__ import annotations

from pathlib import Path

from ctseg_imaging.endings import DICOM_ENDING, ENDINGS, RTSTRUCT_ENDING
from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.formats import itk, nifti
from ctseg_imaging.formats.segmentations import SegmentationKind, seg_nrrd
from ctseg_imaging.geometry import Match
from ctseg_imaging.volume import LabelMap, Volume, exact


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
    `item`, in any order of axes. Returns one sentence for each thing that the file does not keep as it was.
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
            f"{path}: the volume whose geometry it should take has another grid; resample onto that grid "
            "first."
        )
    if not path.name.lower().endswith(ENDINGS):
        raise FormatError(f"{path}: the name has no known ending; end it in {', '.join(ENDINGS)}.")
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
    )  # scikit-image's colour module loads slowly

    return write_seg(path, item, like, overwrite)
