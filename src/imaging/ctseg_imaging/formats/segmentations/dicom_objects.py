"""Opening a DICOM object that is not an image, and its parts, without quoting its content."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from ctseg_imaging.errors import CtsegError, FormatError
from ctseg_imaging.formats.dicom.tags import UNREADABLE


@contextmanager
def parsing(path: Path, kind: str) -> Iterator[None]:
    """Turn any error of pydicom inside the block into a FormatError about `path`.

    kind : the expected kind of object.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's warnings may quote values
        try:
            yield
        except CtsegError:
            raise
        except UNREADABLE as error:
            raise FormatError(
                f"{path}: is damaged or not a valid {kind} ({type(error).__name__}); export it again."
            ) from error


def opened(path: Path) -> Dataset:
    """The whole object, with or without preamble."""
    return pydicom.dcmread(path, force=True)


def first(holder: Dataset, keyword: str) -> Dataset:
    """The first item of a sequence, an empty Dataset where there is none."""
    return next(iter(holder.get(keyword) or []), Dataset())
