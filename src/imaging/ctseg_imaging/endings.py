"""File name endings of image formats. Upper and lower case are equivalent."""

from __future__ import annotations

from pathlib import Path

ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")  # read and written
DICOM_ENDING = ".dcm"  # of a DICOM SEG, which is written where the image came from DICOM
RTSTRUCT_ENDING = ".rtstruct.dcm"  # of an RTSTRUCT, likewise
LONGEST_FIRST = (".seg.nrrd", *sorted(ENDINGS, key=len, reverse=True))


def split_ending(path: Path) -> tuple[str, str]:
    """(stem, ending); ".nii.gz" and ".seg.nrrd" are one ending each.

    If the ending is not that of an image format it is "", and the stem is the whole name.
    """
    lower = path.name.lower()
    ending = next((end for end in LONGEST_FIRST if lower.endswith(end)), "")
    return (path.name[: -len(ending)], ending) if ending else (path.name, "")


def case_name(path: Path) -> str:
    """The name of a file's case in reports, dataset.json and provenance files: the file name without its
    ending.
    """
    if path.name.lower().endswith(RTSTRUCT_ENDING):
        return path.name[: -len(RTSTRUCT_ENDING)]
    stem, ending = split_ending(path)
    return stem if ending else path.stem
