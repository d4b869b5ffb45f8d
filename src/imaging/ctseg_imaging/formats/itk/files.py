"""NRRD and MetaImage: read here, every voxel checked to be there; written by SimpleITK and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import SimpleITK as sitk

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.choice import Choice, pick
from ctseg_imaging.formats.disk.atomic import atomic_folder, atomic_path
from ctseg_imaging.formats.itk import metaimage, nrrd
from ctseg_imaging.formats.itk.images import ItkHeader, image_of
from ctseg_imaging.formats.itk.stored import Stored
from ctseg_imaging.formats.itk.text_header import LONGEST_HEADER
from ctseg_imaging.formats.placing import placed
from ctseg_imaging.volume import LabelMap, Volume

SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
MOST_VOLUMES = 100_000  # of a 4D file; more is a damaged header
sitk.ProcessObject.SetGlobalWarningDisplay(
    False
)  # its warnings go to stderr; relevant faults are checked here


def read(path: Path, volume: int | None = None, nearest_grid: bool = False) -> Volume:
    """Read one volume. volume : which one of a 4D file, from 1. nearest_grid : as in `placed`.

    Raises FormatError, GeometryError, ChoiceNeeded.
    """
    stored = layout(path)
    chosen = pick(path, _choices(stored), volume, "volume", "volumes") - 1
    spacing, origin = stored.spacing_mm, stored.origin_lps_mm
    geometry, moved = placed(path, stored.shape, stored.affine_lps, spacing[::-1], nearest_grid)
    array, remarks = stored.read(path, chosen)
    notes = [*stored.notes, *moved, *remarks]
    if stored.volumes > 1:
        notes.append(f"Volume {chosen + 1} of {stored.volumes} of a 4D file.")
    header = ItkHeader(spacing, origin, tuple(stored.direction.ravel().tolist()), stored.fields)
    return Volume(array, geometry, None if moved else header, path, notes=tuple(notes))


def list_choices(path: Path) -> list[Choice]:
    """The volumes of a file; one for a 3D file."""
    return _choices(layout(path))


def write(
    path: Path, item: Volume | LabelMap, like: Volume | LabelMap | None = None, overwrite: bool = False
) -> None:
    """Write .nrrd, .mha (one file), .mhd or .nhdr (header and data), compressed.

    Geometry from `like`'s or the item's header if it fits.
    """
    write_checked(path, image_of(item, like), overwrite)


def write_checked(path: Path, image: Any, overwrite: bool = False) -> None:
    """Write a SimpleITK image, compressed, and read it back, because SimpleITK does not notice a disk that
    fills up with the last block. Raises OSError if the disk refuses it.
    """
    several_files = path.suffix.lower() in (".mhd", ".nhdr")
    with (atomic_folder if several_files else atomic_path)(path, overwrite) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), useCompression=True)
            layout(temporary).read(temporary, 0)
        except (RuntimeError, FormatError) as error:
            raise OSError(None, "the disk refused it") from error


def layout(path: Path) -> Stored:
    """The volume that the header of a file describes. Raises FormatError."""
    with path.open("rb") as file:
        start = file.read(LONGEST_HEADER)
    if not start:
        raise FormatError(f"{path}: is empty (0 bytes); copy or export it again.")
    read_layout = nrrd.layout if path.suffix.lower() in (".nrrd", ".nhdr") else metaimage.layout
    stored = read_layout(path, start)
    if stored.volumes > MOST_VOLUMES:
        raise FormatError(f"{path}: its header counts {stored.volumes} volumes; is it damaged?")
    return stored


def _choices(stored: Stored) -> list[Choice]:
    z, y, x = stored.shape
    return [Choice(k + 1, "", f"volume {k + 1}, {x} x {y} x {z} voxels", z) for k in range(stored.volumes)]
