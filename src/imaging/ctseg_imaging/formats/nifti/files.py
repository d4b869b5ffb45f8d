"""NIfTI-1 and NIfTI-2, read and written such that a file's header is reproduced to the bit.

Headers are nibabel's objects, read without "repairs"; voxels are read here to the end of the stream, so
truncation is noticed. RAS becomes LPS; the voxel order stays: an array (z, y, x) holds the file's voxels (i,
j, k) with the axes reversed, in the order of the file.
"""

from __future__ import annotations

import gzip
import math
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header, Nifti1PairHeader
from nibabel.nifti2 import Nifti2Header, Nifti2PairHeader
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.formats.choice import Choice, pick
from ctseg_imaging.formats.disk.atomic import atomic_path
from ctseg_imaging.formats.disk.byte_streams import (
    ByteStream,
    Damaged,
    Piece,
    refuse_beyond_memory,
    refuse_impossible,
    take,
)
from ctseg_imaging.formats.nifti.header_geometry import Header, affine_lps, same_grid, stated_mm
from ctseg_imaging.formats.nifti.headers import new_header, scaling_doubt, slope_inter, volume_header
from ctseg_imaging.formats.placing import placed
from ctseg_imaging.formats.scaling import real_values
from ctseg_imaging.volume import LabelMap, Volume

SUFFIXES = (".nii", ".nii.gz", ".hdr", ".img")
_GZIP_LEVEL = 4  # of 1..9: 5 % larger than 6 and twice as fast on CT
_LONGEST_HEADER = 1 << 28  # with extensions
_SIZES = {False: 348, True: 540}  # of the header's own fields: NIfTI-1, NIfTI-2
_NIBABEL = (HeaderDataError, WrapStructError, ValueError, KeyError, TypeError, OverflowError, struct.error)


def read(path: Path, volume: int | None = None, nearest_grid: bool = False) -> Volume:
    """Read one volume. volume : which one of a 4D file, from 1. nearest_grid : as in `placed`.

    Raises ChoiceNeeded for a 4D file without it, FormatError, GeometryError.
    """
    with _open(path) as stream:
        header = _read_header(path, stream)
        shape, count = _shape(path, header)
        chosen = pick(path, _choices(count, shape), volume, "volume", "volumes") - 1
        raw, remarks = _read_data(path, header, stream, shape, count, chosen)
    notes = list(remarks)
    if int(header["dim"][0]) > 3 and (count > 1 or int(header["dim"][1:].min()) < 1):
        if count == 1:
            notes.append(
                f"A dimension beyond the third is given as {int(header['dim'][4:].min())}; it was taken as 1."
            )
        header = header.copy()
        header["dim"][0], header["dim"][4:] = 3, 1
    try:
        affine, doubts = affine_lps(header)
    except GeometryError as error:
        raise GeometryError(f"{path}: {str(error)[0].lower()}{str(error)[1:]}") from error
    geometry, moved = placed(path, shape, affine, stated_mm(header), nearest_grid)
    notes += [*doubts, *moved]
    if (doubt := scaling_doubt(path, header)) is not None:
        notes.append(doubt)
    array = real_values(raw, *slope_inter(header))
    if count > 1:
        notes.append(f"Volume {chosen + 1} of {count} of a 4D file.")
    return Volume(array, geometry, None if moved else header, path, notes=tuple(notes))


def list_choices(path: Path) -> list[Choice]:
    """The volumes of a file; one for a 3D file."""
    with _open(path) as stream:
        shape, count = _shape(path, _read_header(path, stream))
    return _choices(count, shape)


def write(
    path: Path, item: Volume | LabelMap, like: Volume | LabelMap | None = None, overwrite: bool = False
) -> None:
    """Write .nii or .nii.gz.

    The header is the one of `like`, else of `item`, if it is a NIfTI header of the same grid; else it is new.

    A Volume keeps its whole header; a LabelMap takes over the geometry (qform, sform, their codes, units) and
    nothing else.
    """
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise FormatError(f"{path}: a NIfTI file ends in .nii or .nii.gz.")
    source = like if like is not None else item
    known = (
        source.header
        if isinstance(source.header, Nifti1Header) and same_grid(source.header, item.geometry)
        else None
    )
    if isinstance(item, LabelMap):
        header, data = new_header(item.geometry, item.array, known), item.array
    else:
        header, data = volume_header(item, known)
    with atomic_path(path, overwrite) as temporary, temporary.open("wb") as file:
        if path.name.lower().endswith(".gz"):
            with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as stream:
                _write_stream(stream, header, data)
        else:
            _write_stream(file, header, data)


def _open(path: Path) -> ByteStream:
    """The uncompressed stream of a file, gzipped or not, which its suffix has to state correctly."""
    with path.open("rb") as file:
        start = file.read(348)
    zipped, name = start[:2] == b"\x1f\x8b", path.name.lower()
    if not start:
        raise FormatError(f"{path}: is empty (0 bytes); copy or export it again.")
    if zipped and name.endswith(".nii"):
        raise FormatError(f"{path}: is gzip compressed but called .nii; rename it to .nii.gz.")
    if not zipped and name.endswith(".gz"):
        hint = (
            "is not gzip compressed but called .nii.gz; rename it to .nii."
            if _is_header(start)
            else "is neither gzip nor NIfTI; is it an image?"
        )
        raise FormatError(f"{path}: {hint}")
    return ByteStream(path.open("rb"), "gzip" if zipped else "raw")


def _is_header(start: bytes) -> bool:
    return start[344:347] in (b"n+1", b"ni1") or start[4:7] in (b"n+2", b"ni2")


def _read_header(path: Path, stream: ByteStream) -> Header:
    """The header with its extensions; the stream stands at the first voxel, or at its end for a .hdr/.img
    pair.
    """
    damaged = f"{path}: its NIfTI header is damaged; copy or export the file again."
    try:
        start = stream.read(348)
        if not _is_header(start):
            raise FormatError(f"{path}: is not a NIfTI file (no NIfTI header); is it an image?")
        second = 540 in struct.unpack("<i", start[:4]) + struct.unpack(">i", start[:4])
        single = start[4:6] == b"n+" if second else start[344:346] == b"n+"
        kinds = {
            (False, True): Nifti1Header,
            (False, False): Nifti1PairHeader,
            (True, True): Nifti2Header,
            (True, False): Nifti2PairHeader,
        }
        kind = kinds[second, single]
        start += stream.read(_SIZES[second] - len(start))
        plain = kind(start, check=False)
        if not 1 <= int(plain["dim"][0]) <= 7:
            raise FormatError(damaged)
        length = _voxel_offset(path, plain, single) if single else _LONGEST_HEADER
        start += stream.read(length - len(start))
        if single and len(start) < length:
            raise FormatError(f"{path}: is cut off (it ends within its header); copy or export it again.")
        return kind.from_fileobj(BytesIO(start), check=False)
    except Damaged as error:
        raise FormatError(
            f"{path}: the gzip stream is damaged or cut off; copy or export the file again."
        ) from error
    except _NIBABEL as error:
        raise FormatError(damaged) from error


def _voxel_offset(path: Path, header: Header, single: bool) -> int:
    """The byte at which voxels begin. Raises FormatError for an impossible one."""
    offset = float(header["vox_offset"])
    least = int(header.single_vox_offset) if single else 0
    if (
        not math.isfinite(offset)
        or not offset.is_integer()
        or not least <= offset <= (_LONGEST_HEADER if single else 2**62)
    ):
        inside = f", inside its header of {least} bytes" if 0 <= offset < least else ""
        raise FormatError(
            f"{path}: has voxels that begin at byte {offset:g}{inside} (vox_offset); copy or export it again."
        )
    return int(offset)


def _shape(path: Path, header: Header) -> tuple[tuple[int, int, int], int]:
    """(z, y, x) and how many volumes.

    Raises FormatError for anything that is not a stack of planes of single numbers.
    """
    rank = int(header["dim"][0])
    dims = [int(n) for n in header["dim"][1 : 1 + rank]] if 0 < rank <= 7 else []
    dims[3:] = [max(size, 1) for size in dims[3:]]  # old exporters write 0 for a dimension that is not there
    if not dims or min(dims) < 1:
        raise FormatError(
            f"{path}: its NIfTI header is damaged (dimensions {dims}); copy or export the file again."
        )
    dtype = _dtype(path, header)
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise FormatError(
            f"{path}: its voxels are not single numbers (RGB or complex); convert it to one grey value a "
            "voxel first."
        )
    if rank < 3:
        raise FormatError(
            f"{path}: is a {rank}D picture, not a volume; a stack with a slice spacing is needed."
        )
    if math.prod(dims[3:]) == math.prod(dims[4:5]) > 1:
        raise FormatError(
            f"{path}: has {dims[4]} numbers a voxel (colour or vectors); convert it to one first."
        )
    if math.prod(dims[4:]) > 1:
        raise FormatError(
            f"{path}: has {rank} dimensions ({' x '.join(map(str, dims))}); split it into volumes first."
        )
    return (dims[2], dims[1], dims[0]), dims[3] if rank > 3 else 1


def _dtype(path: Path, header: Header) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
    except _NIBABEL as error:
        raise FormatError(
            f"{path}: has voxels of the unknown type {int(header['datatype'])}; copy or export it again."
        ) from error
    return dtype


def _choices(count: int, shape: tuple[int, int, int]) -> list[Choice]:
    return [
        Choice(k + 1, "", f"volume {k + 1}, {shape[2]} x {shape[1]} x {shape[0]} voxels", shape[0])
        for k in range(count)
    ]


def _read_data(
    path: Path, header: Header, stream: ByteStream, shape: tuple[int, int, int], count: int, chosen: int
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The stored numbers of one volume in native byte order, and remarks; the stream is read to its end to
    detect damage.
    """
    dtype = _dtype(path, header)
    size = math.prod(shape) * dtype.itemsize
    refuse_impossible(path, Piece(path, 0, "gzip"), size * count if header.is_single else 1)
    refuse_beyond_memory(path, size)
    if header.is_single:
        raw = np.empty(size, np.uint8)
        remarks = take(path, stream, size * count, size * chosen, raw)
    else:
        raw, remarks = _read_pair(path, header, size, count, chosen)
    return raw.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False), remarks


def _read_pair(
    path: Path, header: Header, size: int, count: int, chosen: int
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    data_path = path.with_suffix(".img")
    if data_path == path or not data_path.is_file():
        raise FormatError(f"{path}: its data file {data_path.name} is missing; put it next to the header.")
    refuse_impossible(path, Piece(data_path, 0, "gzip"), size * count)
    raw = np.empty(size, np.uint8)
    offset = _voxel_offset(path, header, single=False)
    with _open(data_path) as stream:
        try:
            stream.skip(offset)
        except Damaged as error:
            raise FormatError(
                f"{path}: its compressed voxels are damaged or cut off; copy or export it again."
            ) from error
        return raw, take(path, stream, size * count, size * chosen, raw, data_path.name)


def _write_stream(stream: Any, header: Header, data: NDArray[Any]) -> None:
    """Header, extensions, padding, then the voxels a slice at a time (no copy of the volume in another byte
    order).
    """
    if header["vox_offset"] == 0:
        header["vox_offset"] = header.single_vox_offset + sum(e.get_sizeondisk() for e in header.extensions)
    header.write_to(stream)
    stream.write(b"\0" * (int(header["vox_offset"]) - stream.tell()))
    dtype = header.get_data_dtype()
    for plane in data.reshape(-1, *data.shape[-2:]):
        stream.write(np.ascontiguousarray(plane, dtype).tobytes())
