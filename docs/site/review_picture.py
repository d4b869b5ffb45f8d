"""A picture of docs/correct.md: `python docs/site/review_picture.py docs/images/review.png [light]`.

XDG_STATE_HOME names an empty folder, or saved edits of an earlier run are offered.

The phantom CT with a mask of its organs of which some slices are reviewed, and a stroke in one of them.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from napari_ctseg.files import view
from napari_ctseg.viewer import display
from napari_ctseg.viewer.layers import go_to_slice, label_map_of
from napari_ctseg.viewer.review import Mark, Marks, keep_marks
from napari_ctseg.viewer.showing import show_labels

SLICE = 70
REVIEWED, WORK = range(20, 82), (40, 66, 67)


def main(path: Path, theme: str = "dark", width: int = 400) -> None:
    """Mark, paint, and save the window."""
    with display.screen():
        import napari
        from qtpy.QtCore import Qt

        viewer = napari.Viewer(title="CT segmentation")
        viewer.theme = theme
        viewer.open_sample("napari-ctseg", "phantom")
        image, organs = viewer.layers
        mask = label_map_of(organs)
        layer = show_labels(
            viewer, replace(mask, array=mask.array.copy(), source=None), "mask", role="edited"
        )
        organs.visible = False
        marks = dict.fromkeys(REVIEWED, Mark.REVIEWED) | dict.fromkeys(WORK, Mark.NEEDS_WORK)
        keep_marks(layer, Marks(marks, {1: Mark.REVIEWED, 3: Mark.REVIEWED}))
        viewer.window.resize(1280, 900)
        frame, dock = viewer.window.add_plugin_dock_widget("napari-ctseg", "Correct & export")
        viewer.window._qt_window.resizeDocks([frame], [width], Qt.Orientation.Horizontal)
        go_to_slice(viewer, image, SLICE)
        layer.paint((SLICE, 40, 60), 2)
        view.picture(viewer, path, lambda: bool(dock.controller.state.review.edited))
        viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3], *map(int, sys.argv[3:4]))
