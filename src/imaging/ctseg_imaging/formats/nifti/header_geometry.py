"""Where a NIfTI header places its voxels: which of sform, qform and voxel sizes counts, and what is refused.

RAS becomes LPS here.

Source: nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h (methods 1 to 3 of "3D image orientation").
"""

from __future__ import annotations

from typing import Any

import numpy as np
from nibabel.spatialimages import HeaderDataError

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.geometry import Float, Geometry, Match, Triple

Header = Any  # nibabel's header objects have no useful types
UNKNOWN_ORIENTATION = (
    "Orientation unknown: the file gives voxel sizes but no qform and no sform; left and "
    "right are not certain."
)
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # unknown is read as mm, as every reader does
_PLAUSIBLE_MM = (0.02, 50.0)  # a side of a voxel, from micro-CT to a scout
_SAME_SIZE = 1e-3  # relative; float32 leaves 1e-7


def affine_lps(header: Header) -> tuple[Float, tuple[str, ...]]:
    """The 4x4 affine from (z, y, x) to LPS mm and notes about it; the sform is preferred, then the qform,
    then voxel sizes alone.

    Raises GeometryError if the voxel sizes are needed and one is 0 or not finite.
    """
    notes: list[str] = []
    sform, qform = _forms(header, notes)
    if sform is not None and qform is not None:
        apart = float(np.abs(_corners(header, sform) - _corners(header, qform)).max())
        if apart > 0.01 * float(np.linalg.norm(sform[:3, :3], axis=0).min()):
            notes.append(f"The qform and the sform disagree by up to {apart:.4g} mm; the sform was used.")
    ras = sform if sform is not None else qform
    if ras is None:
        notes.append(UNKNOWN_ORIENTATION)
        ras = _voxel_sizes_only(header)
    if sform is not None and (sizes := _sizes_that_disagree(header, sform)) is not None:
        notes.append(
            f"The sform gives voxels of {sizes[0]} and the header's voxel size (pixdim) is {sizes[1]}; the "
            "sform was used, and SimpleITK, ITK-SNAP and Slicer measure by the voxel size."
        )
    unit = int(header["xyzt_units"]) & 7
    if unit not in _MM_PER_UNIT:
        raise GeometryError(f"The spatial unit has the unknown code {unit}; export the volume again in mm.")
    if unit in (1, 3):
        notes.append(
            f"Lengths are given in {'metres' if unit == 1 else 'micrometres'} and were converted to mm."
        )
    lengths = np.linalg.norm(ras[:3, :3], axis=0)
    if unit == 0 and not (_PLAUSIBLE_MM[0] <= lengths.min() and lengths.max() <= _PLAUSIBLE_MM[1]):
        notes.append(
            "The file gives no unit of length, and its voxels are unlikely in mm; mm was assumed "
            "nevertheless."
        )
    lps = lps_from_ras(ras)
    lps[:3] *= _MM_PER_UNIT[unit]
    return lps, tuple(notes)


def lps_from_ras(affine_ras: Float) -> Float:
    """4x4, (z, y, x) index to LPS, from 4x4, (x, y, z) index to RAS; lengths in the same unit."""
    lps: Float = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_ras
    return lps[:, [2, 1, 0, 3]]


def ras_from_lps(affine_lps: Float) -> Float:
    """The inverse of `lps_from_ras`: 4x4, (x, y, z) index to RAS."""
    ras: Float = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine_lps[:, [2, 1, 0, 3]]
    return ras


def mm_per_unit(header: Header) -> float:
    """mm in the header's unit of length, which has to be a known one; 1 where it gives none."""
    return _MM_PER_UNIT[int(header["xyzt_units"]) & 7]


def stated_mm(header: Header) -> Triple | None:
    """The voxel sizes (z, y, x) in mm as the header has them, which ITK and nibabel call spacing; None if the
    sform has others.
    """
    sform, _ = _forms(header, [])
    if sform is not None and _sizes_that_disagree(header, sform) is not None:
        return None
    x, y, z = (abs(float(size)) * mm_per_unit(header) for size in header["pixdim"][1:4])
    return z, y, x


def _sizes_that_disagree(header: Header, ras: Float) -> tuple[str, str] | None:
    """The voxel sizes of an affine and of pixdim, in words, if they are not the same."""
    lengths = np.linalg.norm(ras[:3, :3], axis=0)
    stated = np.abs(np.array(header["pixdim"][1:4], np.float64))
    if not np.isfinite(lengths).all() or np.allclose(stated, lengths, rtol=_SAME_SIZE, atol=0):
        return None
    return " x ".join(f"{size:.4g}" for size in lengths), " x ".join(f"{size:.4g}" for size in stated)


def _forms(header: Header, notes: list[str]) -> tuple[Float | None, Float | None]:
    """The sform and the qform, each None where it is missing or unusable."""
    sform = header.get_sform() if int(header["sform_code"]) > 0 else None
    qform = _qform(header) if int(header["qform_code"]) > 0 else None
    if sform is not None and not _has_axes(sform):
        notes.append("The sform is empty and was left out.")
        sform = None
    if sform is not None and qform is not None and not _is_box(sform):
        notes.append("The sform is sheared, which no box of voxels can be; the qform was used.")
        sform = None
    return sform, qform


def _qform(header: Header) -> Float | None:
    """The qform, or None if its numbers are not a rotation with voxel sizes.

    As in the standard, a qfac of 0 counts as 1 and sizes are positive.
    """
    corrected = header.copy()
    corrected["pixdim"][1:4] = np.abs(header["pixdim"][1:4])
    if float(header["pixdim"][0]) not in (-1, 1):
        corrected["pixdim"][0] = 1
    try:
        qform: Float = corrected.get_qform()
    except (HeaderDataError, ValueError):
        return None
    return qform if _has_axes(qform) else None


def _has_axes(affine: Float) -> bool:
    return bool(np.isfinite(affine).all() and (np.linalg.norm(affine[:3, :3], axis=0) > 0).all())


def _is_box(affine: Float) -> bool:
    try:
        Geometry((1, 1, 1), affine)
    except GeometryError:
        return False
    return True


def _corners(header: Header, affine: Float) -> Float:
    ends = np.array(np.meshgrid(*[(0, max(int(n) - 1, 1)) for n in header["dim"][1:4]])).reshape(3, -1)
    corners: Float = affine[:3, :3] @ ends + affine[:3, 3:]
    return corners


def _voxel_sizes_only(header: Header) -> Float:
    """An upright LPS box at the origin; a negative voxel size reverses its axis.

    In RAS, like every affine of a header.
    """
    sizes = np.array(header["pixdim"][1:4], np.float64)
    if not np.isfinite(sizes).all() or (sizes == 0).any():
        raise GeometryError(
            f"The voxel size is {sizes[0]:g} x {sizes[1]:g} x {sizes[2]:g}; export the volume again with its "
            "voxel size."
        )
    return np.diag([-sizes[0], -sizes[1], sizes[2], 1.0])


def same_grid(header: Header, geometry: Geometry) -> bool:
    """Whether `header` describes `geometry` and all readers agree on its voxel size, so it may be reused for
    writing.
    """
    dims = tuple(int(n) for n in header["dim"][3:0:-1])
    if dims != geometry.shape or stated_mm(header) is None:
        return False
    return Geometry(geometry.shape, affine_lps(header)[0]).matches(geometry, 1e-4) in (
        Match.SAME,
        Match.ROUNDING,
    )
