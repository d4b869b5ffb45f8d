"""The base of volumes and label maps: an array on a grid, also for numpy, SimpleITK and nibabel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ctseg_imaging.geometry import Geometry, Triple

if TYPE_CHECKING:
    from ctseg_imaging.volume import LabelMap, Volume


class OnGrid:
    """An array (z, y, x) or (c, z, y, x) and the geometry of (z, y, x)."""

    array: NDArray[Any]
    geometry: Geometry

    @property
    def shape(self) -> tuple[int, ...]:
        """(z, y, x), or (c, z, y, x) with several channels."""
        return self.array.shape

    @property
    def spacing_mm(self) -> Triple:
        """The distance of voxel centres along (z, y, x) in mm: the header's numbers, if any, to the bit."""
        return self.geometry.stated_mm or self.geometry.spacing_mm

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """The array for numpy. copy : as in numpy 2; False raises ValueError where `dtype` needs a copy."""
        return np.array(self.array, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        spacing = ", ".join(f"{side:.6g}" for side in self.spacing_mm)
        return (
            f"{type(self).__name__}(shape={self.shape}, spacing_mm=({spacing}), "
            f"orientation={self.geometry.axis_codes!r}, dtype={self.array.dtype}{self._details()})"
        )

    def _details(self) -> str:
        """What a subclass adds to its repr, beginning with a comma."""
        return ""

    def to_sitk(self: Volume | LabelMap) -> Any:  # type: ignore[misc]
        """A SimpleITK.Image with a copy of the voxels: 3D, or 4D with the channels along the fourth axis.

        Spacing, origin and direction are exactly those of the SimpleITK image, NRRD or MetaImage that this
        was made from, if the grid is unchanged. bool becomes uint8 and float16 float32. Raises GeometryError
        for a view-only volume.
        """
        from ctseg_imaging.formats.itk.images import image_of

        return image_of(self)

    def to_nibabel(self: Volume | LabelMap) -> Any:  # type: ignore[misc]
        """A nibabel Nifti1Image with a copy of the voxels, (x, y, z) or (x, y, z, c); its affine is RAS mm.

        The header of a volume that was made from NIfTI is reused if the grid is unchanged. bool becomes uint8
        and float16 float32. Raises GeometryError for a view-only volume.
        """
        from ctseg_imaging.formats.nifti.images import image_of

        return image_of(self)
