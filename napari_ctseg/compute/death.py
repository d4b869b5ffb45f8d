"""What to tell a person whose computing process has ended by itself."""

from __future__ import annotations

import signal
import sys

NO_MEMORY = "choose a smaller region, fewer models or another device"


def how_it_ended(title: str, code: int) -> str:
    """One sentence. code : of subprocess, negative for a signal."""
    if code >= 0:
        kind, advice = f"exit code {code}", "run it again, and report what Details says if it happens again"
    elif sys.platform != "win32" and -code == signal.SIGKILL:
        kind, advice = "it was killed, SIGKILL, most likely because the machine's memory ran out", f"{NO_MEMORY}, and run it again"
    else:
        kind, advice = f"it crashed, {_name(-code)}", f"run it again, and if it crashes again {NO_MEMORY}"
    return f"{title}: the computing process ended unexpectedly ({kind}); {advice}. Nothing in the viewer is lost."


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
