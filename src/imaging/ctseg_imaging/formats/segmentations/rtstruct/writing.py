"""Writing RTSTRUCT: every label becomes closed contours on the slices of the DICOM series that it was drawn
on.

Contours run along voxel borders, where no voxel centre lies: a reader that takes the voxels whose centres are
inside gets the mask back. A hole is joined to its outline by a channel of no width (keyhole). The last point
is the middle of the closing edge, because plastimatch drops the last point of a contour that ends above its
start. Source: DICOM PS3.3 A.19 (RT Structure Set IOD), C.8.8.5, C.8.8.6, C.8.8.8.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from ctseg_imaging.formats.dicom.reading import DicomHeader
from ctseg_imaging.formats.disk.atomic import atomic_path
from ctseg_imaging.formats.segmentations.dicom_objects import parsing
from ctseg_imaging.formats.segmentations.dicom_writing import (
    MAKER,
    add_patient_and_study,
    add_series,
    drawing,
    name_of,
)
from ctseg_imaging.formats.segmentations.rtstruct.contours import trace
from ctseg_imaging.geometry import Float, Geometry
from ctseg_imaging.volume import Label, LabelMap, Volume

_RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
_STUDY = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, which PS3.3 C.8.8.5 requires


def write_rtstruct(
    path: str | Path, label_map: LabelMap, image: Volume, overwrite: bool = False
) -> tuple[str, ...]:
    """Write the labels of `label_map` as an RTSTRUCT for the series `image`; one sentence for each thing that
    is not in the file.

    The voxels of the two have to coincide; the axes may run another way. A label is an ROI whose number is
    the value. Patient and study are those of the series. Raises FormatError for an image that was not read
    from DICOM, labels without a voxel, or an existing file without `overwrite`; GeometryError for another
    grid.
    """
    path = Path(path)
    drawn = drawing(path, label_map, image, "RTSTRUCT")
    references = _references(drawn.source, drawn.header)
    with parsing(drawn.header.files[0], "DICOM image"):
        dataset = _context(drawn.source)
        _add_references(dataset, drawn.source, drawn.header)
    _add_structures(dataset, drawn.labels, str(drawn.source.FrameOfReferenceUID))
    dataset.ROIContourSequence = [
        _drawn(label, drawn.label_map.array == label.value, image.geometry, references)
        for label in drawn.labels
    ]
    with atomic_path(path, overwrite) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
    return drawn.remarks


def _context(source: Dataset) -> Dataset:
    """Patient and study of the series; a new series and instance made by this program."""
    made = Dataset()
    add_patient_and_study(made, source)
    add_series(made, "RTSTRUCT", "Contours of a segmentation")
    made.SOPClassUID, made.OperatorsName, made.StructureSetLabel = _RTSTRUCT, "", MAKER
    made.StructureSetDate, made.StructureSetTime = made.SeriesDate, made.SeriesTime
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


def _add_structures(dataset: Dataset, labels: Sequence[Label], frame_uid: str) -> None:
    dataset.StructureSetROISequence, dataset.RTROIObservationsSequence = [], []
    for label in labels:
        roi, observed = Dataset(), Dataset()
        roi.ROINumber, roi.ReferencedFrameOfReferenceUID = label.value, frame_uid
        roi.ROIName, roi.ROIGenerationAlgorithm = name_of(label), ""
        observed.ObservationNumber = observed.ReferencedROINumber = label.value
        observed.RTROIInterpretedType, observed.ROIInterpreter = "", ""
        dataset.StructureSetROISequence.append(roi)
        dataset.RTROIObservationsSequence.append(observed)


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
    """(row, column) outlines of one slice, traced inside the box of its voxels, each ending in the middle of
    its closing edge.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    for outline in trace(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]):
        yield np.vstack([outline, (outline[:1] + outline[-1:]) / 2]) + np.array([rows[0], columns[0]])
