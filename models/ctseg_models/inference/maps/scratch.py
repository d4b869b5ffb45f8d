"""Space on the disk for what does not fit into memory."""

from __future__ import annotations

import os
import tempfile
from typing import IO

import platformdirs

from ctseg_imaging.errors import BundleError

GAP = b"\0" * (1 << 20)


def unnamed_file(size: int) -> IO[bytes]:
    """A file of `size` bytes in the user's cache folder that is removed when it is closed.

    A folder for temporary files is often in memory. The space is allocated at once, so a full disk is
    reported here and not in the middle of the work. Raises BundleError.
    """
    folder = platformdirs.user_cache_path("napari-ctseg", appauthor=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = tempfile.TemporaryFile(prefix="maps-", dir=folder)  # noqa: SIM115 - the caller closes it
        _take(file, size)
    except OSError as error:
        raise BundleError(
            f"{folder}: has no room for {size / 1e9:.1f} GB of intermediate maps ({error.strerror}); free "
            "some space, choose a smaller region, or set XDG_CACHE_HOME to a larger disk."
        ) from error
    return file


def _take(file: IO[bytes], size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, max(1, size))
        return
    for start in range(0, size, len(GAP)):
        file.write(GAP[: size - start])
    file.seek(0)
