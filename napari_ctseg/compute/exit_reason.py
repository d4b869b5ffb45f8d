"""The message for the user when the computing process has ended by itself."""

from __future__ import annotations

import signal
import sys

from napari_ctseg.compute.messages import EndedUnexpectedly

NO_MEMORY = "choose a smaller region, fewer models or another device"


def ended(title: str, code: int) -> EndedUnexpectedly:
    """The error to raise. code : of subprocess, negative for a signal."""
    how, advice = cause(code)
    return EndedUnexpectedly(
        f"{title}: the computing process ended unexpectedly ({how}); {advice}. Nothing in the viewer is "
        "lost.",
        how,
    )


def too_large(title: str, most_bytes: float) -> EndedUnexpectedly:
    """The error to raise when it was ended for using more than `most_bytes` of memory."""
    how = f"it took more than {most_bytes / 1e9:.1f} GB of memory, nearly all that was free"
    return EndedUnexpectedly(
        f"{title}: the computing process was ended ({how}); {NO_MEMORY}, and run it again.", how
    )


def cause(code: int) -> tuple[str, str]:
    """What happened, and what the user can do."""
    if code >= 0:
        return f"exit code {code}", "run it again, and report what Details shows if it happens again"
    if sys.platform != "win32" and -code == signal.SIGKILL:
        return (
            "it was killed, SIGKILL, most likely because memory ran out",
            f"{NO_MEMORY}, and run it again",
        )
    return f"it crashed, {_name(-code)}", f"run it again, and if it crashes again {NO_MEMORY}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
