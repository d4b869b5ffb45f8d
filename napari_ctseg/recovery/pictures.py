"""Small pictures of masks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.geometry import AxisView
from ctseg_imaging.volume import Labels
from napari_ctseg.journal.replay import Replayed


def picture(replayed: Replayed, pixels: int) -> NDArray[np.uint8]:
    """(y, x, 3) of the axial slice of the last edit, or of the fullest slice if the edit left that one empty.

    Drawn in the labels' colours on black, with the proportions of the patient. pixels : of the longer side.
    """
    geometry = replayed.label_map.geometry
    _, y_mm, x_mm = AxisView.of(geometry).geometry(geometry).spacing_mm
    plane = replayed.shown[_edited_slice(replayed)]
    if not plane.any():
        plane = replayed.shown[fullest_slice(replayed.shown)]
    return coloured(_in_proportion(plane, y_mm, x_mm, pixels), replayed.label_map.labels)


def _edited_slice(replayed: Replayed) -> int:
    """Where the last edit that was not undone changed most; the fullest slice without one."""
    index = replayed.history.done[-1].patch().index if replayed.history.done else ()
    if not len(index):
        return fullest_slice(replayed.shown)
    return int(np.bincount(index // replayed.shown[0].size).argmax())


def fullest_slice(array: NDArray[Any]) -> int:
    """The slice of a (z, y, x) array of labels that shows most: each label counts by its area relative to its
    own largest.
    """
    areas = np.stack(
        [(array == value).sum(axis=(1, 2)) for value in np.unique(array[array > 0])] or [np.zeros(len(array))]
    )
    return int((areas / np.maximum(areas.max(axis=1, keepdims=True), 1)).sum(axis=0).argmax())


def coloured(plane: NDArray[Any], labels: Labels) -> NDArray[np.uint8]:
    """(y, x, 3) of a plane (y, x) of labels."""
    from napari.utils.colormaps.standardize_color import transform_color

    found = np.zeros((*plane.shape, 3), np.uint8)
    for value in np.unique(plane[plane > 0]):
        colour = transform_color(labels.colour(int(value)))[0, :3]
        found[plane == value] = np.rint(255 * colour)
    return found


def _in_proportion(plane: NDArray[Any], y_mm: float, x_mm: float, pixels: int) -> NDArray[Any]:
    """The nearest voxel for each pixel of a picture whose pixels are squares."""
    sides = np.array(plane.shape) * (y_mm, x_mm)
    height, width = np.maximum(1, np.rint(pixels * sides / sides.max()).astype(int))
    rows, columns = (
        (np.arange(n) + 0.5) * of // n for n, of in ((height, plane.shape[0]), (width, plane.shape[1]))
    )
    found: NDArray[Any] = plane[np.ix_(rows.astype(int), columns.astype(int))]
    return found
