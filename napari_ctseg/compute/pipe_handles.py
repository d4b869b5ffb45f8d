"""A private pipe that a child process inherits; nothing listens anywhere, and no third process can open
it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from multiprocessing import connection
from typing import Any


def handing_over(end: connection.Connection) -> tuple[str, dict[str, Any]]:
    """How the child learns which end is its own, and what `subprocess.Popen` needs for the child to inherit
    exactly this one.
    """
    handle = end.fileno()
    if sys.platform == "win32":
        os.set_handle_inheritable(handle, True)
        inherited = subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]})
        quiet = subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        return str(handle), {"startupinfo": inherited, "creationflags": quiet}
    return str(handle), {"pass_fds": (handle,)}


def connection_of(handle: str) -> connection.Connection:
    """In the child: the end that it was handed."""
    if sys.platform == "win32":
        return connection.PipeConnection(int(handle))
    return connection.Connection(int(handle))
