"""The radiological view: axial as from the feet, coronal and sagittal with the head up, letters at the edges,
a line in the corner.

Layers of this project are upright LPS views (layers.py): axis 0 runs to superior, 1 to posterior, 2 to left.
What remains is how the canvas turns those axes, which `dims.order` and `camera.orientation` say; letters
follow both.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ctseg_imaging.volume import slice_number
from ctseg_imaging.windowing import is_hu
from napari_ctseg.keys.opening import take_help_key
from napari_ctseg.viewer.fitted_view import FittedView
from napari_ctseg.viewer.layers import MIRROR, slice_of, source_of, volume_of
from napari_ctseg.viewer.proxies import unwrapped

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

ENDS = (("I", "S"), ("A", "P"), ("R", "L"))  # low end, high end of the shown axes z, y, x
PLANES = ("axial", "coronal", "sagittal")  # by the axis that the slider moves along
AXIAL, CORONAL, SAGITTAL = (0, 1, 2), (1, 0, 2), (2, 0, 1)
_ROLLED: dict[
    tuple[tuple[int, ...], tuple[int, ...]], tuple[int, ...]
] = {  # napari's "roll" after each of our planes
    (SAGITTAL, (1, 2, 0)): CORONAL,
    (CORONAL, (2, 1, 0)): AXIAL,
}
# Pixels of napari's text at 96 dpi: of the corner's characters, of the letters, of the margin around both.
LINE_PX, CHARACTER_PX, LETTER_PX, MARGIN_PX = 18.7, 8.4, 27.0, 10.0
_EDGES = {"left": "middle_left", "right": "middle_right", "top": "top_center", "bottom": "bottom_center"}
Orientation = tuple[str, str, str]


def letters(displayed: Sequence[int], orientation: Sequence[str]) -> dict[str, str]:
    """The letter at each edge of a 2D canvas.

    displayed : the two shown axes (vertical, horizontal) among (0 z, 1 y, 2 x). orientation : napari's
    (depth, vertical, horizontal).
    """
    vertical, horizontal = ENDS[displayed[0]], ENDS[displayed[1]]
    down = str(orientation[1]) == "down"
    right = str(orientation[2]) == "right"
    return {
        "top": vertical[0 if down else 1],
        "bottom": vertical[1 if down else 0],
        "left": horizontal[0 if right else 1],
        "right": horizontal[1 if right else 0],
    }


def upright(order: Sequence[int]) -> Orientation:
    """camera.orientation (depth, vertical, horizontal) for an order of the axes (z, y, x): head up, else
    posterior down and left right.

    The depth is chosen so a three-dimensional view shows no mirrored patient.
    """
    vertical = "up" if order[1] == 0 else "down"
    # LPS is right-handed in (x, y, z); an even permutation of (z, y, x) turns the handedness of (depth,
    # vertical, horizontal) once.
    even = round(float(np.linalg.det(np.eye(3)[list(order)]))) > 0
    # With vertical down and horizontal right, right x down points away from the user.
    depth = "away" if even == (vertical == "down") else "towards"
    return depth, vertical, "right"


def fitting(lines: Sequence[str], size: Sequence[int]) -> list[str]:
    """As much of the corner's lines as fits next to the letters at the left and at the bottom: the first of
    them, else the number of the slice alone, else nothing.

    size : (height, width) of the canvas in pixels.
    """
    height, width = size
    most = max(0, int((height / 2 - LETTER_PX / 2 - MARGIN_PX) / LINE_PX))
    shown = list(lines[:most])
    while shown and any(_reaches_letter(line, width) for line in shown[-2:]):
        shown.pop()
    number = lines[0].split()[-1]
    return shown or ([] if not most or _reaches_letter(number, width) else [number])


def _reaches_letter(line: str, width: float) -> bool:
    """Whether a line at the bottom would touch the letter there, which is two lines high."""
    return MARGIN_PX + CHARACTER_PX * len(line) > width / 2 - LETTER_PX / 2


def attach(viewer: napari.viewer.Viewer) -> Radiological:
    """Make a viewer radiological as long as it has a layer of this project; once per viewer. Mouse and planes
    are the user's choice.
    """
    from napari_ctseg.viewer.planes import planes_of

    viewer = unwrapped(viewer)
    if viewer not in _ATTACHED:
        _ATTACHED[viewer] = Radiological(viewer)
        take_help_key(viewer)
        _FITTED[viewer] = FittedView(viewer)
        planes_of(viewer)
    return _ATTACHED[viewer]


def attach_current() -> None:
    """Attach to the viewer in front, if there is one: a reader or sample does not know for which viewer it
    works.
    """
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        attach(viewer)


def show_plane(viewer: napari.viewer.Viewer, plane: str) -> None:
    """Turn to "axial", "coronal" or "sagittal" in 2D."""
    attach(viewer)
    viewer.dims.ndisplay = 2
    lead = viewer.dims.ndim - 3
    spatial = (AXIAL, CORONAL, SAGITTAL)[PLANES.index(plane)]
    viewer.dims.order = (*range(lead), *(lead + axis for axis in spatial))


class Radiological:
    """Follows one viewer's axes, camera, cursor and layers, and keeps orientation, letters and corner text
    true to them.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        from napari.components.overlays import TextOverlay

        self._viewer = weakref.ref(viewer)
        self._order: tuple[int, ...] = self._spatial_order(viewer)
        self._hu: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()
        self._active = False
        overlays = viewer.canvas.overlays
        for edge, position in _EDGES.items():
            overlays[f"ctseg_{edge}"] = TextOverlay(position=position, font_size=13, box=True)
        overlays["ctseg_corner"] = TextOverlay(position="bottom_left", font_size=9, box=True)
        viewer.dims.events.order.connect(self._turned)
        viewer.dims.events.ndisplay.connect(self.refresh)
        viewer.dims.events.current_step.connect(self._refresh_corner)
        viewer.scene.camera.events.orientation.connect(self.refresh)
        viewer.cursor.events.position.connect(self._refresh_corner)
        viewer.canvas.events.size.connect(self._refresh_corner)
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self.refresh)
        viewer.layers.selection.events.active.connect(self._refresh_corner)
        for layer in viewer.layers:
            self._watch(layer)
        self.refresh()

    @staticmethod
    def _spatial_order(viewer: napari.viewer.Viewer) -> tuple[int, ...]:
        """The order of the last three axes, counted from 0."""
        lead = viewer.dims.ndim - 3
        return tuple(axis - lead for axis in viewer.dims.order if axis >= lead)

    def _inserted(self, event: Any) -> None:
        self._watch(event.value)
        self.refresh()

    def _watch(self, layer: Any) -> None:
        if hasattr(layer, "contrast_limits"):
            layer.events.contrast_limits.connect(self._refresh_corner)
            if layer.ndim == 3 and source_of(layer) is not None and MIRROR not in layer.metadata:
                _widen_range(layer)

    def _turned(self, event: Any = None) -> None:
        viewer = self._viewer()
        if viewer is None or viewer.dims.ndim < 3:
            return
        before, now = self._order, self._spatial_order(viewer)
        self._order = now
        if self._active and viewer.dims.ndisplay == 2 and (better := _ROLLED.get((before, now))) is not None:
            lead = viewer.dims.ndim - 3
            viewer.dims.order = (*range(lead), *(lead + axis for axis in better))
            return
        if self._active and viewer.dims.order[: viewer.dims.ndim - 3] == tuple(range(viewer.dims.ndim - 3)):
            viewer.scene.camera.orientation = upright(now)
        self.refresh()

    def refresh(self, event: Any = None) -> None:
        """Bring letters and corner text in line with the viewer."""
        viewer = self._viewer()
        if viewer is None:
            return
        active = any(
            layer.ndim == 3 and source_of(layer) is not None
            for layer in viewer.layers
            if hasattr(layer.data, "shape")
        )
        if active and not self._active:
            self._active = True
            self._order = self._spatial_order(viewer)
            viewer.scene.camera.orientation = upright(self._order)
        self._active = active
        displayed = [axis - (viewer.dims.ndim - 3) for axis in viewer.dims.order[-2:]]
        shown = active and viewer.dims.ndisplay == 2 and min(displayed) >= 0
        marks = letters(displayed, viewer.scene.camera.orientation) if shown else {}
        for edge in _EDGES:
            overlay = viewer.canvas.overlays[f"ctseg_{edge}"]
            overlay.text = marks.get(edge, "")
            overlay.visible = shown
        self._refresh_corner()

    def _refresh_corner(self, event: Any = None) -> None:
        viewer = self._viewer()
        if viewer is None:
            return
        overlay = viewer.canvas.overlays["ctseg_corner"]
        image = self.image() if self._active and viewer.dims.ndisplay == 2 else None
        lines = [] if image is None else self.corner_text(viewer, image).split("\n")
        lines = fitting(lines, viewer.canvas.size) if lines else []
        overlay.text = "\n".join(lines)
        overlay.visible = bool(lines)

    def image(self) -> Image | None:
        """The image that the corner speaks of: the active one, else the topmost visible one."""
        if (viewer := self._viewer()) is None:
            return None
        candidates = [
            layer for layer in viewer.layers if hasattr(layer, "contrast_limits") and layer.ndim == 3
        ]
        images = [layer for layer in candidates if source_of(layer) is not None]
        active = viewer.layers.selection.active
        if active in images:
            return active
        return next((layer for layer in reversed(images) if layer.visible), None)

    def corner_text(self, viewer: napari.viewer.Viewer, image: Image) -> str:
        """Slice i/n with its place in mm, the window, and the value under the cursor."""
        axis = viewer.dims.order[-3] - (viewer.dims.ndim - 3)
        index = slice_of(viewer, image, axis)
        place = image.translate[axis] + index * image.scale[axis]
        low, high = image.contrast_limits
        unit = "HU" if self._is_hu(image) else "value"
        value = (
            image.get_value(viewer.cursor.position, world=True)
            if len(viewer.cursor.position) == viewer.dims.ndim
            else None
        )
        here = "–" if value is None or np.ndim(value) else f"{float(value):.4g}"
        source = source_of(image)
        oblique = "  oblique" if source is not None and source.geometry.is_oblique else ""
        return "\n".join(
            (
                f"{PLANES[axis]} {slice_number(index)}/{image.data.shape[axis]}",
                f"{'zyx'[axis]} {place:.1f} mm{oblique}",
                f"W {high - low:.4g}  L {(high + low) / 2:.4g}",
                f"{unit} {here}",
            )
        )

    def _is_hu(self, image: Image) -> bool:
        if image not in self._hu:
            self._hu[image] = is_hu(volume_of(image))
        return self._hu[image]


def _widen_range(layer: Image) -> None:
    """Let the layer's own contrast slider reach every value of the volume; napari starts it at the first
    window.
    """
    data = layer.data
    low, high = float(np.nanmin(data)), float(np.nanmax(data))
    limits = layer.contrast_limits
    if np.isfinite([low, high]).all() and high > low:
        layer.contrast_limits_range = (min(low, limits[0]), max(high, limits[1]))


_ATTACHED: weakref.WeakKeyDictionary[Any, Radiological] = weakref.WeakKeyDictionary()
_FITTED: weakref.WeakKeyDictionary[Any, FittedView] = weakref.WeakKeyDictionary()
