"""Reading of images and label maps, for the viewer and the command: every file that a user names is read
through here.

The functions have the signatures of `ctseg_imaging.formats`; checking names and first bytes (`is_readable`)
and writing stay there. Reading happens in a separate process (`compute.READER`): if a library crashes, hangs
or uses all memory, the user gets one sentence, and closing the generator, as Cancel and Ctrl-C do, ends it.
Arrays come through shared memory, without a copy. A process that is already contained, such as the command's,
reads in itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ctseg_imaging.errors import FormatError
from ctseg_imaging.progress import Progress, finish
from napari_ctseg.compute.client import READER
from napari_ctseg.compute.containment import is_contained
from napari_ctseg.compute.messages import EndedUnexpectedly

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ctseg_imaging.formats import Choice
    from ctseg_imaging.formats.dicom.study import SeriesRow, StudyFolder
    from ctseg_imaging.geometry import Geometry
    from ctseg_imaging.volume import LabelMap, ViewOnlyVolume, Volume

T = TypeVar("T")
MINUTES_OF_SILENCE = 2.0  # after which the user is informed that nothing new was read


def preload() -> None:
    """Start the reading process, so the first file does not wait for it."""
    if not is_contained():
        READER.preload()


def read(path: str | Path, **choice: Any) -> Volume:
    """As `formats.read`: a file or DICOM folder in its own voxel order."""
    return finish(reading(path, **choice))


def read_view_only(path: str | Path, **choice: Any) -> ViewOnlyVolume:
    """As `formats.read_view_only`: a DICOM series without a regular grid, to look at."""
    return finish(reading_view_only(path, **choice))


def read_labels(path: str | Path, **choice: Any) -> LabelMap:
    """As `formats.read_labels`: a label map."""
    return finish(_driven(read_labels_here, path, choice))


def read_labels_of(path: str | Path, grid: Geometry, **choice: Any) -> LabelMap:
    """As `formats.read_labels_of`: a label map, a segmentation on the grid of its image."""
    return finish(_driven(read_labels_of_here, path, {"grid": grid, **choice}))


def read_layers(path: str | Path, grid: Geometry | None = None) -> list[LabelMap]:
    """As `formats.read_layers`: every layer of a segmentation."""
    return finish(reading_layers(path, grid))


def list_choices(path: str | Path) -> list[Choice]:
    """As `formats.list_choices`: the volumes or series that a path offers."""
    return finish(_driven(list_choices_here, path, {}))


def series_list(path: str | Path, files: Collection[Path] = ()) -> Generator[Progress, None, StudyFolder]:
    """As `dicom_study.listing`: the series of a DICOM folder, from the headers; closing it cancels."""
    return _driven(series_list_here, path, {"files": files})


def picture(row: SeriesRow, size: int) -> NDArray[np.uint8]:
    """As `dicom_study.picture`: the middle slice of a series."""
    return finish(_driven(picture_here, row.middle.path, {"row": row, "size": size}))


def reading(path: str | Path, **choice: Any) -> Generator[Progress, None, Volume]:
    """As `read`, with progress; closing it cancels."""
    return _driven(reading_here, path, choice)


def reading_view_only(path: str | Path, **choice: Any) -> Generator[Progress, None, ViewOnlyVolume]:
    """As `read_view_only`, with progress; closing it cancels."""
    return _driven(read_view_only_here, path, choice)


def reading_layers(
    path: str | Path, grid: Geometry | None = None
) -> Generator[Progress, None, list[LabelMap]]:
    """As `read_layers`, with progress; closing it cancels."""
    return _driven(read_layers_here, path, {"grid": grid})


def reading_here(path: str | Path, choice: dict[str, Any]) -> Generator[Progress, None, Volume]:
    """In the reading process."""
    from ctseg_imaging import formats

    yield Progress("read", 0, 0, f"Reading {Path(path).name}")
    return (yield from formats.reading(path, **choice))


def series_list_here(path: str | Path, choice: dict[str, Any]) -> Generator[Progress, None, StudyFolder]:
    """In the reading process."""
    from ctseg_imaging.formats.dicom import study as dicom_study

    return (yield from dicom_study.listing(Path(path), **choice))


def picture_here(path: str | Path, choice: dict[str, Any]) -> Generator[Progress, None, NDArray[np.uint8]]:
    """In the reading process."""
    from ctseg_imaging.formats.dicom import study as dicom_study

    yield Progress("picture", 0, 0, f"Reading {Path(path).name}")
    return dicom_study.picture(**choice)


def read_view_only_here(
    path: str | Path, choice: dict[str, Any]
) -> Generator[Progress, None, ViewOnlyVolume]:
    """In the reading process."""
    from ctseg_imaging import formats

    yield Progress("read", 0, 0, f"Reading {Path(path).name}")
    return formats.read_view_only(path, **choice)


def read_labels_here(path: str | Path, choice: dict[str, Any]) -> Generator[Progress, None, LabelMap]:
    """In the reading process."""
    from ctseg_imaging import formats

    yield Progress("read", 0, 0, f"Reading {Path(path).name}")
    return formats.read_labels(path, **choice)


def read_labels_of_here(path: str | Path, choice: dict[str, Any]) -> Generator[Progress, None, LabelMap]:
    """In the reading process."""
    from ctseg_imaging import formats

    yield Progress("read", 0, 0, f"Reading {Path(path).name}")
    return formats.read_labels_of(path, **choice)


def read_layers_here(path: str | Path, choice: dict[str, Any]) -> Generator[Progress, None, list[LabelMap]]:
    """In the reading process."""
    from ctseg_imaging import formats

    yield Progress("read", 0, 0, f"Reading {Path(path).name}")
    return formats.read_layers(path, **choice)


def list_choices_here(path: str | Path, choice: dict[str, Any]) -> Generator[Progress, None, list[Choice]]:
    """In the reading process."""
    from ctseg_imaging import formats

    yield Progress("read", 0, 0, f"Reading {Path(path).name}")
    return formats.list_choices(path, **choice)


def _driven(
    work: Callable[..., Generator[Progress, None, T]], path: str | Path, choice: dict[str, Any]
) -> Generator[Progress, None, T]:
    """Run it in the reading process. Raises FormatError if that process ended during it, and what the work
    raises.
    """
    if is_contained():
        return (yield from work(path, choice))
    try:
        return (
            yield from _with_silence_reported(
                READER.run(work, path, choice, title=Path(path).name), Path(path).name
            )
        )
    except EndedUnexpectedly as error:
        raise FormatError(
            f"{path}: the process that read it ended ({error.how}); the file is damaged, too large for this "
            "machine, or not supported by the library."
        ) from error


def _with_silence_reported(work: Generator[Progress, None, T], name: str) -> Generator[Progress, None, T]:
    """`work`, with a remark in place of its last step once nothing new has arrived for minutes, as from a
    large file on a slow disk or a hang.
    """
    last, since = None, time.monotonic()
    try:
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                value: T = end.value
                return value
            if step is not last:
                last, since = step, time.monotonic()
            minutes = (time.monotonic() - since) / 60
            yield (
                step
                if minutes < MINUTES_OF_SILENCE
                else Progress(
                    "waiting",
                    0,
                    0,
                    f"No progress with {name} for {minutes:.0f} minutes; cancel if the file should have been "
                    "small",
                )
            )
    finally:
        work.close()
