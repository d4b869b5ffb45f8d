"""Images and label maps: read and write."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Volume
from ctseg_models.contract.prediction import Prediction

if TYPE_CHECKING:
    import SimpleITK as sitk
    from nibabel.spatialimages import SpatialImage

    AnyPath = str | PathLike[str]
    ImageLike: TypeAlias = AnyPath | Volume | sitk.Image | SpatialImage
    LabelsLike: TypeAlias = AnyPath | LabelMap | Prediction | sitk.Image | SpatialImage


def read(
    path: AnyPath,
    *,
    volume: int | None = None,
    series: int | str | None = None,
    nearest_grid: bool = False,
) -> Volume:
    """Read an image: NIfTI, NRRD, MetaImage, a DICOM file or a DICOM folder.

    Parameters
    ----------
    path : str or Path
        A file, or the folder of a DICOM series.
    volume : int, optional
        Which volume of a 4D file, from 1.
    series : int or str, optional
        Which series of a DICOM folder: its number in `napari-ctseg info`, from 1, or its UID.
    nearest_grid : bool
        Where rounding in a header has sheared the axes by at most 1 degree, take the nearest grid without
        shear instead of refusing the file.

    Returns
    -------
    Volume
        `array` is (z, y, x), or (c, z, y, x) with channels, in the voxel order of the file and in HU for
        CT; `geometry` maps (z, y, x) indices to LPS millimetres. ``numpy.asarray(image)`` gives the array,
        ``image.to_sitk()`` and ``image.to_nibabel()`` an image of those libraries.

    Raises
    ------
    ChoiceNeeded
        The path holds several volumes or series; the message lists them.
    GeometryError
        The voxels form no regular grid (missing slices, a tilted gantry, sheared axes).
    FormatError
        The file is missing, damaged or of an unknown format.

    Examples
    --------
    >>> image = ctseg.read("scan.nii.gz")
    >>> image
    Volume(shape=(94, 512, 512), spacing_mm=(2.5, 0.98, 0.98), orientation='SPL', dtype=int16)
    """
    from ctseg_imaging import formats

    return formats.read(Path(path), volume=volume, series=series, nearest_grid=nearest_grid)


def read_labels(
    path: AnyPath,
    *,
    names: Mapping[int, str] | None = None,
    like: Volume | Geometry | None = None,
    volume: int | None = None,
    segment_layer: int | str | None = None,
    nearest_grid: bool = False,
) -> LabelMap:
    """Read a label map or a segmentation (.seg.nrrd, DICOM SEG, RTSTRUCT).

    Parameters
    ----------
    path : str or Path
        A file.
    names : dict of int to str, optional
        The name of each label value. By default they come from the file itself or from the files next to
        it: NAME.provenance.json, dataset.json, labels.json.
    like : Volume or Geometry, optional
        The image that the labels belong to; the result then lies on its voxels. An RTSTRUCT needs either
        this or its DICOM series in the same folder.
    volume : int, optional
        Which volume of a 4D file, from 1.
    segment_layer : int or str, optional
        Of overlapping segments: the number of a layer, the name of a segment, or "merged" for all of them,
        smaller ones over larger ones.
    nearest_grid : bool
        As in `read`.

    Returns
    -------
    LabelMap
        `array` is (z, y, x) of uint8, uint16 or int32 with 0 as background; `labels` lists value, name and
        colour of each label.

    Raises
    ------
    ChoiceNeeded
        Segments overlap and `segment_layer` is not given.
    GeometryError
        The voxels do not lie on those of `like`.
    FormatError
        The file holds probabilities or negative values, or cannot be read.

    Examples
    --------
    >>> truth = ctseg.read_labels("truth.nii.gz", names={1: "liver", 2: "spleen"})
    >>> [label.name for label in truth.labels]
    ['liver', 'spleen']
    """
    from ctseg_imaging import formats

    return formats.read_labels(
        Path(path),
        names=names,
        like=like,
        volume=volume,
        segment_layer=segment_layer,
        nearest_grid=nearest_grid,
    )


def write(
    path: AnyPath,
    item: Volume | LabelMap | Prediction,
    *,
    like: Volume | LabelMap | None = None,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write an image or labels, completely or not at all.

    Parameters
    ----------
    path : str or Path
        Its ending decides the format: .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, .seg.nrrd, .dcm (DICOM SEG)
        or .rtstruct.dcm (RTSTRUCT).
    item : Volume, LabelMap or Prediction
        Of a Prediction its labels are written.
    like : Volume or LabelMap, optional
        A volume on the same grid whose header geometry the file takes over (in NIfTI qform, sform and their
        codes). DICOM SEG and RTSTRUCT need the image here, as it was read from DICOM.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    tuple of str
        One sentence for each thing that the format cannot hold; usually empty.

    Raises
    ------
    FormatError
        The file exists, its ending is unknown, or it cannot be written.
    GeometryError
        `like` lies on another grid.

    Examples
    --------
    >>> prediction = ctseg.predict(image, "headneck-ct-scn")
    >>> ctseg.write("labels.nii.gz", prediction, like=image)
    ()
    """
    from ctseg_imaging import formats

    written = item.labels if isinstance(item, Prediction) else item
    return formats.write(Path(path), written, like=like, overwrite=overwrite)
