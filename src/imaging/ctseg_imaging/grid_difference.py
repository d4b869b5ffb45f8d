"""How two grids differ, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctseg_imaging.geometry import Geometry, Match


def difference(have: Geometry, onto: Geometry) -> str:
    """How two grids differ, in mm and degrees, as a part of a sentence: "shifted by 0.75, 0, -1.5 mm (x, y,
    z)".
    """
    if have.matches(onto) is Match.SHIFTED:
        return (
            f"{_shift(have, onto)}, {_voxels(have)} against {_voxels(onto)}"
            if have.shape != onto.shape
            else _shift(have, onto)
        )
    parts = []
    if not np.allclose(have.spacing_mm, onto.spacing_mm, rtol=1e-4):
        parts.append(f"voxels of {_mm(have.spacing_mm)} against {_mm(onto.spacing_mm)} mm (z, y, x)")
    if (turned := _turned_degrees(have, onto)) > 0.01:
        parts.append(f"turned by {turned:.2f} degrees")
    if have.shape != onto.shape:
        parts.append(f"{_voxels(have)} against {_voxels(onto)}")
    centres = [grid.index_to_lps((np.array(grid.shape) - 1) / 2) for grid in (onto, have)]
    parts.append(f"its centre {float(np.linalg.norm(centres[1] - centres[0])):.2f} mm away")
    return ", ".join(parts)


def _shift(have: Geometry, onto: Geometry) -> str:
    by = np.array(have.origin_lps_mm) - np.array(onto.origin_lps_mm)
    return f"shifted by {', '.join(f'{round(float(mm), 3) + 0.0:g}' for mm in by)} mm (x, y, z)"


def _voxels(grid: Geometry) -> str:
    return f"{' x '.join(str(n) for n in grid.shape)} voxels"


def _mm(lengths: Sequence[float]) -> str:
    return " x ".join(f"{mm:.4g}" for mm in lengths)


def _turned_degrees(a: Geometry, b: Geometry) -> float:
    """The angle of the rotation between the grids, flipped and swapped axes aside."""
    nearest = np.rint(cosines := b.direction_zyx.T @ a.direction_zyx)
    trace = (
        np.trace(nearest.T @ cosines) if round(abs(float(np.linalg.det(nearest)))) == 1 else np.trace(cosines)
    )
    return float(np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))))
