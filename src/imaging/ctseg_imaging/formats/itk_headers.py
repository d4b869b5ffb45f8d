"""The text headers of NRRD and MetaImage, and whether all the voxels that they promise are there.

SimpleITK reads some files that end early as if they were whole, and takes a negative spacing for a turned axis.
Sources: teem.sourceforge.net/nrrd/format.html; itk.org/Wiki/ITK/MetaIO/Documentation.
"""

from __future__ import annotations

import bz2
import gzip
import math
import zlib
from pathlib import Path
from typing import IO, Any

import SimpleITK as sitk

from ctseg_imaging.errors import FormatError

_BYTES = {sitk.sitkInt8: 1, sitk.sitkUInt8: 1, sitk.sitkInt16: 2, sitk.sitkUInt16: 2, sitk.sitkInt32: 4, sitk.sitkUInt32: 4,
          sitk.sitkInt64: 8, sitk.sitkUInt64: 8, sitk.sitkFloat32: 4, sitk.sitkFloat64: 8}
_LONGEST_HEADER = 1 << 20
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, OSError)


def read_text_header(path: Path) -> dict[str, str]:
    """Field names in lower case to values; "data offset" is the byte at which voxels begin in this file, if they are in it."""
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
    if not start:
        raise FormatError(f"{path}: is empty (0 bytes); copy or export it again.")
    nrrd = path.suffix.lower() in (".nrrd", ".nhdr")
    if nrrd != start.startswith(b"NRRD") or (not nrrd and b"=" not in start[:4096]):
        raise FormatError(f"{path}: is not {'an NRRD' if nrrd else 'a MetaImage'} file; is it an image?")
    return _nrrd_fields(start) if nrrd else _meta_fields(start)


def data_file(path: Path, fields: dict[str, str]) -> Path | None:
    """The file that holds the voxels, `path` itself if they follow the header; None if they are spread over several files.

    Raises FormatError if it is missing.
    """
    name = fields.get("elementdatafile") or fields.get("data file") or fields.get("datafile") or "LOCAL"
    if name.upper().startswith("LIST") or "%" in name:
        return None  # one file a slice: SimpleITK misses none of them silently
    file = path if name.upper() == "LOCAL" else path.parent / name
    if not file.is_file():
        raise FormatError(f"{path}: its data file {file.name} is missing; put it beside the header.")
    return file


def check_data(path: Path, fields: dict[str, str], reader: sitk.ImageFileReader) -> list[str]:
    """Notes about the header. Raises FormatError if voxels are missing or cut off, or a spacing is zero or negative."""
    wanted = math.prod(reader.GetSize()) * _BYTES.get(reader.GetPixelID(), 0)
    if not wanted:
        raise FormatError(f"{path}: its voxels are not plain numbers ({reader.GetPixelIDTypeAsString()}); convert it first.")
    if "elementdatafile" in fields:
        return _check_meta(path, fields, wanted)
    return _check_nrrd(path, fields, wanted)


def _nrrd_fields(start: bytes) -> dict[str, str]:
    end = min((at for at in (start.find(b"\n\n"), start.find(b"\r\n\r\n")) if at >= 0), default=len(start))
    fields = {"data offset": str(end + (4 if start[end:end + 2] == b"\r\n" else 2))}
    for line in start[:end].decode("latin-1").splitlines():
        name, colon, value = line.partition(":")
        if colon and not line.startswith("#"):
            fields[name.strip().lower()] = value.lstrip("=").strip()
    return fields


def _meta_fields(start: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    at = 0
    while (end := start.find(b"\n", at)) >= 0 or at < len(start):
        end = end if end >= 0 else len(start)
        name, _, value = start[at:end].decode("latin-1").partition("=")
        fields[name.strip().lower()] = value.strip()
        at = end + 1
        if name.strip().lower() == "elementdatafile":
            break
    fields["data offset"] = str(at)
    return fields


def _check_meta(path: Path, fields: dict[str, str], wanted: int) -> list[str]:
    spacing = fields.get("elementspacing") or fields.get("elementsize")
    numbers = [float(word) for word in spacing.split()] if spacing else []
    if any(not math.isfinite(number) or number <= 0 for number in numbers):
        raise FormatError(f"{path}: has the element spacing {spacing}, and a spacing must be above zero; export it again.")
    notes = [] if numbers else ["The file gives no voxel size; 1 mm was taken."]
    if (file := data_file(path, fields)) is None:
        return notes
    offset = int(fields["data offset"]) if file == path else max(0, int(fields.get("headersize", 0) or 0))
    zipped = fields.get("compresseddata", "false").lower() in ("true", "1")
    _check_length(path, file, offset, "zlib" if zipped else "raw", wanted)
    return notes


def _check_nrrd(path: Path, fields: dict[str, str], wanted: int) -> list[str]:
    notes = []
    if "space" not in fields and "space dimension" not in fields:
        notes.append("Orientation unknown: the file names no space; left and right are not certain.")
    if (file := data_file(path, fields)) is None:
        return notes
    offset = int(fields["data offset"]) if file == path else 0
    encoding = {"gz": "gzip", "bz2": "bzip2"}.get(fields.get("encoding", "raw").lower(), fields.get("encoding", "raw").lower())
    if encoding in ("raw", "gzip", "bzip2") and not int(fields.get("line skip", 0)) and not int(fields.get("byte skip", 0)):
        _check_length(path, file, offset, encoding, wanted)
    return notes


def _check_length(path: Path, file: Path, offset: int, encoding: str, wanted: int) -> None:
    """Raise FormatError unless `file` holds `wanted` bytes of voxels from `offset`; compressed data are unpacked to their end."""
    with file.open("rb") as stream:
        stream.seek(offset)
        if encoding == "raw":
            found = file.stat().st_size - offset
        else:
            try:
                found = _unpacked_length(stream, encoding)
            except _DAMAGE as error:
                raise FormatError(f"{path}: its compressed voxels are damaged or cut off; copy or export it again.") from error
    if found < wanted:
        raise FormatError(f"{path}: is cut off (its header promises {wanted} bytes of voxels, {found} are there); copy or export it again.")


def _unpacked_length(stream: IO[bytes], encoding: str) -> int:
    unpacked: Any
    if encoding == "zlib":
        return _zlib_length(stream)
    unpacked = gzip.GzipFile(fileobj=stream) if encoding == "gzip" else bz2.BZ2File(stream)
    found = 0
    while chunk := unpacked.read(1 << 20):
        found += len(chunk)
    return found


def _zlib_length(stream: IO[bytes]) -> int:
    unpack = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # zlib or gzip framing, whichever is there
    found = 0
    while chunk := stream.read(1 << 18):
        found += len(unpack.decompress(chunk))
    if not unpack.eof:
        raise EOFError
    return found
