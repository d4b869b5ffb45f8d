"""Measurements on a volume: lengths, angles, RECIST pairs, regions on a slice, and labels."""

from ctseg_imaging.measurements.files import read, write
from ctseg_imaging.measurements.label_values import LabelValues, label_values
from ctseg_imaging.measurements.record import MeasurementRecord, record, shapes_on
from ctseg_imaging.measurements.shapes import DrawnShape, Kind
from ctseg_imaging.measurements.values import ShapeValues, measure

__all__ = [
    "DrawnShape",
    "Kind",
    "LabelValues",
    "MeasurementRecord",
    "ShapeValues",
    "label_values",
    "measure",
    "read",
    "record",
    "shapes_on",
    "write",
]
