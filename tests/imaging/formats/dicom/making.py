"""DICOM files made from nothing: an oblique CT series with three unequal sides and unequal spacing, and
changes to it.
"""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

TURN = np.linalg.qr(np.array([[1, 0.2, -0.1], [-0.2, 1, 0.3], [0.1, -0.3, 1.0]]))[0]
TURN = TURN * np.sign(np.diag(TURN))
TURN[:, 2] = np.cross(TURN[:, 0], TURN[:, 1])
ORIGIN, STEP, ROW_SPACING, COLUMN_SPACING = np.array([-12.5, 30.25, 100.0]), 3.0, 1.7, 0.9
HU = np.random.default_rng(5).integers(-1000, 1500, (7, 8, 9)).astype(np.int16)
SERIES, OTHER = generate_uid(entropy_srcs=["a"]), generate_uid(entropy_srcs=["b"])


def plane(k: int, hu: np.ndarray | None = None, **fields) -> Dataset:
    """Slice k of the volume HU; `fields` replace or (None) remove attributes."""
    stored = ((HU[k] if hu is None else hu).astype(np.int32) + 1024).astype("<u2")
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", generate_uid()
    header.SeriesInstanceUID, header.StudyInstanceUID = SERIES, generate_uid(entropy_srcs=["study"])
    header.Modality, header.SeriesNumber, header.InstanceNumber = "CT", 3, 100 - k
    header.PatientName, header.PatientID, header.SeriesDescription = (
        "Nobody^Known",
        "ID-0815",
        "Nobody abdomen",
    )
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.ImagePositionPatient = [f"{v:.9g}" for v in ORIGIN + k * STEP * TURN[:, 2]]
    header.ImageOrientationPatient = [f"{v:.9f}" for v in (*TURN[:, 0], *TURN[:, 1])]
    header.PixelSpacing, header.SliceThickness = [str(ROW_SPACING), str(COLUMN_SPACING)], str(STEP)
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = stored.shape
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 0
    header.RescaleSlope, header.RescaleIntercept = "1", "-1024"
    header.PixelData = stored.tobytes()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for name, value in fields.items():
        if value is None:
            delattr(header, name)
        else:
            setattr(header, name, value)
    header.file_meta.MediaStorageSOPClassUID, header.file_meta.MediaStorageSOPInstanceUID = (
        header.SOPClassUID,
        header.SOPInstanceUID,
    )
    return header


def save(folder: Path, planes: list[Dataset]) -> Path:
    """File names run against the positions."""
    folder.mkdir(exist_ok=True)
    for k, header in enumerate(planes):
        header.save_as(folder / f"{len(planes) - k:03d}.dcm", enforce_file_format=True)
    return folder


def series(**fields) -> list[Dataset]:
    return [plane(k, **fields) for k in range(len(HU))]


def enhanced() -> Dataset:
    """All slices as frames of one object, in an order of their own."""
    order = [3, 0, 6, 1, 5, 2, 4]
    header = plane(
        0,
        ImagePositionPatient=None,
        ImageOrientationPatient=None,
        PixelSpacing=None,
        SliceThickness=None,
        RescaleSlope=None,
        RescaleIntercept=None,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1",
        NumberOfFrames=7,
    )
    shared, measures, orientation, values = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, orientation.ImageOrientationPatient = (
        plane(0).PixelSpacing,
        plane(0).ImageOrientationPatient,
    )
    values.RescaleSlope, values.RescaleIntercept = "1", "-1024"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    shared.PixelValueTransformationSequence = [values]
    header.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k in order:
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = plane(k).ImagePositionPatient
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    header.PerFrameFunctionalGroupsSequence = frames
    header.PixelData = (HU[order].astype(np.int32) + 1024).astype("<u2").tobytes()
    return header
