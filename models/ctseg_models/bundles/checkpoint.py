"""Weights that came as a pickle (`torch.save`), read without running anything that the pickle asks for."""

from __future__ import annotations

import hashlib
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles.pickle_look import look_through

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_PICKLE = 64 * 2**20  # bytes of the structure around the weights; those of real checkpoints have less than 1 MB
NOT_ALLOWED = re.compile(r"(?:GLOBAL|class) ([\w.]+)")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What `torch.save` wrote: tensors on the CPU, numbers, texts, lists and dicts; nothing else is built and nothing is executed.

    Allowed beyond what torch allows: the NumPy numbers that nnU-Net's training leaves in its log. Raises BundleError for a file that asks
    for anything else, is damaged, is no zip archive of torch 1.6 or later, or whose records are compressed or together larger than the
    file (an archive made to fill the memory).
    """
    import torch

    for record in _check_archive(path):
        if record.filename.endswith("data.pkl"):
            look_through(path, _structure(path, record))
    try:
        with torch.serialization.safe_globals(_numpy_numbers()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = NOT_ALLOWED.search(str(error))
        named = f" ({asked.group(1)})" if asked else ""
        raise BundleError(f"{path}: holds more than weights and could run code when it is read{named}, so it was not read; "
                          "ask its author for a file of weights alone.") from error
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError, EOFError, OSError,
            MemoryError) as error:
        raise BundleError(f"{path}: the file is damaged; get it again.") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path}: holds a {type(content).__name__} where a checkpoint holds named weights; name a checkpoint.")
    for tensor in _tensors(content):
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise BundleError(f"{path}: holds a tensor of {tuple(tensor.shape)} that is larger than its own numbers, so it was refused; "
                              "get the file from its author.")
    return content


def _structure(path: Path, record: zipfile.ZipInfo) -> bytes:
    """The pickle of a checkpoint. Raises BundleError where the archive's own tables do not agree."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(record)
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError) as error:
        raise BundleError(f"{path}: the file is damaged; get it again.") from error


def _tensors(content: Any) -> Iterator[Tensor]:
    """Every tensor in what a file held, each container once."""
    from torch import Tensor

    stack, seen = [content], set()
    while stack:
        one = stack.pop()
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, dict | list | tuple) and id(one) not in seen:
            seen.add(id(one))
            stack.extend(one.values() if isinstance(one, dict) else one)


def contents_hash(path: Path) -> str:
    """Hex digest of an archive's table of contents, which has the length and a checksum of every record: tells versions of a checkpoint
    apart without reading the weights. Raises BundleError as `load_checkpoint` does before it reads them."""
    lines = [f"{record.filename} {record.file_size} {record.CRC:08x}\n" for record in _check_archive(path)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check_contents(path: Path) -> None:
    """Raises BundleError when a record's bytes are not those of its checksum; reads the whole file."""
    _check_archive(path)
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError) as error:
        raise BundleError(f"{path}: the file is damaged; get it again.") from error
    if damaged is not None:
        raise BundleError(f"{path}: the checksum of {damaged} is wrong, so the file was damaged or changed; get it again.")


def _check_archive(path: Path) -> list[zipfile.ZipInfo]:
    """The records of an archive as torch writes it: stored as they are, no larger than the file. Raises BundleError for any other."""
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
    except FileNotFoundError as error:
        raise BundleError(f"{path}: the file is missing; get the model again.") from error
    except zipfile.BadZipFile as error:
        raise BundleError(f"{path}: is no archive of torch 1.6 or later, or is damaged; get it again, or save it with a "
                          "newer torch.") from error
    except (OSError, ValueError, NotImplementedError) as error:
        raise BundleError(f"{path}: cannot be read; get it again.") from error
    if any(record.filename.endswith("constants.pkl") for record in records):
        raise BundleError(f"{path}: is a TorchScript program, not a checkpoint; give it a side file and open it as one.")
    if any(record.compress_type != zipfile.ZIP_STORED for record in records) or sum(record.file_size for record in records) > size:
        raise BundleError(f"{path}: its records would grow beyond the file's own size when unpacked, which torch never writes, "
                          "so it was not read; get the file from its author.")
    structure = [record.file_size for record in records if record.filename.endswith("data.pkl")]
    if not structure:
        raise BundleError(f"{path}: is an archive without weights of torch; name a checkpoint.")
    if max(structure) > LARGEST_PICKLE:
        raise BundleError(f"{path}: {max(structure) / 2**20:.0f} MB of structure around the weights is more than any checkpoint has, "
                          "so it was not read; get the file from its author.")
    return records


def _numpy_numbers() -> list[Any]:
    """What a pickled NumPy number is made of, under the names of old and new NumPy."""
    import numpy as np
    from numpy._core.multiarray import scalar

    numbers = [type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")]
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *numbers]
