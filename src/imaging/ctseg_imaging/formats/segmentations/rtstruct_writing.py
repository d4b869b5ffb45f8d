"""RTSTRUCT written: every label as closed contours on the slices of the DICOM series that it was drawn on.

Contours run along voxel borders, where no voxel centre lies: a reader that takes the voxels whose centres are
inside gets the mask back. A hole is joined to its outline by a channel of no width (keyhole).
Source: DICOM PS3.3 A.19 (RT Structure Set IOD), C.8.8.5, C.8.8.6, C.8.8.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.formats.atomic import atomic_path
from ctseg_imaging.formats.dicom import DicomHeader
from ctseg_imaging.formats.segmentations.contours import trace
from ctseg_imaging.formats.segmentations.dicom_objects import opened, parsing
from ctseg_imaging.geometry import Float, Geometry
from ctseg_imaging.grid_difference import difference
from ctseg_imaging.resample import reoriented
from ctseg_imaging.volume import Label, LabelMap, Labels, Volume, exact

_RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, which PS3.3 C.8.8.5 asks for
_REQUIRED = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
             "AccessionNumber", "ReferringPhysicianName")  # may be empty, must be there
_OPTIONAL = ("StudyDescription", "PatientAge", "PatientSize", "PatientWeight")
_LONGEST_NAME = 64  # characters of a DICOM LO


def write_rtstruct(path: str | Path, label_map: LabelMap, image: Volume, overwrite: bool = False) -> tuple[str, ...]:
    """Write the labels of `label_map` as an RTSTRUCT for the series `image`; one sentence for each thing that is not in the file.

    The voxels of the two have to coincide; the axes may run another way. A label is an ROI whose number is the
    value. Patient and study are those of the series. Raises FormatError for an image that was not read from
    DICOM, labels without a voxel, or a file that is there and not to be replaced; GeometryError for another grid.
    """
    path = Path(path)
    exact(image, "be contoured")
    if not isinstance(image.header, DicomHeader):
        raise FormatError(f"{path}: an RTSTRUCT refers to a DICOM series and the image is none; write .seg.nrrd or .nii.gz instead.")
    placed = reoriented(label_map, image.geometry)
    if placed is None:
        how = difference(label_map.geometry, image.geometry)
        raise GeometryError(f"{path}: the labels lie on another grid than the image ({how}); resample them onto it first.")
    every = placed.labels.merged(Labels.from_values(placed.array))
    present = set(np.unique(placed.array).tolist())
    drawn = [label for label in every if label.value in present]
    if not drawn:
        raise FormatError(f"{path}: no voxel has a label, and an RTSTRUCT without contours says nothing; write .nii.gz instead.")
    source = _source(image.header.files[0])
    remarks = [f"{label.name} has no voxels and is not in the RTSTRUCT." for label in every if label.value not in present]
    remarks += [f"The name of label {label.value} was changed to fit DICOM." for label in drawn if _name(label) != label.name]
    if not source.get("FrameOfReferenceUID"):
        source.FrameOfReferenceUID = generate_uid(prefix=None)
        remarks.append("The series names no frame of reference; the RTSTRUCT has a new one and refers to the series by its slices.")
    with parsing(image.header.files[0], "DICOM image"):
        dataset = _context(source)
        _add_references(dataset, source, image.header)
    _add_structures(dataset, drawn, str(source.FrameOfReferenceUID))
    dataset.ROIContourSequence = [
        _drawn(label, placed.array == label.value, image.geometry, _references(source, image.header)) for label in drawn
    ]
    with atomic_path(path, overwrite) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
    return tuple(remarks)


def _source(path: Path) -> Dataset:
    """A slice of the series, without its pixels. Raises FormatError."""
    with parsing(path, "DICOM image"):
        source = opened(path)
        source.decode()
        for keyword in ("SOPClassUID", "StudyInstanceUID"):
            if not source.get(keyword):
                raise FormatError(f"{path}: has no {keyword}, to which an RTSTRUCT has to refer; export the series again.")
        return source


def _context(source: Dataset) -> Dataset:
    """Patient and study of the series; a new series and instance made by this program."""
    made, now = Dataset(), datetime.now()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID, made.SOPInstanceUID = _RTSTRUCT, generate_uid(prefix=None)
    for keyword in _REQUIRED:
        setattr(made, keyword, source.get(keyword, ""))
    for keyword in _OPTIONAL:
        if source.get(keyword):
            setattr(made, keyword, source.get(keyword))
    made.StudyInstanceUID, made.SeriesInstanceUID = source.StudyInstanceUID, generate_uid(prefix=None)
    made.Modality, made.SeriesNumber, made.InstanceNumber, made.OperatorsName = "RTSTRUCT", "1", "1", ""
    made.Manufacturer, made.ManufacturerModelName = "napari-ctseg", "napari-ctseg"
    made.StructureSetLabel, made.SeriesDescription = "napari-ctseg", "Contours of a segmentation"
    made.StructureSetDate = made.InstanceCreationDate = made.SeriesDate = now.strftime("%Y%m%d")
    made.StructureSetTime = made.InstanceCreationTime = made.SeriesTime = now.strftime("%H%M%S")
    made.ApprovalStatus = "UNAPPROVED"
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def _references(source: Dataset, header: DicomHeader) -> list[Dataset]:
    """One reference for each slice, in array order."""
    found = []
    for uid, frame in zip(header.instance_uids, header.frames, strict=True):
        one = Dataset()
        one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = source.SOPClassUID, uid
        if frame >= 0:
            one.ReferencedFrameNumber = frame + 1
        found.append(one)
    return found


def _add_references(dataset: Dataset, source: Dataset, header: DicomHeader) -> None:
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = header.series_uid
    series.ContourImageSequence = _references(source, header)
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY, source.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = source.FrameOfReferenceUID, [study]
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    dataset.FrameOfReferenceUID = source.FrameOfReferenceUID
    dataset.PositionReferenceIndicator = source.get("PositionReferenceIndicator", "")


def _add_structures(dataset: Dataset, labels: list[Label], frame_uid: str) -> None:
    dataset.StructureSetROISequence, dataset.RTROIObservationsSequence = [], []
    for label in labels:
        roi, observed = Dataset(), Dataset()
        roi.ROINumber, roi.ReferencedFrameOfReferenceUID = label.value, frame_uid
        roi.ROIName, roi.ROIGenerationAlgorithm = _name(label), ""
        observed.ObservationNumber = observed.ReferencedROINumber = label.value
        observed.RTROIInterpretedType, observed.ROIInterpreter = "", ""
        dataset.StructureSetROISequence.append(roi)
        dataset.RTROIObservationsSequence.append(observed)


def _name(label: Label) -> str:
    """The name as a DICOM LO: one value of at most 64 characters."""
    return "".join("/" if c == "\\" else c for c in label.name if c.isprintable()).strip()[:_LONGEST_NAME] or f"label {label.value}"


def _drawn(label: Label, mask: NDArray[np.bool_], grid: Geometry, references: list[Dataset]) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor = [int(label.colour[k : k + 2], 16) for k in (1, 3, 5)]
    item.ReferencedROINumber = label.value
    item.ContourSequence = []
    for k in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        for outline in _outlines(mask[k]):
            points = grid.index_to_lps(np.column_stack([np.full(len(outline), k), outline]))
            contour = Dataset()
            if references[k].ReferencedSOPInstanceUID:
                contour.ContourImageSequence = [references[k]]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(points)
            contour.ContourData = [f"{mm:.6f}" for mm in points.ravel().tolist()]
            item.ContourSequence.append(contour)
    return item


def _outlines(mask: NDArray[np.bool_]) -> Iterator[Float]:
    """(row, column) outlines of one slice, traced inside the box of its voxels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    for outline in trace(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]):
        yield outline + np.array([rows[0], columns[0]])
