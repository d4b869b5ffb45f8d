"""Label values in a DICOM SEG, whose segments have to be numbered 1, 2, 3 ...: each segment's tracking ID
holds its value.

Source: DICOM PS3.3 C.8.20.4 (segment description: Tracking ID, Tracking UID).
"""

from __future__ import annotations

import re

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from ctseg_imaging.formats.segmentations.dicom_writing import MAKER

_TRACKED = re.compile(rf"{MAKER} label (\d{{1,10}})")


def keep(item: Dataset, value: int) -> None:
    """Write a label value into an item of a SegmentSequence."""
    item.TrackingID, item.TrackingUID = f"{MAKER} label {value}", generate_uid(prefix=None)


def value_of(dataset: Dataset, item: Dataset) -> int | None:
    """The label value of an item of `dataset`'s SegmentSequence, None in an object of another program."""
    if str(dataset.get("Manufacturer", "")) != MAKER:
        return None
    match = _TRACKED.fullmatch(str(item.get("TrackingID", "")).strip())
    return int(match[1]) if match else None
