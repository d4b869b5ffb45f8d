"""A safetensors file, whose header is checked before the library reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ctseg_imaging.errors import BundleError

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_HEADER = 16 * 2**20  # bytes; that of a network with 1,000 tensors has 0.1 MB


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of the file, mapped: those that are not used take no memory. Raises BundleError.

    The library checks that the tensors' offsets follow each other without gaps to the end of the file, and
    that shape, type and number of bytes agree.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        with path.open("rb") as file:
            header = int.from_bytes(file.read(8), "little")
        if header > min(LARGEST_HEADER, path.stat().st_size):
            raise BundleError(
                f"{path}: its header would have {header} bytes, more than any network's, so it was not read; "
                "get the bundle again."
            )
        tensors: dict[str, Tensor] = load_file(path)
    except (
        SafetensorError,
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RuntimeError,
        MemoryError,
    ) as error:
        raise BundleError(f"{path}: not a readable safetensors file; get the bundle again.") from error
    return tensors
