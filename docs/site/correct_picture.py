"""The picture of docs/correct.md: `python docs/site/correct_picture.py docs/images/correct.png [light]`.

XDG_STATE_HOME names an empty folder, or saved edits of an earlier run are offered.

The phantom CT with a mask of its organs that is shifted in some slices, and the organs to accept from.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_ctseg.files import view
from napari_ctseg.viewer import display
from napari_ctseg.viewer.layers import go_to_slice, label_map_of
from napari_ctseg.viewer.showing import show_labels

SLICE, SHIFT = 70, 6


def main(path: Path, theme: str = "dark", width: int = 400) -> None:
    """Accept one component, and save the window."""
    with display.screen():
        import napari
        from qtpy.QtCore import Qt

        viewer = napari.Viewer(title="CT segmentation")
        viewer.theme = theme
        viewer.open_sample("napari-ctseg", "phantom")
        image, organs = viewer.layers
        mask = label_map_of(organs)
        shifted = mask.array.copy()
        shifted[60:] = np.roll(shifted[60:], SHIFT, axis=2)
        layer = show_labels(viewer, replace(mask, array=shifted, source=None), "mask", role="edited")
        organs.visible = False
        viewer.window.resize(1280, 860)
        frame, dock = viewer.window.add_plugin_dock_widget("napari-ctseg", "Correct & export")
        viewer.window._qt_window.resizeDocks([frame], [width], Qt.Orientation.Horizontal)
        go_to_slice(viewer, image, SLICE)
        controller = dock.controller
        viewer.cursor.position = _organ(layer)
        controller.pointing.accept_slice()
        view.until(lambda: not controller.state.working, 60)
        view.picture(viewer, path, lambda: True)
        viewer.close()


def _organ(layer: Any) -> tuple[float, ...]:
    """A point of the largest organ on the slice."""
    plane = layer.data[SLICE]
    value = np.bincount(plane[plane > 0]).argmax()
    inside = np.argwhere(plane == value)
    return tuple(layer.data_to_world((SLICE, *inside[len(inside) // 2])))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3], *map(int, sys.argv[3:4]))
