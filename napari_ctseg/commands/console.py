"""The terminal: results on stdout, progress and messages on stderr, and the exit codes."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, TextIO, TypeVar

import typer
from rich.console import Console
from typer.core import TyperGroup

from ctseg_imaging.errors import NOT_ENOUGH_MEMORY, CtsegError, FormatError
from ctseg_imaging.progress import Progress

T = TypeVar("T")

INTERRUPTED = 130
VERBOSE = ("-v", "--verbose")
LAYER = "For overlapping segments: the number of a layer, the name of a segment, or merged (smaller on top)."
NEAREST_GRID = "If rounding in a header has sheared the axes, use the nearest grid without shear."


class _Results(Console):
    """Where results go. If the reader has closed the pipe, CtsegGroup handles the error."""

    def on_broken_pipe(self) -> None:
        raise


out = _Results(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


class CtsegGroup(TyperGroup):
    """The root group: accepts `-v` anywhere, and reports a fault of the input in one sentence without a
    traceback.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands in the order in which they were added."""
        return list(self.commands)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Remove `-v` from the line, before or after the verb, for all verbs."""
        end = args.index("--") if "--" in args else len(args)
        ctx.obj = {"verbose": is_verbose(args)}
        return super().parse_args(ctx, [word for word in args[:end] if word not in VERBOSE] + args[end:])

    def invoke(self, ctx: Any) -> Any:
        """Run the command; CtsegError and OSError become a sentence and exit 1, an interrupt exit 130."""
        try:
            with _without_remarks(ctx.obj["verbose"]), _others_apart():
                return super().invoke(ctx)
        except CtsegError as error:
            _fail(ctx, str(error))
        except BrokenPipeError:  # `napari-ctseg info X | head`: the reader has what it wants
            _write_nowhere(out.file)
            raise typer.Exit(0) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            _fail(
                ctx,
                f"{where}{error.strerror or error}; check that it exists, that you may access it, and that "
                "the disk has free space.",
            )
        except MemoryError:
            _fail(ctx, NOT_ENOUGH_MEMORY)
        except KeyboardInterrupt:
            err.print("Interrupted.")
            raise typer.Exit(INTERRUPTED) from None


def _write_nowhere(stream: Any) -> None:
    """Redirect what Python still flushes to `stream` when it exits to the null device."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def is_verbose(args: Sequence[str]) -> bool:
    """Whether a command line has `-v`."""
    end = list(args).index("--") if "--" in args else len(args)
    return any(word in VERBOSE for word in args[:end])


_OTHERS: list[TextIO] = []  # where libraries and networks print to in a contained process


def keep_others_off_the_terminal(verbose: bool) -> None:
    """From now on only `out`, `err` and the front end write to this process's stdout and stderr. What
    libraries, C code and networks print goes to stderr if `verbose`, else nowhere.
    """
    mine = [
        open(os.dup(stream.fileno()), "w", encoding=stream.encoding, errors=stream.errors, buffering=1)  # noqa: PTH123, SIM115
        for stream in (sys.stdout, sys.stderr)
    ]
    theirs = os.dup(2) if verbose else os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(theirs, descriptor)
    _OTHERS.append(open(theirs, "w", encoding="utf-8", errors="replace", buffering=1))  # noqa: PTH123, SIM115
    sys.stdout, sys.stderr = mine
    out.file, err.file = mine


@contextmanager
def _others_apart() -> Iterator[None]:
    """Python's own `print` during a verb goes where that of C code goes."""
    if not _OTHERS:
        yield
        return
    with redirect_stdout(_OTHERS[0]), redirect_stderr(_OTHERS[0]):
        yield


@contextmanager
def _without_remarks(verbose: bool) -> Iterator[None]:
    """Hide what libraries report to programmers (warnings, log lines below an error) unless `verbose`."""
    last = logging.lastResort  # prints the lines of those who set up no logging
    if verbose or sys.warnoptions or last is None:
        yield
        return
    level = last.level
    last.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        last.setLevel(level)


def unforeseen(error: Exception, args: Sequence[str]) -> None:
    """Report an unexpected error in one sentence. args : of the command line. Raises SystemExit."""
    if is_verbose(args):
        err.print("".join(traceback.format_exception(error)), markup=False, end="")
    first = next(iter(str(error).splitlines()), "")
    what = f"{type(error).__name__}: {first[:200]}" if first else type(error).__name__
    verb = next((f" {word}" for word in args if not word.startswith("-")), "")
    err.print(
        f"napari-ctseg{verb}: unexpected error ({what}); run it again with -v for the traceback, and report "
        "it.",
        markup=False,
    )
    raise SystemExit(1)


def _fail(ctx: Any, sentence: str) -> None:
    if ctx.obj.get("verbose"):
        err.print(traceback.format_exc(), markup=False, end="")
    err.print(sentence, markup=False)
    raise typer.Exit(1) from None


def print_result(text: str) -> None:
    """Print a result to stdout."""
    out.print(text, markup=False)


def note(text: str) -> None:
    """Print a remark or warning to stderr."""
    err.print(text, markup=False)


def print_json(value: Any) -> None:
    """Print a result as JSON to stdout. Raises TypeError for values that JSON does not have."""
    out.file.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise FormatError if `path` exists and must not be overwritten; called before the work starts."""
    if path.exists() and not overwrite:
        raise FormatError(f"{path}: already exists; choose another name or give --overwrite.")


def follow(work: Generator[Progress, None, T]) -> T:
    """Drive `work` to its end and return its value: a bar on a terminal, else one line a stage, both on
    stderr.

    An interrupt closes `work`, which is how it is cancelled.
    """
    try:
        return _follow_with_bar(work) if err.is_terminal else _follow_with_lines(work)
    finally:
        work.close()


def _follow_with_lines(work: Generator[Progress, None, T]) -> T:
    stage = None
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            value: T = end.value
            return value
        if progress.stage != stage:
            stage = progress.stage
            note(f"{stage}: {progress.message}" if progress.message else f"{stage} ...")


def _follow_with_bar(work: Generator[Progress, None, T]) -> T:
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[message]}"),
    )
    with Bars(*columns, console=err, transient=True, redirect_stdout=False, redirect_stderr=False) as bars:
        task, stage = bars.add_task("", total=None, message=""), ""
        while True:
            try:
                progress = next(work)
            except StopIteration as end:
                value: T = end.value
                return value
            if progress.stage != stage:
                stage = progress.stage
                bars.reset(task)
            bars.update(
                task,
                description=stage,
                completed=progress.done,
                total=progress.total or None,
                message=progress.message,
            )
