"""NIfTI-1 and NIfTI-2, read and written so that a file's own header comes back to the bit.

Headers are nibabel's objects, read without "repairs"; voxels are read here, so that a stream is followed to its end and a cut one shows.
RAS of the file becomes LPS; the voxel order stays: array (z, y, x) is the file's (i, j, k) turned round, in the file's own byte sequence.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.formats.atomic import atomic_path
from ctseg_imaging.formats.choice import Choice, pick
from ctseg_imaging.formats.nifti_headers import Header, affine_lps, label_header, same_grid, slope_inter, stated_mm, volume_header
from ctseg_imaging.formats.scaling import real_values
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Volume

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img")
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error)
_GZIP_LEVEL = 4  # of 1..9: 5 % larger than 6 and twice as fast on CT
_LARGEST_GZIP_RATIO = 1040


def read(path: Path, volume: int | None = None) -> Volume:
    """Read one volume. volume : which one of a 4D file, from 1.

    Raises ChoiceNeeded for a 4D file without it, FormatError, GeometryError.
    """
    with _open(path) as stream:
        header = _read_header(path, stream)
        shape, count = _shape(path, header)
        chosen = pick(path, _choices(count, shape), volume, "volume", "volumes") - 1
        data_path = path.with_suffix(".img") if not header.is_single else None
        raw = _read_data(path, header, stream, shape, count, chosen, data_path)
    if count > 1:
        header = header.copy()
        header["dim"][0], header["dim"][4:] = 3, 1
    try:
        affine, notes = affine_lps(header)
        geometry = Geometry(shape, affine, stated_mm(header))
    except GeometryError as error:
        raise GeometryError(f"{path}: {str(error)[0].lower()}{str(error)[1:]}") from error
    array = real_values(raw, *slope_inter(header))
    if count > 1:
        notes = (*notes, f"Volume {chosen + 1} of {count} of a 4D file.")
    return Volume(array, geometry, header, path, notes=notes)


def list_choices(path: Path) -> list[Choice]:
    """The volumes of a file; one for a 3D file."""
    with _open(path) as stream:
        shape, count = _shape(path, _read_header(path, stream))
    return _choices(count, shape)


def write(path: Path, item: Volume | LabelMap, like: Volume | LabelMap | None = None, overwrite: bool = False) -> None:
    """Write .nii or .nii.gz. The header is the one of `like`, else of `item`, if it is a NIfTI header of the same grid; else new.

    A Volume keeps its whole header; a LabelMap takes over the geometry (qform, sform, their codes, units) and nothing else.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise FormatError(f"{path}: a NIfTI file ends in .nii or .nii.gz.")
    source = like if like is not None else item
    known = source.header if isinstance(source.header, Nifti1Header) and same_grid(source.header, item.geometry) else None
    if isinstance(item, LabelMap):
        header, data = label_header(item, known), item.array
    else:
        header, data = volume_header(item, known)
    with atomic_path(path, overwrite) as temporary, temporary.open("wb") as file:
        if path.name.lower().endswith(".gz"):
            with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as stream:
                _write_stream(stream, header, data)
        else:
            _write_stream(file, header, data)


def _open(path: Path) -> IO[bytes]:
    """The uncompressed stream, whether gzipped or not; the suffix must tell the truth."""
    with path.open("rb") as file:
        start = file.read(2)
    zipped, name = start == b"\x1f\x8b", path.name.lower()
    if not start:
        raise FormatError(f"{path}: is empty (0 bytes); copy or export it again.")
    if zipped and name.endswith(".nii"):
        raise FormatError(f"{path}: is gzip compressed but called .nii; rename it to .nii.gz.")
    if not zipped and name.endswith(".gz"):
        with path.open("rb") as file:
            is_nifti = _is_header(file.read(348))
        hint = "is not gzip compressed but called .nii.gz; rename it to .nii." if is_nifti else "is neither gzip nor NIfTI; is it an image?"
        raise FormatError(f"{path}: {hint}")
    return cast("IO[bytes]", gzip.open(path, "rb")) if zipped else path.open("rb")


def _is_header(start: bytes) -> bool:
    return start[344:347] in (b"n+1", b"ni1") or start[4:7] in (b"n+2", b"ni2")


def _read_header(path: Path, stream: IO[bytes]) -> Header:
    try:
        start = stream.read(348)
        if not _is_header(start):
            raise FormatError(f"{path}: is not a NIfTI file (no NIfTI header); is it an image?")
        second = 540 in struct.unpack("<i", start[:4]) + struct.unpack(">i", start[:4])
        single = start[4:6] == b"n+" if second else start[344:346] == b"n+"
        stream.seek(0)
        kinds = {(False, True): Nifti1Header, (False, False): Nifti1PairHeader,
                 (True, True): Nifti2Header, (True, False): Nifti2PairHeader}
        return kinds[second, single].from_fileobj(stream, check=False)
    except _DAMAGE as error:
        raise FormatError(f"{path}: the gzip stream is damaged or cut off; copy or export the file again.") from error
    except (HeaderDataError, ValueError, OverflowError, struct.error) as error:
        raise FormatError(f"{path}: its NIfTI header is damaged; copy or export the file again.") from error


def _shape(path: Path, header: Header) -> tuple[tuple[int, int, int], int]:
    """(z, y, x) and how many volumes. Raises FormatError for anything that is no stack of planes of single numbers."""
    rank = int(header["dim"][0])
    dims = [int(n) for n in header["dim"][1:1 + rank]] if 0 < rank <= 7 else []
    if not dims or min(dims) < 1:
        raise FormatError(f"{path}: its NIfTI header is damaged (dimensions {dims}); copy or export the file again.")
    if header.get_data_dtype().kind not in "iuf" or header.get_data_dtype().itemsize > 8:
        raise FormatError(f"{path}: its voxels are not single numbers (RGB or complex); convert it to one grey value a voxel first.")
    if rank < 3:
        raise FormatError(f"{path}: is a {rank}D picture, not a volume; a stack with a slice spacing is needed.")
    if math.prod(dims[3:]) == math.prod(dims[4:5]) > 1:
        raise FormatError(f"{path}: has {dims[4]} numbers a voxel (colour or vectors); convert it to one first.")
    if math.prod(dims[4:]) > 1:
        raise FormatError(f"{path}: has {rank} dimensions ({' x '.join(map(str, dims))}); split it into volumes first.")
    return (dims[2], dims[1], dims[0]), dims[3] if rank > 3 else 1


def _choices(count: int, shape: tuple[int, int, int]) -> list[Choice]:
    return [Choice(k + 1, "", f"volume {k + 1}, {shape[2]} x {shape[1]} x {shape[0]} voxels", shape[0]) for k in range(count)]


def _read_data(path: Path, header: Header, stream: IO[bytes], shape: tuple[int, int, int], count: int, chosen: int,
               data_path: Path | None) -> NDArray[Any]:
    """The stored numbers of one volume in native byte order; the stream is read to its end, so that damage shows."""
    dtype = header.get_data_dtype()
    size = math.prod(shape) * dtype.itemsize
    offset = int(header["vox_offset"])
    if data_path is not None and data_path != path:
        if not data_path.exists():
            raise FormatError(f"{path}: its data file {data_path.name} is missing; put it beside the header.")
        with _open(data_path) as data:
            return _from_stream(path, data, offset, size, count, chosen, dtype).reshape(shape)
    on_disk = path.stat().st_size
    if offset + size * count > on_disk * _LARGEST_GZIP_RATIO:
        raise FormatError(f"{path}: is cut off (its header promises {size * count} bytes of voxels); copy or export it again.")
    return _from_stream(path, stream, offset, size, count, chosen, dtype).reshape(shape)


def _from_stream(path: Path, stream: IO[bytes], offset: int, size: int, count: int, chosen: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    cut = f"{path}: is cut off (its header promises {size * count} bytes of voxels, fewer are there); copy or export it again."
    raw = np.empty(size // dtype.itemsize, dtype)
    view = memoryview(raw.view(np.uint8))  # type: ignore[arg-type]
    try:
        stream.seek(offset + chosen * size)
        filled = 0
        while filled < size:
            if not (got := stream.readinto(view[filled:])):  # type: ignore[attr-defined]
                raise FormatError(cut)
            filled += got
        rest = size * (count - 1 - chosen)
        while chunk := stream.read(1 << 20):
            rest -= len(chunk)
    except _DAMAGE as error:
        raise FormatError(f"{path}: the gzip stream is damaged or cut off; copy or export the file again.") from error
    if rest > 0:
        raise FormatError(cut)
    return raw.astype(dtype.newbyteorder("="), copy=False)


def _write_stream(stream: Any, header: Header, data: NDArray[Any]) -> None:
    """Header, extensions, padding, then the voxels a slice at a time (no copy of the volume in another byte order)."""
    if header["vox_offset"] == 0:
        header["vox_offset"] = header.single_vox_offset + sum(e.get_sizeondisk() for e in header.extensions)
    header.write_to(stream)
    stream.write(b"\0" * (int(header["vox_offset"]) - stream.tell()))
    dtype = header.get_data_dtype()
    for plane in data.reshape(-1, *data.shape[-2:]):
        stream.write(np.ascontiguousarray(plane, dtype).tobytes())
