"""Volumes and label maps as nibabel images, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.nifti1 import Nifti1Header, Nifti1Image, Nifti1Pair
from nibabel.nifti2 import Nifti2Header, Nifti2Image
from nibabel.spatialimages import SpatialImage
from numpy.typing import NDArray

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.nifti.header_geometry import (
    UNKNOWN_ORIENTATION,
    Header,
    affine_lps,
    lps_from_ras,
    mm_per_unit,
    ras_from_lps,
    same_grid,
    stated_mm,
)
from ctseg_imaging.formats.nifti.headers import as_single, new_header, storable
from ctseg_imaging.formats.scaling import LARGEST_SCALE, real_values
from ctseg_imaging.geometry import Float, Geometry, Triple
from ctseg_imaging.volume import LabelMap, Volume, exact


def volume_of(image: Any) -> Volume:
    """A Volume with a copy of the voxels of a nibabel image.

    image : 3D (x, y, z), giving an array (z, y, x), or 4D (x, y, z, c), giving (c, z, y, x). A NIfTI image is
    read as a NIfTI file is: the same geometry, the same types, lengths in mm, the header kept for writing. Of
    other images the affine is used, in mm. Raises FormatError for anything else, GeometryError if the axes
    are not at right angles or have no length.
    """
    if not isinstance(image, SpatialImage):
        raise FormatError(f"A nibabel image is needed, not {type(image).__name__}; pass what nibabel loads.")
    raw, slope, inter = _stored(image)
    array = real_values(raw, slope, inter)
    if not isinstance(image, Nifti1Pair):
        affine, notes = _affine_alone(image)
        return Volume(array, Geometry(array.shape[-3:], affine), notes=notes)
    header = _current_header(image, slope, inter)
    affine, stated, notes = _placed(image, header)
    return Volume(array, Geometry(array.shape[-3:], affine, stated), header, notes=notes)


def image_of(item: Volume | LabelMap) -> Any:
    """A nibabel Nifti1Image (or Nifti2Image) with a copy of the voxels, (x, y, z) or (x, y, z, c), in mm.

    The header of a volume that was made from NIfTI is reused if it describes the same grid; else it is a new
    one with qform and sform of code 1. bool becomes uint8 and float16 float32, which NIfTI has no types for.
    Raises GeometryError for a view-only volume.
    """
    if isinstance(item, Volume):
        exact(item, "be converted")
    array = storable(item.array)
    known = item.header if isinstance(item.header, Nifti1Header) else None
    if known is not None and not (same_grid(known, item.geometry) and mm_per_unit(known) == 1):
        known = None
    if known is None or isinstance(item, LabelMap) or array.ndim == 4:
        header = new_header(item.geometry, array, known)
    else:
        header = as_single(known)
    header.set_data_dtype(array.dtype)
    kind = Nifti2Image if isinstance(header, Nifti2Header) else Nifti1Image
    affine = ras_from_lps(item.geometry.affine_lps)
    return kind(np.array(array.T, order="F"), affine, header)


def _stored(image: SpatialImage) -> tuple[NDArray[Any], float, float]:
    """The numbers (z, y, x) or (c, z, y, x) as stored, in native byte order, their slope and intercept."""
    data = image.dataobj
    if data.ndim not in (3, 4):
        raise FormatError(f"The nibabel image has {data.ndim} dimensions; pass a 3D or a 4D image.")
    # A file whose voxels are not loaded yet. Other formats have proxies that scale in their own way.
    scaled = type(data) is ArrayProxy
    slope, inter = (float(data.slope), float(data.inter)) if scaled else (1.0, 0.0)
    if max(abs(slope), abs(inter)) > LARGEST_SCALE:
        raise FormatError(
            f"The nibabel image scales its voxels by {slope:g} and adds {inter:g}; is its header damaged?"
        )
    raw = np.asarray(data.get_unscaled() if scaled else data)
    if raw.dtype.kind not in "biuf" or raw.dtype.itemsize > 8:
        raise FormatError(f"The nibabel image has {raw.dtype} voxels; convert them to real ones first.")
    return np.array(raw.T, raw.dtype.newbyteorder("="), order="C"), slope, inter


def _current_header(image: Nifti1Pair, slope: float, inter: float) -> Header:
    """The header as nibabel would write it for one volume, with the scaling of the file.

    Raises GeometryError if the affine was changed to one that is not a grid's.
    """
    header = image.header.copy()
    if image.affine is not None and not np.allclose(image.affine, header.get_best_affine()):
        Geometry(image.shape[2::-1], lps_from_ras(image.affine))
        header.set_sform(image.affine, code="aligned")
        header.set_qform(image.affine, code="unknown")
    if (slope, inter) != (1, 0):
        header["scl_slope"], header["scl_inter"] = slope, inter
    if int(header["dim"][0]) > 3:
        header["dim"][0], header["dim"][4:] = 3, 1
    return header


def _placed(image: Nifti1Pair, header: Header) -> tuple[Float, Triple | None, tuple[str, ...]]:
    """The affine from (z, y, x) to LPS mm, voxel sizes as the header states them, and notes.

    The affine is the image's, in double precision, where it is the header's up to rounding.
    """
    affine, notes = affine_lps(header)
    if image.affine is None:
        return affine, stated_mm(header), notes
    own = lps_from_ras(image.affine)
    own[:3] *= mm_per_unit(header)
    if np.array_equal(own, affine) or not np.allclose(own, affine):
        return affine, stated_mm(header), notes
    return own, None, notes


def _affine_alone(image: SpatialImage) -> tuple[Float, tuple[str, ...]]:
    if image.affine is None:
        return lps_from_ras(np.diag([-1.0, -1.0, 1.0, 1.0])), (UNKNOWN_ORIENTATION,)
    return lps_from_ras(image.affine), ()
