"""Which paths are opened together.

napari hands the paths of a drop or of File > Open to a reader one by one (all at once only with Shift, or for
Open Files as Stack). The whole list is what the loop in `Viewer.open` shows the progress of.
"""

from __future__ import annotations

from pathlib import Path

from ctseg_imaging.formats.dicom import reading as dicom


def opened_with(path: Path) -> list[Path]:
    """The paths that napari is opening in one go, `path` among them; [path] where it is opened alone."""
    from napari.utils.progress import progress

    for shown in progress._all_instances:
        listed = shown.iterable
        if isinstance(listed, list) and all(isinstance(one, str) for one in listed):
            found = [Path(one) for one in listed]
            if path in found:
                return found
    return [path]


def dicom_files(path: Path, together: list[Path]) -> list[Path]:
    """The DICOM files among `together` in the folder of `path`, in their order."""
    return [
        one for one in together if one.parent == path.parent and one.is_file() and dicom.looks_like_file(one)
    ]


def leads(path: Path, together: list[Path]) -> bool:
    """Whether `path` is the first DICOM file of its folder in `together`, which stands for all of them."""
    before = together[: together.index(path)]
    return not any(
        one.parent == path.parent and one.is_file() and dicom.looks_like_file(one) for one in before
    )
