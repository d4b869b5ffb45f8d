"""From a header's numbers to a grid, with a way out for axes that rounding has sheared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ctseg_imaging.errors import GeometryError, ShearedGrid
from ctseg_imaging.geometry import Float, Geometry, Shape, Triple, without_shear

MOST_DEGREES = 1.0  # of shear that can come from rounding; a tilted gantry has more


def placed(
    path: Path, shape: Shape, affine_lps: Float, stated_mm: Triple | None, nearest_grid: bool
) -> tuple[Geometry, tuple[str, ...]]:
    """The grid and remarks. nearest_grid : take the nearest grid without shear where the shear is at most
    MOST_DEGREES.

    affine_lps : 4x4, (z, y, x) index to LPS mm. Raises GeometryError that names `path`, ShearedGrid with the
    way out.
    """
    try:
        return replace(Geometry(shape, affine_lps), stated_mm=stated_mm), ()
    except ShearedGrid as error:
        if error.degrees > MOST_DEGREES:
            raise ShearedGrid(f"{path}: {_lowered(error)}", error.degrees) from error
        box, moved_mm = without_shear(shape, affine_lps)
        if not nearest_grid:
            raise ShearedGrid(
                f"{path}: the grid is sheared by {error.degrees:.2g} degrees, as rounded numbers in a header "
                "make it; the "
                f"nearest grid without shear differs by at most {moved_mm:.2g} mm, and --nearest-grid takes "
                "it.",
                error.degrees,
            ) from error
        return Geometry(shape, box), (
            f"The grid is sheared by {error.degrees:.2g} degrees; the nearest grid without shear was taken, "
            f"which differs by at most {moved_mm:.2g} mm.",
        )
    except GeometryError as error:
        raise GeometryError(f"{path}: {_lowered(error)}") from error


def _lowered(error: GeometryError) -> str:
    return f"{str(error)[0].lower()}{str(error)[1:]}"
