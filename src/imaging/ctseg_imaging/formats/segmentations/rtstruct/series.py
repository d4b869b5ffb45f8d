"""Finding the image series of a structure set: by its references, else by its frame of reference."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pydicom.dataset import Dataset

from ctseg_imaging.errors import ChoiceNeeded, FormatError
from ctseg_imaging.formats.dicom import reading as dicom
from ctseg_imaging.formats.dicom.files import read_header, walk
from ctseg_imaging.formats.dicom.series import scanning
from ctseg_imaging.formats.segmentations.dicom_objects import parsing
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Volume

MOST_FILES = 5000  # below a folder that is searched
DISC_LEVELS = 3  # above the two folders over a file
_TAGS = [
    "SOPClassUID",
    "ReferencedFrameOfReferenceSequence",
    "FrameOfReferenceUID",
    "StructureSetROISequence",
]


def image_of(path: Path) -> Volume:
    """The series that `path` refers to, searched in its folder, below it, in the folder above, and on its
    disc (see `_folders`). Raises FormatError if it is not found; ChoiceNeeded, GeometryError as `dicom.read`
    does.
    """
    with parsing(path, "RTSTRUCT"):
        header = read_header(path, _TAGS) or Dataset()
        series, frames = set(_series_uids(header)), set(_frame_uids(header))
    for folder in filter(_is_small, _folders(path)):
        found = finish(scanning(folder)).series
        chosen = [one.uid for one in found if one.uid in series]
        chosen = chosen or [
            one.uid for one in found if one.slices[0].traits.get("frame of reference") in frames
        ]
        if len(set(chosen)) == 1:
            return _read(path, folder, chosen[0])
    raise FormatError(
        f"{path}: its image series is not in its folder or the one above; give the image as well, contours "
        "need its grid."
    )


def _read(path: Path, folder: Path, uid: str) -> Volume:
    try:
        return dicom.read(folder, uid)
    except ChoiceNeeded as error:
        raise ChoiceNeeded(
            f"{path}: refers to a series of several volumes; give the image as well (--like {folder} "
            "--series K, K as info lists them)."
        ) from error


def _folders(path: Path) -> list[Path]:
    """Where to look: the two folders above a file, and the nearest of the next ones that has a DICOMDIR."""
    above = path.absolute().parents
    disc = [folder for folder in above[2 : 2 + DISC_LEVELS] if (folder / "DICOMDIR").is_file()]
    return [*above[:2], *disc[:1]]


def _is_small(folder: Path) -> bool:
    """Whether a folder holds few enough files to look at each."""
    return len(list(islice(walk(folder), MOST_FILES + 1))) <= MOST_FILES


def _series_uids(header: Dataset) -> Iterator[str]:
    for frame in header.get("ReferencedFrameOfReferenceSequence") or []:
        for study in frame.get("RTReferencedStudySequence") or []:
            for one in study.get("RTReferencedSeriesSequence") or []:
                yield str(one.get("SeriesInstanceUID", ""))


def _frame_uids(header: Dataset) -> Iterator[str]:
    for frame in header.get("ReferencedFrameOfReferenceSequence") or []:
        yield str(frame.get("FrameOfReferenceUID", ""))
    for roi in header.get("StructureSetROISequence") or []:
        yield str(roi.get("ReferencedFrameOfReferenceUID", ""))
