"""From a volume of numbers to a label map, without guessing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import FormatError
from ctseg_imaging.volume import LabelMap, Labels, Volume

NEARLY_WHOLE = 0.01  # a float label may be off by this much; interpolation leaves more, storage less


def to_label_map(volume: Volume, path: Path, names: Mapping[int, str] | None = None) -> LabelMap:
    """The labels of `volume` as uint8, uint16 or int32. Raises FormatError if its numbers are no labels."""
    array, notes = volume.array, list(volume.notes)
    if array.ndim != 3:
        raise FormatError(f"{path}: has {volume.channels} channels; a label map has one.")
    if array.dtype.kind == "f":
        array = _rounded(array, path, notes)
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if low < 0:
        raise FormatError(
            f"{path}: has the negative value {low}, and labels are 0 (background) and above; map it to "
            "another value first."
        )
    if high > np.iinfo(np.int32).max:
        raise FormatError(f"{path}: has the value {high}, too large for a label; is it a label map?")
    dtype = np.uint8 if high <= 255 else np.uint16 if high <= 65535 else np.int32
    array = array.astype(dtype, copy=False)
    labels = Labels.from_values(array) if names is None else Labels.from_names(names)
    return LabelMap(array, volume.geometry, labels, volume.header, volume.source, tuple(notes))


def _rounded(array: NDArray[Any], path: Path, notes: list[str]) -> NDArray[Any]:
    """Nearest whole numbers of a float array, a slice at a time."""
    whole = np.empty(array.shape, np.int32)
    worst = 0.0
    for plane, out in zip(array, whole, strict=True):
        nearest = np.rint(plane)
        if not np.isfinite(plane).all():
            raise FormatError(
                f"{path}: has voxels that are not a number, so it is not a label map; is it an image?"
            )
        worst = max(worst, float(np.abs(plane - nearest).max()))
        if worst > NEARLY_WHOLE or np.abs(nearest).max() > np.iinfo(np.int32).max:
            raise FormatError(
                f"{path}: has values between whole numbers (probabilities or an image), so it is not a label "
                "map; "
                "threshold it or take the argmax first."
            )
        out[...] = nearest
    notes.append(
        "The labels were stored as floating point numbers."
        if worst == 0
        else f"The labels were stored as floating point numbers off by up to {worst:.2g}; they were rounded."
    )
    return whole
