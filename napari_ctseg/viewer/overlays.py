"""The layer that Compare shows where two label maps differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.metrics.differences import AGREED, ERROR_COLOURS, ERROR_WORDS, error_codes
from napari_ctseg.viewer.layers import AXES, MADE, UNITS
from napari_ctseg.viewer.painting.brush_rules import Index
from napari_ctseg.viewer.planes import planes_of
from napari_ctseg.viewer.planes.strokes import draw_again

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels, Layer

ERROR_NAMES = {AGREED: "both", **ERROR_WORDS}  # under the cursor
ERRORS_NAME = "errors"
FINE = 256  # columns from which on outlines are drawn two pixels wide


class Differences:
    """The error codes of two label maps as an array that is computed where it is looked at, so it needs no
    memory and is never out of date.

    prediction, truth : (z, y, x) integers. values : the labels that are compared.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, prediction: NDArray[Any], truth: NDArray[Any], values: Sequence[int]) -> None:
        self._prediction, self._truth, self._values = prediction, truth, values
        self.shape, self.ndim, self.size = truth.shape, truth.ndim, truth.size

    def __getitem__(self, where: Any) -> NDArray[np.uint8]:
        return error_codes(self._prediction[where], self._truth[where], self._values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[...].astype(dtype or self.dtype, copy=False)


def contour_px(layer: Labels) -> int:
    """How wide a solid outline has to be to be seen and not to fill an organ."""
    return 2 if layer.data.shape[-1] >= FINE else 1


@contextmanager
def selection_kept(viewer: napari.viewer.Viewer) -> Iterator[None]:
    """An overlay that is added does not take the brush away from the layer that is painted."""
    selected = set(viewer.layers.selection)
    yield
    viewer.layers.selection = selected


class ErrorMap:
    """A labels layer that shows where prediction and truth differ."""

    def __init__(self, viewer: napari.viewer.Viewer, like: Labels, differences: Differences) -> None:
        from napari.utils.colormaps import DirectLabelColormap

        table: dict[int | None, Any] = defaultdict(lambda: "transparent")
        table.update(dict.fromkeys((None, 0, AGREED), "transparent"))
        for code, colour in ERROR_COLOURS.items():
            table[code] = colour
        names = ["", *ERROR_NAMES.values()]
        with selection_kept(viewer):
            self._planes = planes_of(viewer)
            self.layer: Labels = viewer.add_labels(
                differences,
                name=ERRORS_NAME,
                colormap=DirectLabelColormap(color_dict=table),
                opacity=0.6,
                features={"index": range(len(names)), "name": names},
                metadata={MADE: True},
                **placement(like),
            )
        self.layer.editable = False

    def compare(self, differences: Differences) -> None:
        """Show other maps, or another label of them."""
        self.layer.data = differences

    def painted(self, where: Index) -> None:
        """One of the maps was changed in place within the box `where` (z, y, x)."""
        for layer in (self.layer, *self._planes.layers_for(self.layer)):
            draw_again(layer, where)


def placement(like: Layer) -> dict[str, Any]:
    """Settings that put a layer on the grid of `like`."""
    return {"scale": like.scale, "translate": like.translate, "units": UNITS, "axis_labels": AXES}
