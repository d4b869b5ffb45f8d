"""A screen where there is none: Xvfb, for pictures and tests on servers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ctseg_imaging.errors import CtsegError

SCREEN = "1920x1200x24"


class DisplayError(CtsegError):
    """No screen is available and none can be created."""


def is_there() -> bool:
    """Whether a window can be opened: always on macOS and Windows, elsewhere when a display or Qt's own
    offscreen platform is named.
    """
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


@contextmanager
def screen() -> Iterator[bool]:
    """A screen for the block: the user's own (yields True), or a virtual one (yields False).

    A virtual screen ends with its last window's process: Qt holds on to it until then, and would end in an
    error if it went before. Raises DisplayError where there is neither a display nor Xvfb.
    """
    if is_there():
        yield True
        return
    program = shutil.which("Xvfb")
    if program is None:
        raise DisplayError(
            "No display was found, and no Xvfb for a virtual one; install xvfb or run this on a desktop."
        )
    before = {name: os.environ.get(name) for name in ("DISPLAY", "QT_QPA_PLATFORM")}
    reads, writes = os.pipe()
    server = subprocess.Popen(
        [program, "-displayfd", str(writes), "-screen", "0", SCREEN, "-nolisten", "tcp", "-terminate"],
        pass_fds=[writes],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writes)
    try:
        with os.fdopen(reads) as answer:
            number = answer.readline().strip()  # Xvfb prints the free display, once it serves it
        if not number:
            raise DisplayError(
                "Xvfb did not start; run this on a desktop, or check the output of `Xvfb :99`."
            )
        os.environ["DISPLAY"], os.environ["QT_QPA_PLATFORM"] = f":{number}", "xcb"
        yield False
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if not _qt_is_running():
            server.terminate()
            server.wait()


def _qt_is_running() -> bool:
    """Whether this process has a Qt application, without loading Qt to find out."""
    widgets = sys.modules.get("qtpy.QtWidgets")
    return widgets is not None and widgets.QApplication.instance() is not None
