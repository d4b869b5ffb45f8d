"""The numbers of a shape as the dock and the canvas write them."""

from __future__ import annotations

import math

from ctseg_imaging.geometry import Float
from ctseg_imaging.measurements import DrawnShape, Kind, ShapeValues
from ctseg_imaging.volume import slice_number
from napari_ctseg.keys import table as keys

NAMES = {
    Kind.RULER: "Ruler",
    Kind.ANGLE: "Angle",
    Kind.RECIST: "RECIST pair",
    Kind.ELLIPSE: "Circle",
    Kind.RECTANGLE: "Rectangle",
    Kind.POLYGON: "Polygon",
}
GESTURES = {
    Kind.RULER: keys.RULER,
    Kind.ANGLE: keys.ANGLE,
    Kind.RECIST: keys.RECIST,
    Kind.ELLIPSE: keys.ELLIPSE,
    Kind.RECTANGLE: keys.RECTANGLE,
    Kind.POLYGON: keys.POLYGON,
}
HINTS = {
    Kind.RULER: "Drag from one end to the other.",
    Kind.ANGLE: "Click one end, the vertex, then the other end.",
    Kind.RECIST: "Drag along the long diameter; then drag the ends of the short one into place.",
    Kind.ELLIPSE: "Drag from the centre outwards. With Shift held: an ellipse.",
    Kind.RECTANGLE: "Drag from corner to corner.",
    Kind.POLYGON: "Click the corners; double-click or Enter closes the polygon, Backspace takes one back.",
}
PLANES = ("axial", "coronal", "sagittal")
NONE = "–"


def number(value: float | None, digits: int = 1) -> str:
    """A number with a true minus sign, a dash where there is none."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def size(values: ShapeValues) -> str:
    """Length, angle, diameters or area with the unit."""
    if values.length_mm is not None:
        return f"{number(values.length_mm)} mm"
    if values.angle_degrees is not None:
        return f"{number(values.angle_degrees)}°"
    if values.long_mm is not None:
        return f"{number(values.long_mm)} × {number(values.short_mm)} mm"
    area = values.area_mm2
    return f"{number(area, 0 if area is not None and area >= 99.5 else 1)} mm²"


def mean(values: ShapeValues, unit: str) -> str:
    """Mean and standard deviation of a region with the unit, "" for another shape."""
    if values.area_mm2 is None:
        return ""
    return mean_and_sd(values.mean, values.sd, unit)


def mean_and_sd(mean: float | None, sd: float | None, unit: str) -> str:
    """Whole HU, more digits for small numbers."""
    digits = 0 if unit == "HU" or (mean is not None and abs(mean) >= 100) else 2
    return NONE if mean is None else f"{number(mean, digits)} ± {number(sd, digits)} {unit}".rstrip()


def on_canvas(values: ShapeValues, unit: str) -> str:
    """What stands next to the shape."""
    return ", ".join(filter(None, (mean(values, unit), size(values))))


def in_full(shape: DrawnShape, values: ShapeValues, unit: str) -> str:
    """Everything about a shape, for its tooltip."""
    place = f"{NAMES[shape.kind]}, {PLANES[shape.axis]} slice {slice_number(shape.index)}: {size(values)}"
    if values.area_mm2 is None:
        return place
    lowest, highest = number(values.minimum), number(values.maximum)
    return (
        f"{place}\nmean {number(values.mean)}, SD {number(values.sd)}, from {lowest} to {highest} {unit}"
    ).rstrip() + f"\n{values.voxels} voxels whose centres lie inside"


def position(lps_mm: Float) -> str:
    """A point of the patient: letters towards which the millimetres run."""
    ends = ("RL", "AP", "IS")
    return ", ".join(f"{pair[int(mm >= 0)]} {abs(mm):.1f}" for pair, mm in zip(ends, lps_mm, strict=True))
