"""Common parts of the DICOM segmentations that this program writes: labels on the slices of a series, patient
and study of that series, and the equipment. No message quotes the patient.

Source: DICOM PS3.3 C.7.1.1 (patient), C.7.2.1 (general study), C.7.2.2 (patient study), C.7.5.1 (general
equipment).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.formats.dicom.reading import DicomHeader
from ctseg_imaging.formats.segmentations.dicom_objects import opened, parsing
from ctseg_imaging.grid_difference import difference
from ctseg_imaging.resampling import reoriented
from ctseg_imaging.volume import Label, LabelMap, Labels, Volume, exact

MAKER = "napari-ctseg"
_REQUIRED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)  # may be empty, must be present
_OPTIONAL = ("StudyDescription", "PatientAge", "PatientSize", "PatientWeight")
_LONGEST_NAME = 64  # characters of a DICOM LO


@dataclass(frozen=True, eq=False)
class SeriesLabels:
    """Labels on the grid of a DICOM series.

    labels : those with voxels. source : a slice of the series without its pixels. remarks : one sentence for
    each thing that the object will not keep as it was.
    """

    label_map: LabelMap
    labels: tuple[Label, ...]
    header: DicomHeader
    source: Dataset
    remarks: tuple[str, ...]


def drawing(path: Path, label_map: LabelMap, image: Volume, kind: str) -> SeriesLabels:
    """The labels on the voxels of the series `image`; the axes may run another way.

    kind : of the object, such as "RTSTRUCT".

    Raises FormatError for an image that was not read from DICOM or labels without a voxel; GeometryError for
    another grid.
    """
    exact(image, f"be the image of a {kind}")
    header = image.header
    if not isinstance(header, DicomHeader):
        raise FormatError(
            f"{path}: a {kind} refers to a DICOM series, which the image is not; write .seg.nrrd or .nii.gz "
            "instead."
        )
    if not header.series_uid:
        raise FormatError(
            f"{path}: the slices of the image share no SeriesInstanceUID, to which a {kind} has to refer; "
            "write .seg.nrrd or .nii.gz instead."
        )
    placed = reoriented(label_map, image.geometry)
    if placed is None:
        how = difference(label_map.geometry, image.geometry)
        raise GeometryError(
            f"{path}: the labels lie on another grid than the image ({how}); resample them onto it first."
        )
    every = placed.labels.merged(Labels.from_values(placed.array))
    present = set(np.unique(placed.array).tolist())
    drawn = tuple(label for label in every if label.value in present)
    if not drawn:
        raise FormatError(f"{path}: no voxel has a label, and a {kind} needs one; write .nii.gz instead.")
    remarks = [
        f"{label.name} {'has no voxels' if label.contoured else 'was not contoured'} and is not in the "
        f"{kind}."
        for label in every
        if label.value not in present
    ]
    remarks += [
        f"The name of label {label.value} was changed to fit DICOM."
        for label in drawn
        if name_of(label) != label.name
    ]
    source = _source(header, kind)
    if not source.get("FrameOfReferenceUID"):
        source.FrameOfReferenceUID = generate_uid(prefix=None)
        remarks.append(
            f"The series names no frame of reference; the {kind} has a new one and refers to the series by "
            "its slices."
        )
    return SeriesLabels(placed, drawn, header, source, tuple(remarks))


def add_patient_and_study(made: Dataset, source: Dataset) -> None:
    """Add patient and study of the series, unchanged; required attributes that are missing become empty."""
    made.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _REQUIRED:
        setattr(made, keyword, "")
    for keyword in (*_REQUIRED, *_OPTIONAL):
        if source.get(keyword):
            made[keyword] = source[keyword]  # not validated: an invalid value still identifies the patient
    made.StudyInstanceUID = source.StudyInstanceUID
    made.FrameOfReferenceUID = source.FrameOfReferenceUID
    made.PositionReferenceIndicator = source.get("PositionReferenceIndicator", "")


def add_series(made: Dataset, modality: str, description: str) -> None:
    """Add a new series of one new instance, made now by this program."""
    now = datetime.now()
    made.SOPInstanceUID, made.SeriesInstanceUID = generate_uid(prefix=None), generate_uid(prefix=None)
    made.Modality, made.SeriesNumber, made.InstanceNumber = modality, "1", "1"
    made.Manufacturer = made.ManufacturerModelName = MAKER
    made.SeriesDescription = description
    made.InstanceCreationDate = made.SeriesDate = now.strftime("%Y%m%d")
    made.InstanceCreationTime = made.SeriesTime = now.strftime("%H%M%S")


def name_of(label: Label) -> str:
    """The name as a DICOM LO: one value of at most 64 characters."""
    fitting = "".join("/" if c == "\\" else c for c in label.name if c.isprintable())
    return fitting.strip()[:_LONGEST_NAME].strip() or f"label {label.value}"


def _source(header: DicomHeader, kind: str) -> Dataset:
    """A slice of the series with its text decoded.

    Raises FormatError, also if the file has changed since it was read.
    """
    path = header.files[0]
    with parsing(path, "DICOM image"):
        try:
            source = opened(path)
        except OSError as error:
            raise FormatError(
                f"{path}: a {kind} takes patient and study from this slice, which can no longer be read "
                f"({error.strerror or 'it ends too early'}); write .seg.nrrd or .nii.gz instead."
            ) from error
        source.decode()
        if str(source.get("SOPInstanceUID", "")) != header.instance_uids[0]:
            raise FormatError(f"{path}: is another slice than the one that was read; open the image again.")
        for keyword in ("SOPClassUID", "StudyInstanceUID"):
            if not source.get(keyword):
                raise FormatError(
                    f"{path}: has no {keyword}, to which a {kind} has to refer; export the series again."
                )
        return source
