"""From a header's numbers to a grid, optionally the nearest one without shear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ctseg_imaging.errors import GeometryError, ShearedGrid
from ctseg_imaging.geometry import Float, Geometry, Shape, Triple

MOST_DEGREES = 1.0  # of shear that can come from rounding; a tilted gantry has more


def placed(
    path: Path, shape: Shape, affine_lps: Float, stated_mm: Triple | None, nearest_grid: bool
) -> tuple[Geometry, tuple[str, ...]]:
    """The grid and remarks.

    nearest_grid : take the nearest grid without shear where the shear is at most MOST_DEGREES.

    affine_lps : 4x4, (z, y, x) index to LPS mm. Raises GeometryError that names `path`, or ShearedGrid whose
    message mentions the option.
    """
    try:
        return replace(Geometry(shape, affine_lps), stated_mm=stated_mm), ()
    except ShearedGrid as error:
        if error.degrees > MOST_DEGREES:
            raise ShearedGrid(f"{path}: {_lowered(error)}", error.degrees) from error
        box, moved_mm = without_shear(shape, affine_lps)
        if not nearest_grid:
            raise ShearedGrid(
                f"{path}: the grid is sheared by {error.degrees:.2g} degrees, which rounded numbers in a "
                f"header can cause; the nearest grid without shear differs by at most {moved_mm:.2g} mm, and "
                "--nearest-grid takes it.",
                error.degrees,
            ) from error
        return Geometry(shape, box), (
            f"The grid is sheared by {error.degrees:.2g} degrees; the nearest grid without shear was taken, "
            f"which differs by at most {moved_mm:.2g} mm.",
        )
    except GeometryError as error:
        raise GeometryError(f"{path}: {_lowered(error)}") from error


def without_shear(shape: Sequence[int], affine_lps: ArrayLike) -> tuple[Float, float]:
    """The nearest affine with axes at right angles, and by how many mm a corner of the grid moves at most.

    affine_lps : 4x4, (z, y, x) index to LPS mm. Lengths of the axes and the centre of the grid stay; the
    directions become the nearest rotation (or reflection) in the least-squares sense (Schoenemann 1966, the
    orthogonal Procrustes problem).
    """
    affine = np.array(affine_lps, np.float64)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(affine[:3, :3] / lengths)
    middle = (np.asarray(shape, np.float64) - 1) / 2
    box = affine.copy()
    box[:3, :3] = (left @ right) * lengths
    box[:3, 3] = affine[:3, :3] @ middle + affine[:3, 3] - box[:3, :3] @ middle
    corners = np.array(list(product(*[(0, int(n) - 1) for n in shape])), np.float64)
    moved = corners @ (box - affine)[:3, :3].T + (box - affine)[:3, 3]
    return box, float(np.linalg.norm(moved, axis=1).max())


def _lowered(error: GeometryError) -> str:
    return f"{str(error)[0].lower()}{str(error)[1:]}"
