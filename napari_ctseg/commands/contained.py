"""The child of `supervised`: the command in a process that may crash, with the terminal for its own words
only.
"""

from __future__ import annotations

import signal
import sys

from napari_ctseg.commands import console
from napari_ctseg.compute.containment import contain, limit_memory


def main() -> None:
    """Run the command line of this process. SIGTERM, which the parent sends for Ctrl-C, interrupts as Ctrl-C
    would.
    """
    if sys.platform != "win32":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    contain()
    limit_memory()
    console.keep_others_off_the_terminal(console.is_verbose(sys.argv[1:]))
    from napari_ctseg.commands.main import run_here

    run_here()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # before the command itself listens for it
        raise SystemExit(console.INTERRUPTED) from None
