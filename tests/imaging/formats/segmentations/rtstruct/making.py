"""Structure sets made from contours, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from ctseg_imaging.geometry import Geometry


def square(grid: Geometry, z: float, low: float, high: float) -> np.ndarray:
    """LPS points of a square in voxel coordinates, low to high along y and x, on plane z."""
    index = np.array([[z, low, low], [z, low, high], [z, high, high], [z, high, low]])
    return grid.index_to_lps(index)


def write(
    path: Path, structures: Sequence[tuple[str, Sequence[np.ndarray]]], kind: str = "CLOSED_PLANAR"
) -> Path:
    """structures : (name, polygons as (n, 3) LPS mm), numbered from 1."""
    dataset = Dataset()
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    dataset.SOPInstanceUID = generate_uid()
    dataset.Modality = "RTSTRUCT"
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for number, (name, polygons) in enumerate(structures, 1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName = number, name
        drawn.ReferencedROINumber, drawn.ROIDisplayColor, drawn.ContourSequence = (
            number,
            [255, 0, 16 * number],
            [],
        )
        for polygon in polygons:
            contour = Dataset()
            contour.ContourGeometricType = kind
            contour.NumberOfContourPoints = len(polygon)
            contour.ContourData = [f"{number:.5f}" for number in np.ravel(polygon)]
            drawn.ContourSequence.append(contour)
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(drawn)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path
