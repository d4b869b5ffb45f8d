"""Writing DICOM SEG: every label is a BINARY segment on the slices of the DICOM series that it was drawn on.

The frames lie where the image's grid has its slices and refer to the slices of the series; highdicom makes
the object. Source: DICOM PS3.3 A.51 and C.8.20 (segmentation), C.10.7.1.1 (CIELab).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from skimage.color import rgb2lab

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.dicom.tags import UNREADABLE
from ctseg_imaging.formats.disk.atomic import atomic_path
from ctseg_imaging.formats.segmentations import seg_values, terminology
from ctseg_imaging.formats.segmentations.dicom_objects import parsing
from ctseg_imaging.formats.segmentations.dicom_writing import (
    MAKER,
    SeriesLabels,
    add_patient_and_study,
    add_series,
    drawing,
    name_of,
)
from ctseg_imaging.formats.segmentations.segments import rgb_of
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Label, LabelMap, Volume

_INSTEAD = "write .seg.nrrd or .nii.gz instead"


def write_seg(
    path: str | Path, label_map: LabelMap, image: Volume, overwrite: bool = False
) -> tuple[str, ...]:
    """Write the labels of `label_map` as a DICOM SEG of the series `image`; one sentence for each thing that
    is not in the file.

    The voxels of the two have to coincide; the axes may run another way. Segments are numbered 1, 2, 3 ... in
    the order of the values, as BINARY requires; this program restores the values when reading. Codes are
    those of the labels' tags, else tissue. Patient and study are those of the series. Raises FormatError for
    an image that was not read from DICOM, labels without a voxel, a series whose frames cannot be referred
    to, a missing highdicom, or an existing file without `overwrite`; GeometryError for another grid.
    """
    path = Path(path)
    refuse_without_highdicom(path)
    drawn = drawing(path, label_map, image, "DICOM SEG")
    with parsing(drawn.header.files[0], "DICOM image"):
        dataset = _made(path, drawn, image.geometry)
    with atomic_path(path, overwrite) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
    renumbered = [
        f"label {label.value} is segment {k}" for k, label in enumerate(drawn.labels, 1) if label.value != k
    ]
    return (*drawn.remarks, *_numbering(renumbered))


def refuse_without_highdicom(path: Path) -> None:
    """Raise FormatError where the library that makes DICOM SEG is not installed."""
    try:
        import highdicom.seg  # noqa: F401
    except ImportError as error:
        raise FormatError(
            f'{path}: writing DICOM SEG needs highdicom; install the extra "dicom" '
            '(pip install "napari-ctseg[dicom]"), or write .seg.nrrd or .nii.gz.'
        ) from error


def _numbering(renumbered: list[str]) -> list[str]:
    shown = ", ".join(renumbered[:8]) + (" ..." if len(renumbered) > 8 else "")
    return [f"DICOM SEG numbers its segments from 1, so in other programs {shown}."] if renumbered else []


def _made(path: Path, drawn: SeriesLabels, grid: Geometry) -> Dataset:
    from highdicom.seg import Segmentation

    images, order = _images(path, drawn, grid)
    series = Dataset()
    add_series(series, "SEG", "Segmentation")
    try:
        made: Dataset = Segmentation(
            source_images=images,
            pixel_array=_numbers(drawn)[order],
            segmentation_type="BINARY",
            segment_descriptions=[_described(k, label) for k, label in enumerate(drawn.labels, 1)],
            series_instance_uid=series.SeriesInstanceUID,
            series_number=1,
            sop_instance_uid=series.SOPInstanceUID,
            instance_number=1,
            manufacturer=MAKER,
            manufacturer_model_name=MAKER,
            software_versions=MAKER,
            device_serial_number="1",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            content_label="SEGMENTATION",
            specific_character_set="ISO_IR 192",
        )
    except UNREADABLE as error:
        raise FormatError(
            f"{path}: highdicom cannot refer to images of this kind ({type(error).__name__}); {_INSTEAD}."
        ) from error
    if len(images) == 1 and "NumberOfFrames" in images[0]:
        _number_frames(made, [drawn.header.frames[k] + 1 for k in order])
    for item, label in zip(made.SegmentSequence, drawn.labels, strict=True):
        terminology.put_into(item, label.tags)
    made.ContentCreatorName = ""
    add_patient_and_study(made, drawn.source)
    made.update(series)
    return made


def _numbers(drawn: SeriesLabels) -> NDArray[Any]:
    """The array with segment numbers in the place of values."""
    array, values = drawn.label_map.array, np.array([label.value for label in drawn.labels])
    numbers = np.zeros(array.shape, np.uint8 if len(values) < 256 else np.uint16)
    for plane, numbered in zip(array, numbers, strict=True):
        numbered[...] = np.where(plane > 0, np.searchsorted(values, plane) + 1, 0)
    return numbers


def _described(number: int, label: Label) -> Dataset:
    from highdicom.color import CIELabColor
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes

    red, green, blue = rgb_of(label.colour)
    light, a, b = rgb2lab(np.array([[[red, green, blue]]], np.uint8))[0, 0].tolist()
    item: Dataset = SegmentDescription(
        segment_number=number,
        segment_label=name_of(label),
        segmented_property_category=codes.SCT.Tissue,  # replaced by the label's own codes
        segmented_property_type=codes.SCT.Tissue,
        algorithm_type="MANUAL",
        display_color=CIELabColor(min(max(light, 0.0), 100.0), a, b),
    )
    seg_values.keep(item, label.value)
    item.SegmentAlgorithmType, item.SegmentAlgorithmName = (
        "SEMIAUTOMATIC",
        MAKER,
    )  # a network, a hand, or both
    return item


def _images(path: Path, drawn: SeriesLabels, grid: Geometry) -> tuple[list[Dataset], list[int]]:
    """What a segmentation refers to, as highdicom takes it, and the slices of the array in that order."""
    header, order = drawn.header, list(range(grid.shape[0]))
    named = set(zip(header.instance_uids, header.frames, strict=True))
    if len(header.files) != len(order) or len(named) != len(order) or not all(header.instance_uids):
        raise FormatError(
            f"{path}: a DICOM SEG refers to every slice of its image, and some of them are unknown; "
            f"{_INSTEAD}."
        )
    if max(header.frames) < 0:
        return [_slice(drawn, grid, k) for k in order], order
    order = np.argsort(header.frames).tolist()
    if len(set(header.files)) > 1:
        raise FormatError(
            f"{path}: a DICOM SEG refers to one multi-frame image, and the series has several; {_INSTEAD}."
        )
    return [_multi_frame(drawn, grid, order)], order


def _number_frames(made: Dataset, numbers: list[int]) -> None:
    """Refer to frames by their numbers in the file: highdicom numbers those that it was given 1, 2, 3 ..."""
    images = [
        image
        for group in made.PerFrameFunctionalGroupsSequence
        for derivation in group.DerivationImageSequence
        for image in derivation.SourceImageSequence
    ]
    for image in {
        id(image): image for image in images
    }.values():  # segments of one slice share their reference
        image.ReferencedFrameNumber = numbers[int(image.ReferencedFrameNumber) - 1]


def _common(drawn: SeriesLabels, grid: Geometry, k: int) -> Dataset:
    """The attributes that highdicom looks at; patient and study are put into the finished object."""
    one, source = Dataset(), drawn.source
    one.SOPClassUID, one.SOPInstanceUID = source.SOPClassUID, drawn.header.instance_uids[k]
    one.StudyInstanceUID, one.SeriesInstanceUID = source.StudyInstanceUID, drawn.header.series_uid
    one.FrameOfReferenceUID, one.Modality = source.FrameOfReferenceUID, str(source.get("Modality", "OT"))
    one.Rows, one.Columns = grid.shape[1:]
    one.PatientID = one.PatientName = one.PatientBirthDate = one.PatientSex = ""
    one.AccessionNumber = one.StudyID = one.StudyDate = one.StudyTime = ""
    return one


def _slice(drawn: SeriesLabels, grid: Geometry, k: int) -> Dataset:
    one = _common(drawn, grid, k)
    one.update(_measures(grid))
    one.ImageOrientationPatient, one.ImagePositionPatient = _orientation(grid), _position(grid, k)
    return one


def _multi_frame(drawn: SeriesLabels, grid: Geometry, order: list[int]) -> Dataset:
    one, shared, orientation, frames = _common(drawn, grid, 0), Dataset(), Dataset(), []
    orientation.ImageOrientationPatient = _orientation(grid)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [_measures(grid)], [orientation]
    for k in order:
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = _position(grid, k)
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    one.NumberOfFrames = len(frames)
    one.SharedFunctionalGroupsSequence, one.PerFrameFunctionalGroupsSequence = [shared], frames
    return one


def _measures(grid: Geometry) -> Dataset:
    measures = Dataset()
    z, y, x = (_decimal(mm) for mm in grid.spacing_mm)
    measures.PixelSpacing, measures.SliceThickness, measures.SpacingBetweenSlices = [y, x], z, z
    return measures


def _orientation(grid: Geometry) -> list[str]:
    """Row direction (along x of the array), then column direction."""
    return [_decimal(cosine) for axis in (2, 1) for cosine in grid.direction_zyx[:, axis].tolist()]


def _position(grid: Geometry, k: int) -> list[str]:
    return [_decimal(mm) for mm in grid.index_to_lps(np.array([k, 0, 0], float)).tolist()]


def _decimal(number: float) -> str:
    """A DICOM DS: at most 16 characters."""
    return next(text for digits in range(15, 0, -1) if len(text := f"{number + 0.0:.{digits}g}") <= 16)
