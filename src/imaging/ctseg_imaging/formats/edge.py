"""Errors of the libraries that read files become a FormatError; errors of this project's own code pass
through unchanged.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ctseg_imaging.errors import CtsegError, FormatError, UnforeseenError

_OURS = ("ctseg_imaging", "ctseg_models", "ctseg_training", "napari_ctseg")
_log = logging.getLogger(__name__)


@contextmanager
def reading_edge(path: Path) -> Iterator[None]:
    """Raises FormatError for an OSError, a MemoryError and, as UnforeseenError, for any other error that a
    library raises.
    """
    try:
        yield
    except CtsegError:
        raise
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except MemoryError as error:
        raise FormatError(f"{path}: does not fit into memory; is its header damaged?") from error
    except Exception as error:
        if (library := _library(error)) is None:
            raise
        _log.info("%s raised an unexpected error", library, exc_info=True)
        raise UnforeseenError(
            f"{path}: reading failed with an unexpected error ({type(error).__name__} in {library}); "
            "the file is probably damaged, so copy or export it again."
        ) from error


def _library(error: Exception) -> str | None:
    """The package whose code raised `error`, None if it is one of ours."""
    trace, name = error.__traceback__, ""
    while trace is not None:
        name, trace = str(trace.tb_frame.f_globals.get("__name__", "")), trace.tb_next
    package = name.partition(".")[0]
    return None if not package or package in _OURS else package
