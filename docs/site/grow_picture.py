"""A picture of docs/correct.md: `python docs/site/grow_picture.py docs/images/grow-box.png [light]`.

XDG_STATE_HOME names an empty folder, or saved edits of an earlier run are offered.

The phantom CT, a stroke in the spleen, and a box around it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ctseg_imaging.editing import INSIDE
from napari_ctseg.docks.correct.grow.box_layers import DRAWING_NAME
from napari_ctseg.docks.correct.grow.strokes import STROKES_NAME
from napari_ctseg.files import view
from napari_ctseg.viewer import display
from napari_ctseg.viewer.layers import go_to_slice

SLICE, SPLEEN, MARGIN, BRUSH = 70, 3, 3, 8


def main(path: Path, theme: str = "dark", width: int = 400) -> None:
    """Grow, and save the window."""
    with display.screen():
        import napari
        from qtpy.QtCore import Qt

        viewer = napari.Viewer(title="CT segmentation")
        viewer.theme = theme
        viewer.open_sample("napari-ctseg", "phantom")
        image, organs = viewer.layers
        organs.visible = False
        viewer.window.resize(1280, 900)
        frame, dock = viewer.window.add_plugin_dock_widget("napari-ctseg", "Correct & export")
        viewer.window._qt_window.resizeDocks([frame], [width], Qt.Orientation.Horizontal)
        controller = dock.controller
        controller.begin_empty(("spleen",))
        go_to_slice(viewer, image, SLICE)
        inside = np.argwhere(organs.data[SLICE] == SPLEEN)
        controller.growing.begin()
        strokes = viewer.layers[STROKES_NAME]
        strokes.brush_size = BRUSH
        strokes.paint((SLICE, *inside[len(inside) // 3]), INSIDE)
        controller.growing.draw_box()
        (top, left), (bottom, right) = inside.min(0) - MARGIN, inside.max(0) + MARGIN
        corners = [(top, left), (top, right), (bottom, right), (bottom, left)]
        viewer.layers[DRAWING_NAME].add_rectangles(np.array([(SLICE, *corner) for corner in corners], float))
        grow = lambda: controller.state.grow  # noqa: E731
        view.until(lambda: grow().slices is not None and grow().volume_ml > 0 and not grow().computing, 60)
        view.picture(viewer, path, lambda: True)
        controller.growing.discard()
        viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3], *map(int, sys.argv[3:4]))
