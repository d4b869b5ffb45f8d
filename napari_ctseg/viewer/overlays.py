"""What Compare draws over the image: where two label maps differ, and the outline of one of them in
dashes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.metrics.differences import AGREED, ERROR_COLOURS, ERROR_WORDS, error_codes
from napari_ctseg.viewer.layers import AXES, MADE, UNITS

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels, Layer, Vectors

ERROR_NAMES = {AGREED: "both", **ERROR_WORDS}  # under the cursor
DASH_PX, GAP_PX = 3.0, 2.0
FINE = 256  # columns from which on outlines are drawn two pixels wide
ERRORS_NAME, OUTLINE_NAME = "errors", "truth outline"


def dashes(plane: NDArray[Any], value: int) -> NDArray[np.float64]:
    """(n, 2, 2) dashes of the outline of `value` in a (rows, columns) plane: start and direction, in pixels.

    The outline runs along the pixels' edges (level set at a half, moved out to the edge), broken into DASH_PX
    long dashes.
    """
    from skimage.measure import find_contours

    mask = plane == value
    if not mask.any():
        return np.zeros((0, 2, 2))
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    low = np.array([rows[0], columns[0]])
    crop = np.pad(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32), 1)
    parts = [_broken(line + low - 1) for line in find_contours(crop, 0.5)]
    return np.concatenate([part for part in parts if len(part)] or [np.zeros((0, 2, 2))])


def _broken(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """A polyline (n, 2) cut into straight pieces that lie within its dashes."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    period = DASH_PX + GAP_PX
    starts = np.arange(0.0, along[-1], period)
    edges = np.unique(np.concatenate([along, starts, np.minimum(starts + DASH_PX, along[-1])]))
    points = np.stack([np.interp(edges, along, line[:, axis]) for axis in (0, 1)], axis=1)
    middle = (edges[:-1] + edges[1:]) / 2
    drawn = middle % period < DASH_PX
    return np.stack([points[:-1][drawn], np.diff(points, axis=0)[drawn]], axis=1)


def contour_px(layer: Labels) -> int:
    """How wide a solid outline has to be to be seen and not to fill an organ."""
    return 2 if layer.data.shape[-1] >= FINE else 1


@contextmanager
def _selection_kept(viewer: napari.viewer.Viewer) -> Iterator[None]:
    """An overlay that is added does not take the brush away from the layer that is painted."""
    selected = set(viewer.layers.selection)
    yield
    viewer.layers.selection = selected


class ErrorMap:
    """A labels layer that shows where prediction and truth differ, kept up slice by slice."""

    def __init__(self, viewer: napari.viewer.Viewer, like: Labels, codes: NDArray[np.uint8]) -> None:
        from napari.utils.colormaps import DirectLabelColormap

        table: dict[int | None, Any] = defaultdict(lambda: "transparent")
        table.update(dict.fromkeys((None, 0, AGREED), "transparent"))
        for code, colour in ERROR_COLOURS.items():
            table[code] = colour
        names = ["", *ERROR_NAMES.values()]
        with _selection_kept(viewer):
            self.layer: Labels = viewer.add_labels(
                codes,
                name=ERRORS_NAME,
                colormap=DirectLabelColormap(color_dict=table),
                opacity=0.8,
                features={"index": range(len(names)), "name": names},
                metadata={MADE: True},
                **_placement(like),
            )
        self.layer.editable = False

    def update(
        self, prediction: NDArray[Any], truth: NDArray[Any], slices: Iterable[int], value: int | None
    ) -> None:
        """Compute `slices` (axis 0) again."""
        for k in slices:
            self.layer.data[k] = error_codes(prediction[k], truth[k], value)
        self.layer.refresh(thumbnail=False, highlight=False, extent=False)
        self.layer.events.refresh()  # for the linked planes


class DashedOutline:
    """A vectors layer with the outline of a label map in the plane that is shown."""

    def __init__(self, viewer: napari.viewer.Viewer, like: Labels) -> None:
        with _selection_kept(viewer):
            self.layer: Vectors = viewer.add_vectors(
                np.zeros((0, 2, 3)),
                ndim=3,
                name=OUTLINE_NAME,
                vector_style="line",
                opacity=1.0,
                edge_width=0.35 * max(1.0, like.data.shape[-1] / FINE),
                metadata={MADE: True},
                **_placement(like),
            )

    def draw(self, array: NDArray[Any], axis: int, index: int, colours: dict[int, str]) -> None:
        """Draw the labels of `colours` in slice `index` along `axis` of `array` (z, y, x)."""
        plane = np.asarray(np.take(array, index, axis=axis))
        present = [value for value in np.unique(plane).tolist() if value in colours]
        flat = [dashes(plane, value) for value in present]
        count = sum(map(len, flat))
        vectors = np.zeros((count, 2, 3))
        if count:
            shown = [k for k in range(3) if k != axis]
            vectors[:, :, shown] = np.concatenate(flat)
            vectors[:, 0, axis] = index
        paint = [colours[value] for value, part in zip(present, flat, strict=True) for _ in range(len(part))]
        self.layer.data = vectors
        if paint:
            self.layer.edge_color = paint


def _placement(like: Layer) -> dict[str, Any]:
    return {"scale": like.scale, "translate": like.translate, "units": UNITS, "axis_labels": AXES}
