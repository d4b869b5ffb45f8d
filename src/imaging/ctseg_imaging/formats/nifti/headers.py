"""NIfTI headers, as nibabel's objects: geometry and scaling from them, and headers for writing.

RAS becomes LPS here.

Source: nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h (methods 1 to 3 of "3D image orientation").
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.formats.scaling import LARGEST_SCALE, stored_values
from ctseg_imaging.geometry import Float, Geometry, Match, Triple
from ctseg_imaging.volume import Volume

Header = Any  # nibabel's header objects have no useful types
UNKNOWN_ORIENTATION = (
    "Orientation unknown: the file gives voxel sizes but no qform and no sform; left and "
    "right are not certain."
)
_MM_PER_UNIT = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # unknown is read as mm, as every reader does
_PLAUSIBLE_MM = (0.02, 50.0)  # a side of a voxel, from micro-CT to a scout
_SAME_SIZE = 1e-3  # relative; float32 leaves 1e-7
_GEOMETRY_FIELDS = (
    "qform_code",
    "sform_code",
    "quatern_b",
    "quatern_c",
    "quatern_d",
    "qoffset_x",
    "qoffset_y",
    "qoffset_z",
    "srow_x",
    "srow_y",
    "srow_z",
    "xyzt_units",
)


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


def slope_inter(header: Header) -> tuple[float, float]:
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    return (slope, inter) if math.isfinite(slope) and math.isfinite(inter) and slope != 0 else (1.0, 0.0)


def scaling_doubt(path: Path, header: Header) -> str | None:
    """A remark about a slope or an intercept that is ignored.

    Raises FormatError if the values cannot be determined.

    A slope of 0 stands for no scaling (nifti1.h), and so does NaN in both, which nibabel writes.
    """
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if math.isinf(slope) or (not math.isfinite(inter) and math.isfinite(slope) and slope != 0):
        raise FormatError(
            f"{path}: scales its voxels by {slope:g} and adds {inter:g} (scl_slope, scl_inter), so their "
            "values are unknown; export it again."
        )
    if max(abs(slope), abs(inter)) > LARGEST_SCALE:
        raise FormatError(
            f"{path}: scales its voxels by {slope:g} and adds {inter:g} (scl_slope, scl_inter); is its "
            "header damaged?"
        )
    if (slope == 0 or math.isnan(slope)) and inter != 0 and not math.isnan(inter):
        return f"scl_slope is {slope:g}, which means no scaling; scl_inter ({inter:g}) was ignored."
    return None


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


def volume_header(item: Volume, known: Header | None) -> tuple[Header, NDArray[Any]]:
    """The header and the numbers to store: the known header unchanged if it can hold the values exactly."""
    if known is not None and item.array.ndim == 3:
        header = as_single(known)
        stored = stored_values(item.array, header.get_data_dtype(), *slope_inter(header))
        if stored is not None:
            return header, stored
        header.set_data_dtype(storable(item.array).dtype.newbyteorder(header.endianness))
        header["scl_slope"], header["scl_inter"] = 1, 0
        return header, storable(item.array)
    array = storable(item.array)
    return new_header(item.geometry, array, known), array


def storable(array: NDArray[Any]) -> NDArray[Any]:
    """`array` in a type that NIfTI can store."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def as_single(header: Header) -> Header:
    """A copy for a single file: as it is, or made from the header of a .hdr/.img pair."""
    if header.is_single:
        return header.copy()
    kind = Nifti2Header if isinstance(header, Nifti2Header) else Nifti1Header
    single = kind(endianness=header.endianness)
    for name in header.keys():  # noqa: SIM118  (a header is not iterable by itself)
        if name not in ("magic", "vox_offset"):
            single[name] = header[name]
    return single


def new_header(geometry: Geometry, array: NDArray[Any], known: Header | None) -> Header:
    """A plain header for `array` (..., z, y, x), stored as it is.

    The geometry is copied field by field from `known`, or set from `geometry` in qform and sform with code 1
    where `known` is None.
    """
    kind = Nifti2Header if isinstance(known, Nifti2Header) else Nifti1Header
    header = kind()
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape[::-1])
    if known is None:
        ras = ras_from_lps(geometry.affine_lps)
        header.set_qform(ras, 1)
        header.set_sform(ras, 1)
        header.set_xyzt_units("mm", "sec")
    else:
        for name in _GEOMETRY_FIELDS:
            header[name] = known[name]
        header["pixdim"][:4] = known["pixdim"][:4]
    header["scl_slope"], header["scl_inter"] = 1, 0
    return header
