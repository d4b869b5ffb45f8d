"""A private pipe that a child process inherits; no port is listening, and no third process can open it."""

from __future__ import annotations

import os
import subprocess
import sys
from multiprocessing import connection
from typing import Any


def handing_over(end: connection.Connection) -> tuple[str, dict[str, Any]]:
    """The argument that names the child's end of the pipe, and what `subprocess.Popen` needs for the child to
    inherit only that end.
    """
    handle = end.fileno()
    if sys.platform == "win32":
        os.set_handle_inheritable(handle, True)
        inherited = subprocess.STARTUPINFO(lpAttributeList={"handle_list": [handle]})
        quiet = subprocess.CREATE_NO_WINDOW | subprocess.BELOW_NORMAL_PRIORITY_CLASS
        return str(handle), {"startupinfo": inherited, "creationflags": quiet}
    return str(handle), {"pass_fds": (handle,)}


def connection_of(handle: str) -> connection.Connection:
    """In the child: its end of the pipe."""
    if sys.platform == "win32":
        return connection.PipeConnection(int(handle))
    return connection.Connection(int(handle))
