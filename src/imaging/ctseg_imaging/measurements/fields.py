"""What a file of measurements may hold: its fields, checked one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.geometry import AxisView
from ctseg_imaging.measurements.label_values import LabelValues
from ctseg_imaging.measurements.record import MeasurementRecord
from ctseg_imaging.measurements.shapes import DrawnShape, Kind
from ctseg_imaging.measurements.values import ShapeValues
from ctseg_imaging.volume import slice_number

FORMAT, VERSION = "napari-ctseg measurements", 1
VALUES = tuple(field.name for field in fields(ShapeValues))
LABEL_NUMBERS = ("volume_ml", "mean", "sd")
UNITS = ("HU", "")


def as_fields(kept: MeasurementRecord) -> dict[str, Any]:
    """A record as plain dictionaries and lists."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "image": {"shape_zyx": list(kept.shape_zyx), "affine_lps": [list(row) for row in kept.affine_lps]},
        "unit": kept.unit,
        "shapes": [
            {"kind": str(shape.kind), "axis": shape.axis, "slice": _number_seen(shape, kept)}
            | {"points_zyx": [list(point) for point in shape.points]}
            | {name: value for name in VALUES if (value := getattr(values, name)) is not None}
            for shape, values in kept.shapes
        ],
        "labels": [
            {name: value for name, value in vars(label).items() if value is not None} for label in kept.labels
        ],
    }


def _number_seen(shape: DrawnShape, kept: MeasurementRecord) -> int:
    """The number of the shape's slice in the viewer, which shows the view of the image, not its stored
    order.
    """
    seen = shape.seen_in(AxisView.of(kept.geometry), kept.shape_zyx)
    return slice_number(seen.index)


def from_fields(found: Mapping[str, Any]) -> MeasurementRecord:
    """The record of such dictionaries. Raises ValueError with what is wrong, without a full stop."""
    if found.get("format") != FORMAT:
        raise ValueError("is not a file of measurements")
    if found.get("version") != VERSION:
        raise ValueError(f"has version {found.get('version')!r} where {VERSION} can be read")
    image = _object(found, "image")
    shape = tuple(_whole(n, "image.shape_zyx") for n in _list(image, "shape_zyx", "image.", 3))
    rows = _list(image, "affine_lps", "image.", 4)
    affine = tuple(_numbers(row, "image.affine_lps", 4) for row in rows)
    if min(shape) < 1:
        raise ValueError("image.shape_zyx has an axis without voxels")
    unit = found.get("unit", "")
    if unit not in UNITS:
        raise ValueError(f'unit is "HU" or "", not {unit!r}')
    kept = MeasurementRecord(
        shape,  # type: ignore[arg-type]
        affine,  # type: ignore[arg-type]
        unit,
        tuple(_shape(one, f"shapes[{k}]", shape) for k, one in enumerate(_list(found, "shapes"))),
        tuple(_label(one, f"labels[{k}]") for k, one in enumerate(_list(found, "labels"))),
    )
    try:
        _ = kept.geometry
    except GeometryError as error:
        raise ValueError(f"image.affine_lps: {str(error).rstrip('.')}") from error
    return kept


def _shape(found: Any, where: str, size: tuple[int, ...]) -> tuple[DrawnShape, ShapeValues]:
    _known(found, where, ("kind", "axis", "slice", "points_zyx", *VALUES))
    try:
        kind = Kind(found.get("kind"))
    except ValueError as error:
        raise ValueError(f"{where}.kind is one of {', '.join(Kind)}, not {found.get('kind')!r}") from error
    points = [_numbers(point, f"{where}.points_zyx", 3) for point in _list(found, "points_zyx", f"{where}.")]
    axis = _whole(found.get("axis"), f"{where}.axis")
    try:
        shape = DrawnShape(kind, axis, tuple(points))  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if not 0 <= shape.index < size[shape.axis]:
        raise ValueError(f"{where}: its slice lies outside of the image")
    values = {name: _number(found[name], f"{where}.{name}") for name in VALUES if name in found}
    if "voxels" in values:
        values["voxels"] = _whole(found["voxels"], f"{where}.voxels")
    return shape, ShapeValues(**values)  # type: ignore[arg-type]


def _label(found: Any, where: str) -> LabelValues:
    _known(found, where, ("value", "name", "voxels", *LABEL_NUMBERS))
    if not isinstance(found.get("name"), str):
        raise ValueError(f"{where}.name must be a text")
    numbers = {name: _number(found[name], f"{where}.{name}") for name in LABEL_NUMBERS if name in found}
    if "volume_ml" not in numbers:
        raise ValueError(f"{where}.volume_ml is missing")
    value, voxels = (_whole(found.get(name), f"{where}.{name}") for name in ("value", "voxels"))
    return LabelValues(value, found["name"], voxels, **numbers)


def _known(found: Any, where: str, names: tuple[str, ...]) -> None:
    if not isinstance(found, Mapping):
        raise ValueError(f"{where} is not an object")
    if strange := [name for name in found if name not in names]:
        raise ValueError(f"{where} has an unknown field {strange[0]!r}")


def _object(found: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = found.get(name)
    if not isinstance(inner, Mapping):
        raise ValueError(f"{name} is missing or not an object")
    return inner


def _list(found: Mapping[str, Any], name: str, where: str = "", length: int | None = None) -> list[Any]:
    inner = found.get(name)
    if not isinstance(inner, list) or (length is not None and len(inner) != length):
        count = "" if length is None else f" of {length}"
        raise ValueError(f"{where}{name} is missing or not a list{count}")
    return inner


def _numbers(found: Any, where: str, length: int) -> tuple[float, ...]:
    if not isinstance(found, list) or len(found) != length:
        raise ValueError(f"{where} must hold lists of {length} numbers")
    return tuple(_number(one, where) for one in found)


def _number(found: Any, where: str) -> float:
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(f"{where} must be a number, not {found!r}")
    try:
        number = float(found)
    except OverflowError as error:
        raise ValueError(f"{where} is too large") from error
    if not math.isfinite(number):
        raise ValueError(f"{where} must be a finite number, not {found!r}")
    return number


def _whole(found: Any, where: str) -> int:
    if isinstance(found, bool) or not isinstance(found, int):
        raise ValueError(f"{where} must be a whole number, not {found!r}")
    return found
