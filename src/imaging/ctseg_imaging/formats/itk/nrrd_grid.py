"""The grid of an NRRD file in LPS mm, from its space, directions, spacings and units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.itk.stored import UNKNOWN_ORIENTATION
from ctseg_imaging.formats.itk.text_header import Fields, mm_per, refuse_components
from ctseg_imaging.geometry import Float

_TO_LPS = {
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
}
_NO_ANATOMY = ("scanner-xyz", "3d-right-handed", "3d-left-handed")
_VECTOR = re.compile(r"\([^()]*\)|none", re.IGNORECASE)
_COMPONENTS = ("complex", "quaternion", "matrix", "color", "vector", "normal", "gradient", "point", "stub")
_LENGTHS = ("um", "mm", "cm", "m")


@dataclass(frozen=True)
class Grid:
    """A grid along the spatial axes (x, y, z), in LPS mm.

    axes : columns of length spacing. volume_axis : None in a 3D file.
    """

    axes: Float
    origin: Float
    volume_axis: int | None


def grid_of(fields: Fields, sizes: tuple[int, ...], notes: list[str]) -> Grid:
    """The grid of a volume; notes about its uncertainties are added to `notes`. Raises FormatError."""
    if "space directions" in fields:
        return _in_a_space(fields, sizes, notes)
    volume_axis = _by_kind(fields, sizes)
    spatial = [axis for axis in range(len(sizes)) if axis != volume_axis]
    notes.append(UNKNOWN_ORIENTATION)
    spacing = _per_axis(fields, "spacings", spatial, len(sizes))
    if spacing is None:
        notes.append("The file gives no voxel size; 1 mm was taken.")
        spacing = np.ones(3)
    if (spacing <= 0).any():
        raise FormatError(
            f"{fields.path}: has the spacings {fields['spacings'][:60]}, and a spacing must be above zero; "
            "export it again."
        )
    origin = _per_axis(fields, "axis mins", spatial, len(sizes))
    scale = _units(fields, "units", len(sizes), notes)[spatial]
    return Grid(np.diag(spacing * scale), (np.zeros(3) if origin is None else origin) * scale, volume_axis)


def _per_axis(fields: Fields, name: str, spatial: list[int], rank: int) -> Float | None:
    if name not in fields:
        return None
    words = fields[name].split()
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError as error:
        raise fields.refuse(name, f"{rank} numbers") from error
    if len(numbers) != rank or not np.isfinite(numbers[spatial]).all():
        raise fields.refuse(name, f"{rank} numbers (a spacing for every spatial axis)")
    return numbers[spatial]


def _in_a_space(fields: Fields, sizes: tuple[int, ...], notes: list[str]) -> Grid:
    """From directions and origin, in an anatomical space or one without anatomy."""
    space = fields.get("space", "").lower().removesuffix("-time")
    timed = "-time" in fields.get("space", "").lower() or (space in ("rast", "last", "lpst"))
    space = space.removesuffix("t") if space in ("rast", "last", "lpst") else space
    if space not in _TO_LPS:
        if space and space not in _NO_ANATOMY:
            raise fields.refuse("space", "a space of the NRRD format")
        notes.append(UNKNOWN_ORIENTATION)
    dimensions = 3 + timed if space else fields.whole("space dimension", 3)
    if dimensions not in (3, 4):
        raise fields.refuse("space dimension", "3")
    vectors = _vectors(fields, "space directions", dimensions)
    if len(vectors) != len(sizes):
        raise fields.refuse("space directions", f"{len(sizes)} vectors")
    volume_axis = _volume_axis(fields, sizes, vectors)
    given = [vector for axis, vector in enumerate(vectors) if axis != volume_axis]
    origin = (
        _vectors(fields, "space origin", dimensions) if "space origin" in fields else [np.zeros(dimensions)]
    )
    if len(given) != 3 or any(vector is None for vector in given) or len(origin) != 1 or origin[0] is None:
        raise fields.refuse("space directions", "a vector for each of three spatial axes")
    axes = np.array(given)
    if np.abs(axes[:, 3:]).max(initial=0) > 0:
        raise fields.refuse("space directions", "vectors that do not run along time")
    to_mm = _units(fields, "space units", dimensions, notes)[:3] * np.array(_TO_LPS.get(space, (1, 1, 1)))
    return Grid((axes[:, :3] * to_mm).T, origin[0][:3] * to_mm, volume_axis)


def _volume_axis(fields: Fields, sizes: tuple[int, ...], vectors: list[Any]) -> int | None:
    """The axis without a direction in space; of four directions the last."""
    without = [
        axis for axis, vector in enumerate(vectors) if vector is None or not np.abs(vector[:3]).max() > 0
    ]
    if len(sizes) == 3 or len(without) != 1:
        return None
    _refuse_components(fields, without[0], sizes)
    return without[0]


def _by_kind(fields: Fields, sizes: tuple[int, ...]) -> int | None:
    """The axis of volumes in a file without directions: the one whose kind is not spatial, else the last of
    four.
    """
    if len(sizes) == 3:
        kinds = fields.get("kinds", "").lower().split()
        if any(kind not in ("domain", "space", "???", "none") for kind in kinds):
            raise FormatError(
                f"{fields.path}: is a 2D picture of several numbers a pixel, not a volume; convert it first."
            )
        return None
    kinds = fields.get("kinds", "").lower().split()
    other = [axis for axis, kind in enumerate(kinds[:4]) if kind not in ("domain", "space", "???", "none")]
    axis = other[0] if len(other) == 1 else 3
    _refuse_components(fields, axis, sizes)
    return axis


def _refuse_components(fields: Fields, axis: int, sizes: tuple[int, ...]) -> None:
    kinds = fields.get("kinds", "").lower().split()
    kind = kinds[axis] if axis < len(kinds) else ""
    if any(word in kind for word in _COMPONENTS) or "-" in kind:
        refuse_components(fields, sizes[axis])


def _vectors(fields: Fields, name: str, dimensions: int) -> list[Any]:
    """Vectors of `dimensions` finite numbers, None for "none"."""
    found: list[Any] = []
    for word in _VECTOR.findall(fields[name]):
        if word.lower() == "none":
            found.append(None)
            continue
        try:
            vector = np.array([float(number) for number in word.strip("()").split(",")])
        except ValueError as error:
            raise fields.refuse(name, "vectors of numbers") from error
        if (
            vector.shape != (dimensions,)
            or not np.isfinite(vector[:3]).all()
            or np.abs(vector[:3]).max() > 1e100
        ):
            if np.isnan(vector).all():  # an axis without a direction, as some programs write it
                found.append(None)
                continue
            raise fields.refuse(name, f"vectors of {dimensions} numbers")
        found.append(vector)
    return found


def _units(fields: Fields, name: str, count: int, notes: list[str]) -> Float:
    """mm in each unit of `name`, 1 where none is given."""
    if name not in fields:
        return np.ones(count)
    words = re.findall(r'"([^"]*)"', fields[name])
    if len(words) != count:
        raise fields.refuse(name, f"{count} units in quotes")
    scale = np.array(
        [
            mm_per(word, fields.path) if axis < 3 or (name == "units" and word in _LENGTHS) else 1.0
            for axis, word in enumerate(words)
        ]
    )
    if (scale != 1).any():
        notes.append(
            f"Lengths are given in {', '.join(dict.fromkeys(words))} and were converted to mm; "
            "SimpleITK and Slicer take them for mm."
        )
    return scale
