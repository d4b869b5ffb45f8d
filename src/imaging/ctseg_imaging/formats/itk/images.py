"""Volumes and label maps as SimpleITK images, and back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ctseg_imaging.errors import FormatError
from ctseg_imaging.geometry import Geometry, Match
from ctseg_imaging.volume import LabelMap, Volume, exact

LABEL_OBJECTS = (sitk.sitkLabelUInt8, sitk.sitkLabelUInt16, sitk.sitkLabelUInt32, sitk.sitkLabelUInt64)


@dataclass(frozen=True)
class ItkHeader:
    """The numbers of an image as SimpleITK has them, kept for writing the same again: to the bit, (x, y, z),
    and the free fields of the header.
    """

    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    fields: tuple[tuple[str, str], ...] = ()


def volume_of(image: Any) -> Volume:
    """A Volume with a copy of the voxels of a SimpleITK image.

    image : 3D with one number a voxel, giving an array (z, y, x); 3D with several numbers a voxel or 4D,
    giving (c, z, y, x). Its metadata (in an image from DICOM those of the patient) are not taken over. Raises
    FormatError for anything else, GeometryError if the axes are not at right angles.
    """
    array = _array(image)
    directions = np.reshape(image.GetDirection(), (image.GetDimension(),) * 2)
    if directions[:3, 3:].any() or directions[3:, :3].any():
        raise FormatError("The SimpleITK image has a fourth axis that runs through space; extract a volume.")
    spacing, origin = image.GetSpacing()[:3], image.GetOrigin()[:3]
    direction = tuple(directions[:3, :3].ravel().tolist())
    geometry = Geometry.from_parts(array.shape[-3:], spacing[::-1], origin, direction)
    x, y, z = spacing
    return Volume(array, replace(geometry, stated_mm=(z, y, x)), ItkHeader(spacing, origin, direction))


def image_of(item: Volume | LabelMap, like: Volume | LabelMap | None = None) -> Any:
    """A SimpleITK image with a copy of the voxels, (x, y, z) or for several channels (x, y, z, c).

    like : whose header is used; by default that of `item`. Where it describes the grid of `item`, spacing,
    origin and direction are the header's to the bit. bool becomes uint8 and float16 float32, which SimpleITK
    has no types for. Raises GeometryError for a view-only volume.
    """
    if isinstance(item, Volume):
        exact(item, "be converted")
    array = item.array.astype(np.uint8) if item.array.dtype == np.bool_ else item.array
    array = array.astype(np.float32) if array.dtype == np.float16 else array
    if array.ndim == 4:
        channels = [sitk.GetImageFromArray(np.ascontiguousarray(channel)) for channel in array]
        return _place_4d(sitk.JoinSeries(channels), item.geometry)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    header = (like if like is not None else item).header
    if not (isinstance(header, ItkHeader) and _same_grid(header, item.geometry)):
        return place(image, item.geometry)
    image.SetSpacing(header.spacing)
    image.SetOrigin(header.origin)
    image.SetDirection(header.direction)
    for key, value in header.fields if isinstance(item, Volume) else ():
        image.SetMetaData(key, value)
    return image


def place(image: Any, geometry: Geometry) -> Any:
    """`image`, a 3D SimpleITK image, with the spacing, origin and direction of `geometry`."""
    image.SetSpacing(geometry.spacing_mm[::-1])
    image.SetOrigin(geometry.origin_lps_mm)
    image.SetDirection(geometry.direction.ravel().tolist())
    return image


def _array(image: Any) -> NDArray[Any]:
    if not isinstance(image, sitk.Image):
        raise FormatError(f"A SimpleITK image is needed, not {type(image).__name__}; pass a SimpleITK.Image.")
    if image.GetPixelID() in LABEL_OBJECTS:  # asked for its components, it ends the process
        raise FormatError(
            "The SimpleITK image has label objects and no voxels; pass it through SimpleITK.LabelMapToLabel."
        )
    dimensions, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if dimensions not in (3, 4) or (dimensions == 4 and components > 1):
        raise FormatError(
            f"The SimpleITK image has {dimensions} dimensions and {components} numbers a voxel; pass a 3D "
            "image, or a 4D one with one number a voxel."
        )
    array: NDArray[Any] = sitk.GetArrayFromImage(image)
    if array.dtype.kind not in "iuf":
        raise FormatError(f"The SimpleITK image has {array.dtype} voxels; convert them to real ones first.")
    return np.ascontiguousarray(np.moveaxis(array, -1, 0)) if components > 1 else array


def _place_4d(image: Any, geometry: Geometry) -> Any:
    direction = np.eye(4)
    direction[:3, :3] = geometry.direction
    image.SetSpacing([*geometry.spacing_mm[::-1], 1.0])
    image.SetOrigin([*geometry.origin_lps_mm, 0.0])
    image.SetDirection(direction.ravel().tolist())
    return image


def _same_grid(header: ItkHeader, geometry: Geometry) -> bool:
    own = Geometry.from_parts(geometry.shape, header.spacing[::-1], header.origin, header.direction)
    return own.matches(geometry, 1e-4) in (Match.SAME, Match.ROUNDING)
