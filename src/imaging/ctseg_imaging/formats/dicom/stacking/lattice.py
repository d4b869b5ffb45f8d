"""Whether the positions of ordered slices form a regular lattice, and which one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctseg_imaging.errors import OnlyViewable
from ctseg_imaging.geometry import Float
from ctseg_imaging.volume import slice_number

STEP_TOLERANCE = 0.02  # of a slice step: how far a slice may lie from its place in the lattice
SIDEWAYS_TOLERANCE = (
    0.05  # of a pixel: how far its first pixel may lie from the normal through the first slice
)
COARSEST = 0.1  # mm: positions that are rounded more coarsely are useless
FINEST_STEP = 5  # times the rounding: thinner slices may be uneven for other reasons
MOST_ASIDE = 0.2  # mm: how far rounded directions may displace the outer slices
LOOK = "to view it as it is, open it as view only (--view-only)"
_MOST_DECIMALS = 6


@dataclass(frozen=True, eq=False)
class SliceLattice:
    """Slices at even steps along their normal.

    origin_lps_mm : (3,) of the first one. remarks : how it differs from the positions in the headers.
    """

    origin_lps_mm: Float
    step_mm: float
    remarks: tuple[str, ...] = ()


def lattice_of(
    path: Path, positions: Float, normal: Float, pixel_mm: float, direction_unit: float = 0.0
) -> SliceLattice:
    """The lattice of (n, 3) ordered positions, two at least: from the first to the last one, and where
    rounding has moved the positions or turned the normal the one closest to all of them. direction_unit : the
    last decimal of the written directions.

    Raises OnlyViewable for a missing slice, uneven steps or a tilted gantry.
    """
    reason = _uneven(positions, normal, pixel_mm)
    if not reason:
        return SliceLattice(
            positions[0], float((positions[-1] - positions[0]) @ normal) / (len(positions) - 1)
        )
    rounded = _rounded(positions, normal, direction_unit)
    if rounded is None:
        raise OnlyViewable(f"{path}: {reason}, or, {LOOK}.")
    return rounded


def _rounded(positions: Float, normal: Float, direction_unit: float) -> SliceLattice | None:
    """The closest lattice (least squares) along the normal, if no coordinate lies farther from it than the
    last decimal that is written, or from one along a normal that differs by no more than the rounding of its
    directions.
    """
    unit = last_decimal(positions)
    number = np.arange(len(positions)) - (len(positions) - 1) / 2
    way = number @ positions / (number @ number)
    step = float(way @ normal)
    if unit > COARSEST or unit * FINEST_STEP > step:
        return None
    middle = positions.mean(axis=0)
    aside = float(np.linalg.norm(way - step * normal))
    ways = [
        step * normal,
        *([way] if aside <= direction_unit * step and aside * len(positions) / 2 <= MOST_ASIDE else []),
    ]
    if not any(np.abs(positions - middle - np.outer(number, one)).max() <= unit for one in ways):
        return None
    fitted = middle + np.outer(number * step, normal)
    distance = float(np.linalg.norm(positions - fitted, axis=1).max())
    what = (
        f"positions of the slices are rounded to {unit:g} mm"
        if unit > direction_unit
        else "directions of the slices are rounded"
    )
    remark = (
        f"The {what}; the slices were taken as even, each at most {distance:.2f} mm from its written "
        "position."
    )
    return SliceLattice(fitted[0], step, (remark,))


def is_rounded(positions: Float, normal: Float) -> bool:
    """Whether (n, 3) positions, in any order, are those of a lattice but for rounding."""
    return _rounded(positions[np.argsort(positions @ normal)], normal, 0.0) is not None


def last_decimal(positions: Float) -> float:
    """The value of the last decimal that a coordinate has, such as 0.1; that of the last one looked at where
    there are more.
    """
    exact = (
        d
        for d in range(_MOST_DECIMALS)
        if np.abs(np.round(positions, d) - positions).max() < 10.0**-_MOST_DECIMALS / 2
    )
    return float(10.0 ** -next(exact, _MOST_DECIMALS))


def _uneven(positions: Float, normal: Float, pixel_mm: float) -> str:
    """Why the positions in the headers do not form a lattice, and what to do; "" if they do."""
    along = positions @ normal
    steps = np.diff(along)
    usual = float(np.median(steps))
    sideways = positions - positions[0] - np.outer(along - along[0], normal)
    offset = float(np.linalg.norm(sideways, axis=1).max())
    if offset > SIDEWAYS_TOLERANCE * pixel_mm:
        angle = np.degrees(np.arctan2(np.linalg.norm(sideways[-1]), along[-1] - along[0]))
        tilt = f"{angle:.{1 if angle >= 0.1 else 3}f}"
        return (
            f"the slices do not lie straight above each other (gantry tilt of {tilt} degrees, a sheared "
            "grid); have the series corrected for the tilt by resampling it first"
        )
    for k, step in enumerate(steps):
        if abs(step - usual) > STEP_TOLERANCE * usual:
            skipped = round(step / usual) - 1
            if skipped >= 1 and abs(step - (skipped + 1) * usual) <= STEP_TOLERANCE * usual * (skipped + 1):
                why = f"{skipped} slice{'s are' if skipped > 1 else ' is'} missing"
            else:
                why = "the spacing is uneven"
            return (
                f"slices {slice_number(k)} and {slice_number(k + 1)} lie {step:.2f} mm apart where "
                f"the series has {usual:.2f} mm ({why}); export the series again with every slice"
            )
    mean = float(along[-1] - along[0]) / (len(along) - 1)
    drift = float(np.abs(along - along[0] - mean * np.arange(len(along))).max())
    if drift > STEP_TOLERANCE * mean:
        return (
            f"the slices lie up to {drift:.2f} mm from even steps of {mean:.2f} mm (the spacing is uneven); "
            "export the series again with even steps"
        )
    return ""
