"""Series that an anonymiser or a converter has split into single files, each with a SeriesInstanceUID, a
StudyInstanceUID or a FrameOfReferenceUID of its own.

They are joined where they share patient, modality and series number, each of the three UIDs is shared by all
of them or by none, and they make one stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ctseg_imaging.formats.dicom.series import Folder, Series, apart_of
from ctseg_imaging.formats.dicom.stacking.slices import Slice
from ctseg_imaging.formats.dicom.stacking.split import split
from ctseg_imaging.formats.dicom.stacking.stack import judge

FEWEST = 3  # slices: two lie evenly in any case
_SHARED = ("patient", "modality", "series number")
_TORN = {"study": "StudyInstanceUID", "frame of reference": "FrameOfReferenceUID"}


def joined(folder: Folder) -> Folder:
    """The folder with each such series in place of its single slices."""
    groups: dict[tuple[object, ...], list[Series]] = {}
    for one in folder.series:
        if len(one.slices) == 1 and not one.localiser:
            key = tuple(one.slices[0].traits.get(name) for name in _SHARED)
            groups.setdefault(key, []).append(one)
    made = [whole for group in groups.values() if len(group) >= FEWEST for whole in _wholes(group)]
    taken = {(plane.path, plane.frame) for whole in made for plane in whole.slices}
    kept = [one for one in folder.series if (one.slices[0].path, one.slices[0].frame) not in taken]
    parts = 1 + max((one.part for one in kept if not one.uid), default=0)
    made = [replace(whole, part=k) for k, whole in enumerate(made, parts)]
    return replace(
        folder, series=tuple(sorted([*kept, *made], key=lambda one: (one.number, one.uid, one.part)))
    )


def _wholes(group: Sequence[Series]) -> Iterator[Series]:
    """The stacks that single slices form, each split by the same UIDs."""
    slices = [one.slices[0] for one in group]
    torn = ["SeriesInstanceUID"] if _is_torn([one.series_uid for one in slices]) else []
    for name, keyword in _TORN.items():
        values = [str(one.traits.get(name, "")) for one in slices]
        if _is_torn(values):
            torn.append(keyword)
            slices = [_without(one, name) for one in slices]
    parts = split(slices)
    lost = tuple(dict.fromkeys(file for one in group for file in one.lost))
    for part, difference in zip(parts, apart_of(parts), strict=True):
        if torn and len(part.slices) >= FEWEST:
            apart = (
                f"{difference}, joined from {len(part.slices)} files"
                if difference
                else f"joined from {len(part.slices)} files"
            )
            remark = (
                f"Every slice has a {' and a '.join(torn)} of its own, as some anonymisers leave them; the "
                "slices form one stack and were read as one series."
            )
            whole = Series("", part.slices, 0, apart, lost, remark)
            judged = judge(whole)
            if judged.readable or judged.viewable:
                yield whole


def _is_torn(values: Sequence[str]) -> bool:
    return len(set(values)) == len(values)


def _without(one: Slice, name: str) -> Slice:
    return replace(one, traits={known: value for known, value in one.traits.items() if known != name})
