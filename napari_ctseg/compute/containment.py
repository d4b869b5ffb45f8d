"""How a process that reads untrusted files and runs untrusted networks is set up: it ends with its parent and
yields to it.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

FIRST_TO_GO = 500  # of 1000: when memory runs out, the kernel ends this process rather than the viewer
EXIT_WITH_PARENT = 3
_STATE = {"contained": False}


def contain() -> None:
    """Make this process a contained one; called once, at its start."""
    _STATE["contained"] = True
    _end_with_parent()
    faulthandler.enable()
    give_way()


def is_contained() -> bool:
    """Whether this process may crash: then it need not start another process for such work."""
    return _STATE["contained"]


def give_way() -> None:
    """Let the system end this process first when memory runs out."""
    if sys.platform == "linux":
        with suppress(OSError):  # some containers forbid it
            Path("/proc/self/oom_score_adj").write_text(str(FIRST_TO_GO))


def limit_memory() -> None:
    """Refuse single allocations beyond the free memory, on Linux: a MemoryError at once instead of minutes of
    swapping.
    """
    if sys.platform != "linux":
        return
    import resource

    import psutil

    most = psutil.Process().memory_info().data + psutil.virtual_memory().available
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(
        resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
    )


def _end_with_parent() -> None:
    """End when the parent ends: standard input is a pipe that the parent never writes to.

    The system's signal also ends a process whose interpreter is blocked by a call that never returns; the
    thread is for systems without that signal.
    """

    def wait() -> None:
        os.read(0, 1)
        os._exit(EXIT_WITH_PARENT)

    threading.Thread(target=wait, daemon=True).start()
    if sys.platform != "win32":
        import fcntl

        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | fcntl.FASYNC)
