"""Weights stored as a pickle (`torch.save`), read without running anything that the pickle asks for."""

from __future__ import annotations

import hashlib
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import BundleError
from ctseg_models.vetting.pickle_scan import check_structure, could_run_code

if TYPE_CHECKING:
    from torch import Tensor, nn

LARGEST_PICKLE = (
    64 * 2**20
)  # bytes of the structure around the weights; that of real checkpoints is less than 1 MB
KINDS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")  # of NumPy numbers
TYPES = (
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "bool",
)  # of tensors
BYTES_PER_BYTE = 4  # int8 as float32
FREE_BYTES = 64 * 2**20  # that a network may take beyond the size of its file
NOT_ALLOWED = re.compile(r"(?:GLOBAL|class) ([\w.]+)")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a `torch.save` file: tensors on the CPU, numbers, texts, lists and dicts; nothing is
    executed.

    The tensors are mapped from the file, so those that are not used take no memory. Copy those that are kept:
    a file that is overwritten while they are used ends the process. Beyond what torch allows, the NumPy
    numbers of nnU-Net's training log are allowed. Raises BundleError for a file that asks for anything else,
    is damaged, is not a zip archive of torch 1.6 or later, or whose records are compressed or together larger
    than the file (an archive made to fill the memory).
    """
    import torch

    _check_archive(path)
    try:
        check_structure(
            path, torch._C.PyTorchFileReader(str(path)).get_record("data.pkl")
        )  # the very bytes that torch.load reads
        with torch.serialization.safe_globals(_numpy_numbers(path)):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        asked = NOT_ALLOWED.search(str(error))
        raise could_run_code(path, asked.group(1) if asked else "") from error
    except (
        RuntimeError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        AssertionError,
        ArithmeticError,
        EOFError,
        OSError,
        MemoryError,
    ) as error:
        raise BundleError(f"{path}: the file is damaged; get it again.") from error
    if not isinstance(content, dict):
        raise BundleError(
            f"{path}: holds a {type(content).__name__} where a checkpoint holds named weights; name a "
            "checkpoint."
        )
    for tensor in _tensors(content):
        if (kind := str(tensor.dtype).removeprefix("torch.")) not in TYPES or tensor.layout != torch.strided:
            raise BundleError(
                f"{path}: holds a tensor of {kind}, which no network here has; ask its author for float32 or "
                "float16."
            )
        room = tensor.untyped_storage().nbytes()
        if tensor.numel() * tensor.element_size() > room or room > path.stat().st_size:
            raise BundleError(
                f"{path}: holds a tensor of {tuple(tensor.shape)} that is larger than its own numbers, so it "
                "was refused; get the file from its author."
            )
    return content


def _tensors(content: Any) -> Iterator[Tensor]:
    """Every tensor in a loaded file, each container once; attributes that the file gave a dictionary are
    removed.
    """
    from torch import Tensor

    stack, seen = [content], set()
    while stack:
        one = stack.pop()
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, dict | list | tuple) and id(one) not in seen:
            seen.add(id(one))
            getattr(one, "__dict__", {}).clear()
            stack.extend(one.values() if isinstance(one, dict) else one)


def check_room(network: nn.Module, path: Path) -> None:
    """Raise BundleError when a network built without memory has more numbers than its weights file could
    hold.

    Tensors that repeat each other take no space in a file, but all of theirs in a network.
    """
    size = sum(tensor.numel() * 4 for tensor in (*network.parameters(), *network.buffers()))
    if size > BYTES_PER_BYTE * path.stat().st_size + FREE_BYTES:
        raise BundleError(
            f"{path}: its network would take {size / 2**30:.1f} GB, more than the file can hold weights for, "
            "so it was not built; get the model again."
        )


def contents_hash(path: Path) -> str:
    """Hex digest of an archive's table of contents, which has the length and checksum of every record.

    It distinguishes versions of a checkpoint without reading the weights. Raises BundleError as
    `load_checkpoint` does before it reads them.
    """
    lines = [f"{record.filename} {record.file_size} {record.CRC:08x}\n" for record in _check_archive(path)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check_contents(path: Path) -> None:
    """Raise BundleError when a record does not match its checksum; reads the whole file."""
    _check_archive(path)
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise BundleError(f"{path}: the file is damaged; get it again.") from error
    if damaged is not None:
        raise BundleError(
            f"{path}: the checksum of {damaged} is wrong, so the file was damaged or changed; get it again."
        )


def _check_archive(path: Path) -> list[zipfile.ZipInfo]:
    """The records of an archive as torch writes it: uncompressed, no larger than the file.

    Raises BundleError for any other.
    """
    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
    except FileNotFoundError as error:
        raise BundleError(f"{path}: the file is missing; get the model again.") from error
    except zipfile.BadZipFile as error:
        raise BundleError(
            f"{path}: is not an archive of torch 1.6 or later, or is damaged; get it again, or save it with "
            "a newer torch."
        ) from error
    except (OSError, ValueError, NotImplementedError) as error:
        raise BundleError(f"{path}: cannot be read; get it again.") from error
    if any(record.filename.endswith("constants.pkl") for record in records):
        raise BundleError(
            f"{path}: is a TorchScript program, not a checkpoint; give it a side file and open it as one."
        )
    packed = any(
        record.compress_type != zipfile.ZIP_STORED or record.compress_size != record.file_size
        for record in records
    )
    if packed or sum(record.file_size for record in records) > size:
        raise BundleError(
            f"{path}: its records would grow beyond the file's own size when unpacked, which torch never "
            "writes, so it was not read; get the file from its author."
        )
    structure = [record.file_size for record in records if record.filename.endswith("data.pkl")]
    if not structure:
        raise BundleError(f"{path}: is an archive without weights of torch; name a checkpoint.")
    if max(structure) > LARGEST_PICKLE:
        raise BundleError(
            f"{path}: {max(structure) / 2**20:.0f} MB of structure around the weights is more than any "
            "checkpoint has, so it was not read; get the file from its author."
        )
    return records


def _numpy_numbers(path: Path) -> list[Any]:
    """The classes of a pickled NumPy number, under the names of old and new NumPy; such a number is never
    large.
    """
    import numpy as np
    from numpy._core import multiarray

    def dtype(kind: Any, *_: Any) -> np.dtype[Any]:
        if str(kind) not in KINDS:
            raise BundleError(
                f"{path}: holds NumPy values other than numbers ({str(kind)[:20]}), which no checkpoint "
                "needs, so it was not read; ask its author for a file of weights alone."
            )
        known: np.dtype[Any] = np.dtype(kind)
        return known

    def scalar(kind: Any, content: Any) -> Any:
        return multiarray.scalar(kind, content.encode("latin-1") if isinstance(content, str) else content)

    numbers = [type(np.dtype(kind)) for kind in KINDS]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    return [*((scalar, name) for name in names), (dtype, "numpy.dtype"), *numbers]
