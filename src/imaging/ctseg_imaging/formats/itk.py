"""NRRD and MetaImage by SimpleITK, with checks for what SimpleITK lets pass: data that end early, negative spacing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.formats.atomic import atomic_folder, atomic_path
from ctseg_imaging.formats.choice import Choice, pick
from ctseg_imaging.formats.itk_headers import check_data, data_file, read_text_header
from ctseg_imaging.geometry import Geometry, Match
from ctseg_imaging.volume import LabelMap, Volume

SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
sitk.ProcessObject.SetGlobalWarningDisplay(False)  # its warnings print to stderr; what matters is checked here


@dataclass(frozen=True)
class ItkHeader:
    """What the file said, kept for writing the same again: numbers to the bit, (x, y, z), and the free fields of the header."""

    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    fields: tuple[tuple[str, str], ...] = ()


def read(path: Path, volume: int | None = None) -> Volume:
    """Read one volume. volume : which one of a 4D file, from 1. Raises FormatError, GeometryError, ChoiceNeeded."""
    reader, text = _open(path)
    size = list(reader.GetSize())
    choices = _choices(path, reader)
    chosen = pick(path, choices, volume, "volume", "volumes") - 1
    notes = check_data(path, text, reader)
    if len(size) == 4:
        reader.SetExtractSize([*size[:3], 0])
        reader.SetExtractIndex([0, 0, 0, chosen])
        if size[3] > 1:
            notes.append(f"Volume {chosen + 1} of {size[3]} of a 4D file.")
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise FormatError(f"{path}: cannot be read to its end; copy or export it again.") from error
    spacing, origin, direction = image.GetSpacing(), image.GetOrigin(), image.GetDirection()
    array = sitk.GetArrayFromImage(image)
    try:
        geometry = replace(Geometry.from_parts(array.shape, spacing[::-1], origin, direction),
                           stated_mm=(spacing[2], spacing[1], spacing[0]))
    except GeometryError as error:
        raise GeometryError(f"{path}: {str(error)[0].lower()}{str(error)[1:]}") from error
    fields = tuple((key, image.GetMetaData(key)) for key in image.GetMetaDataKeys() if not key.startswith(("ITK_", "NRRD_")))
    return Volume(array, geometry, ItkHeader(spacing, origin, direction, fields), path, notes=tuple(notes))


def list_choices(path: Path) -> list[Choice]:
    """The volumes of a file; one for a 3D file."""
    return _choices(path, _open(path)[0])


def write(path: Path, item: Volume | LabelMap, like: Volume | LabelMap | None = None, overwrite: bool = False) -> None:
    """Write .nrrd, .mha (one file), .mhd or .nhdr (header and data), compressed. Geometry from `like`'s or the item's header if it fits."""
    image = _image(item, like)
    several_files = path.suffix.lower() in (".mhd", ".nhdr")
    with (atomic_folder if several_files else atomic_path)(path, overwrite) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
            check_data(temporary, *reversed(_open(temporary)))  # a disk that fills up with the last block goes unnoticed otherwise
        except (RuntimeError, FormatError) as error:
            raise OSError(None, "the disk refused it") from error


def _open(path: Path) -> tuple[sitk.ImageFileReader, dict[str, str]]:
    """A reader with the header read, and the header's own text fields."""
    text = read_text_header(path)
    data_file(path, text)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO("NrrdImageIO" if path.suffix.lower() in (".nrrd", ".nhdr") else "MetaImageIO")
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise FormatError(f"{path}: its header is damaged; copy or export it again.") from error
    return reader, text


def _choices(path: Path, reader: sitk.ImageFileReader) -> list[Choice]:
    size = list(reader.GetSize())
    if reader.GetNumberOfComponents() != 1:
        raise FormatError(f"{path}: has {reader.GetNumberOfComponents()} numbers a voxel (colour or vectors); convert it to one first.")
    if len(size) not in (3, 4):
        raise FormatError(f"{path}: is a {len(size)}D picture, not a volume; a stack with a slice spacing is needed.")
    count = size[3] if len(size) == 4 else 1
    return [Choice(k + 1, "", f"volume {k + 1}, {size[0]} x {size[1]} x {size[2]} voxels", size[2]) for k in range(count)]


def _image(item: Volume | LabelMap, like: Volume | LabelMap | None) -> Any:
    """A SimpleITK image with the exact numbers of the source's header where that describes the same grid."""
    array = item.array.astype(np.uint8) if item.array.dtype == np.bool_ else item.array
    array = array.astype(np.float32) if array.dtype == np.float16 else array
    if array.ndim == 4:
        image = sitk.JoinSeries([sitk.GetImageFromArray(np.ascontiguousarray(channel)) for channel in array])
        return _place_4d(image, item.geometry)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    geometry = item.geometry
    header = (like if like is not None else item).header
    if isinstance(header, ItkHeader) and _same_grid(header, geometry):
        image.SetSpacing(header.spacing)
        image.SetOrigin(header.origin)
        image.SetDirection(header.direction)
        for key, value in header.fields if isinstance(item, Volume) else ():
            image.SetMetaData(key, value)
    else:
        image.SetSpacing(geometry.spacing_mm[::-1])
        image.SetOrigin(geometry.origin_lps_mm)
        image.SetDirection(geometry.direction.ravel().tolist())
    return image


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
