"""Names of temporary files that identify the writing process, and removal of those of killed processes."""

from __future__ import annotations

import hashlib
import platform
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

import psutil

MACHINE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_PART = re.compile(rf"\.ctseg-{MACHINE}-(\d+)-(\d+)-[0-9a-f]{{12}}\.part(\..*)?")


def part_name(ending: str) -> str:
    """The name of a temporary file of this process: `.ctseg-MACHINE-PID-STARTED-RANDOM.part` and `ending`."""
    process = psutil.Process()
    return f".ctseg-{MACHINE}-{process.pid}-{int(process.create_time())}-{secrets.token_hex(6)}.part{ending}"


def sweep(folder: Path) -> None:
    """Remove temporary files of this machine's processes that no longer run from `folder`; all others stay,
    those of other machines included.
    """
    with suppress(OSError):
        for path in list(folder.glob(".ctseg-*.part*")):
            found = _PART.fullmatch(path.name)
            if found is not None and not _lives(int(found[1]), int(found[2])):
                _remove(path)


def _lives(pid: int, started: int) -> bool:
    try:
        process = psutil.Process(pid)
        return bool(abs(process.create_time() - started) < 2 and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OverflowError):
        return True  # no access to it: leave its files alone


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
