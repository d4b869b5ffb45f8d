"""The console script: verbs that read strangers' files or run networks do so in a child process, which this
one watches.

The child is the whole command; it has the terminal for its results and progress. A crash there costs a
sentence, memory has a limit, and Ctrl-C ends it within 2 s. This module imports
nothing heavy; the child alone loads torch and image libraries.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

VERBS = frozenset({"bundle", "calibrate", "convert", "evaluate", "info", "predict", "report", "stack"})
HELP = frozenset({"-h", "--help"})
PATIENCE_SECONDS = 1.5  # after Ctrl-C, for the child to tidy up
POLL_SECONDS = 0.1
INTERRUPTED = 130
SHOW_CURSOR = "\x1b[?25h"


def run() -> None:
    """The console script. Ends the process with the command's exit code."""
    words = sys.argv[1:]
    if needs_child(words):
        raise SystemExit(supervise(words))
    from napari_ctseg.commands.main import run_here

    run_here()


def needs_child(words: Sequence[str]) -> bool:
    """Whether the verb is one of VERBS and more than its help is wanted."""
    plain = words[: words.index("--")] if "--" in words else words
    return next((word for word in words if not word.startswith("-")), "") in VERBS and not HELP & set(plain)


def supervise(words: Sequence[str]) -> int:
    """Run the command line in a child; its exit code, 130 for an interrupt, 1 when it crashed or took too
    much memory.
    """
    try:
        child = _start(words)
    except OSError as error:
        return _failed(
            words,
            f"no process could be started ({error.strerror or error}); close other programs, then run it "
            "again.",
        )
    try:
        return _watched(child, words)
    except KeyboardInterrupt:
        return _interrupted(child)
    finally:
        child.kill()


def _start(words: Sequence[str]) -> subprocess.Popen[bytes]:
    """Ctrl-C reaches every process of the terminal; the child ignores it from its first moment, because this
    one passes it on.
    """
    command = [sys.executable, "-P", "-m", "napari_ctseg.commands.contained", *words]
    if sys.platform == "win32":
        return subprocess.Popen(command, stdin=subprocess.PIPE)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)


def _watched(child: subprocess.Popen[bytes], words: Sequence[str]) -> int:
    from napari_ctseg.compute.memory import Limit

    limit = Limit(child.pid)
    while True:
        with suppress(subprocess.TimeoutExpired):
            code = child.wait(POLL_SECONDS)
            break
        if limit.is_exceeded():
            child.kill()
            child.wait()
            return _failed(
                words,
                f"it took more than {limit.most_bytes / 1e9:.1f} GB of memory, nearly all that was free; "
                "give a smaller volume or region, or close other programs.",
            )
    if code >= 0:
        return code
    from napari_ctseg.compute.exit_reason import cause

    how, _ = cause(code)
    return _failed(
        words,
        f"its process ended unexpectedly ({how}); run it again with -v to see the output of its libraries.",
    )


def _interrupted(child: subprocess.Popen[bytes]) -> int:
    """Let it tidy up, then kill it; a second Ctrl-C kills it at once."""
    with suppress(KeyboardInterrupt, subprocess.TimeoutExpired):
        child.terminate() if sys.platform != "win32" else time.sleep(0)
        if child.wait(PATIENCE_SECONDS) == INTERRUPTED:
            return INTERRUPTED  # it has printed that itself
    child.kill()
    child.wait()
    _report("Interrupted.")
    return INTERRUPTED


def _failed(words: Sequence[str], what: str) -> int:
    verb = next(word for word in words if not word.startswith("-"))
    _report(f"napari-ctseg {verb}: {what}")
    return 1


def _report(sentence: str) -> None:
    """On stderr; the child may have hidden the cursor for its progress bar."""
    with suppress(OSError):
        sys.stderr.write((SHOW_CURSOR if os.isatty(2) else "") + sentence + "\n")
        sys.stderr.flush()


if __name__ == "__main__":
    run()
