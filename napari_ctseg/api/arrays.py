"""Images and label maps from arrays and from the images of other libraries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume
from ctseg_models.contract.prediction import Prediction
from napari_ctseg.api.images import read, read_labels

if TYPE_CHECKING:
    from napari_ctseg.api.images import ImageLike, LabelsLike


def as_volume(
    image: ImageLike | ArrayLike,
    *,
    spacing_mm: Sequence[float] | None = None,
    origin_lps_mm: Sequence[float] = (0, 0, 0),
    direction: ArrayLike | None = None,
) -> Volume:
    """Make a Volume from an array, a SimpleITK or a nibabel image, or read one from a path.

    Parameters
    ----------
    image : array, SimpleITK.Image, nibabel image, str, Path or Volume
        An array is (z, y, x) or, with channels, (c, z, y, x); for CT in HU. The images of SimpleITK and
        nibabel bring their geometry. A Volume is returned as it is.
    spacing_mm : (z, y, x)
        Distance between voxel centres in mm. Needed for an array, which has no geometry of its own.
    origin_lps_mm : (x, y, z)
        The centre of voxel (0, 0, 0), in LPS millimetres.
    direction : (3, 3) array, optional
        As in ITK: column j is the LPS direction of the x, y or z axis. Default: the identity, an axial
        volume from feet to head.

    Returns
    -------
    Volume

    Raises
    ------
    GeometryError
        An array comes without `spacing_mm`, or its axes are not at right angles.

    Examples
    --------
    >>> image = ctseg.as_volume(array, spacing_mm=(2.5, 0.98, 0.98))
    >>> image = ctseg.as_volume(SimpleITK.ReadImage("scan.nrrd"))
    >>> image.to_nibabel()
    """
    if isinstance(image, Volume):
        return image
    if isinstance(image, str | PathLike):
        return read(image)
    if (volume := _of_another_library(image)) is not None:
        return volume
    array = np.asarray(image)
    return Volume(array, _grid(array, spacing_mm, origin_lps_mm, direction))


def as_labels(
    labels: LabelsLike | ArrayLike,
    *,
    names: Mapping[int, str] | None = None,
    spacing_mm: Sequence[float] | None = None,
    origin_lps_mm: Sequence[float] = (0, 0, 0),
    direction: ArrayLike | None = None,
) -> LabelMap:
    """Make a LabelMap from an array, a SimpleITK or a nibabel image, or read one from a path.

    Parameters
    ----------
    labels : array, SimpleITK.Image, nibabel image, str, Path, LabelMap or Prediction
        An array is (z, y, x) of integers, 0 for the background. A LabelMap is returned as it is; of a
        Prediction, its labels.
    names : dict of int to str, optional
        The name of each value. Default: "label 1", "label 2", ... for an array; see `read_labels` for a
        path.
    spacing_mm, origin_lps_mm, direction
        As in `as_volume`.

    Returns
    -------
    LabelMap

    Raises
    ------
    GeometryError
        An array comes without `spacing_mm`.
    ValueError
        The array does not hold integers.

    Examples
    --------
    >>> mask = ctseg.as_labels(image.array > 300, names={1: "bone"}, spacing_mm=image.spacing_mm)
    """
    if isinstance(labels, LabelMap):
        return labels
    if isinstance(labels, Prediction):
        return labels.labels
    if isinstance(labels, str | PathLike):
        return read_labels(labels, names=names)
    if (volume := _of_another_library(labels)) is not None:
        return LabelMap.from_volume(volume, names)
    array = np.asarray(labels)
    array = array.view(np.uint8) if array.dtype == bool else array
    known = Labels.from_values(array) if names is None else Labels.from_names(names)
    return LabelMap(array, _grid(array, spacing_mm, origin_lps_mm, direction), known)


def _of_another_library(image: Any) -> Volume | None:
    """A SimpleITK or nibabel image as a Volume; None for anything else. Neither library is loaded for it."""
    library = type(image).__module__.partition(".")[0]
    if library == "SimpleITK":
        return Volume.from_sitk(image)
    return Volume.from_nibabel(image) if library == "nibabel" else None


def _grid(
    array: NDArray[Any],
    spacing_mm: Sequence[float] | None,
    origin_lps_mm: Sequence[float],
    direction: ArrayLike | None,
) -> Geometry:
    """The grid of an array of (..., z, y, x)."""
    if spacing_mm is None:
        raise GeometryError(
            "An array has no voxel spacing of its own; give spacing_mm=(z, y, x) in millimetres."
        )
    if array.ndim not in (3, 4):
        raise GeometryError(
            f"The array is {array.shape}; give (z, y, x), or (c, z, y, x) for an image with channels."
        )
    return Geometry.from_parts(array.shape[-3:], spacing_mm, origin_lps_mm, direction)
