"""NIfTI headers, as nibabel's objects: the scaling of the values, and headers for writing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from numpy.typing import NDArray

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.nifti.header_geometry import Header, ras_from_lps
from ctseg_imaging.formats.scaling import LARGEST_SCALE, stored_values
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Volume

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
