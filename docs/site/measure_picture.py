"""The picture of docs/measure.md: `python docs/site/measure_picture.py docs/images/measure.png [light]`.

The phantom CT with its organs, and one measurement of each kind on the slice that shows most of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ctseg_imaging.measurements import Kind
from napari_ctseg.docks.measure.plane import Plane
from napari_ctseg.docks.measure.shapes.forming import formed
from napari_ctseg.files import view
from napari_ctseg.viewer import display
from napari_ctseg.viewer.layers import go_to_slice

SLICE = 70
DRAWN = {  # (y, x) of the points in voxels
    Kind.RULER: ((20.0, 10.0), (20.0, 101.0)),
    Kind.ANGLE: ((84.0, 47.0), (78.0, 56.0), (86.0, 64.0)),
    Kind.RECIST: ((63.0, 31.4), (67.0, 36.4)),
    Kind.ELLIPSE: ((46.0, 36.0), (46.0, 43.0)),
    Kind.RECTANGLE: ((64.0, 52.5), (71.0, 60.5)),
    Kind.POLYGON: ((57.0, 76.0), (58.0, 82.0), (65.0, 85.0), (66.0, 77.0)),
}


def main(path: Path, theme: str = "dark", width: int = 400) -> None:
    """Draw, and save the window."""
    with display.screen():
        import napari
        from qtpy.QtCore import Qt

        viewer = napari.Viewer(title="CT segmentation")
        viewer.theme = theme
        viewer.open_sample("napari-ctseg", "phantom")
        image, organs = viewer.layers
        organs.visible = False
        viewer.window.resize(1280, 860)
        frame, dock = viewer.window.add_plugin_dock_widget("napari-ctseg", "Measure")
        viewer.window._qt_window.resizeDocks([frame], [width], Qt.Orientation.Horizontal)
        go_to_slice(viewer, image, SLICE)
        sheet = dock.controller.sheet
        plane = Plane(sheet.image.shown.geometry, 0, SLICE)
        spacing = np.array(image.scale[1:])
        sheet.add([formed(kind, plane, np.array(points) * spacing) for kind, points in DRAWN.items()])
        sheet.select(2)
        view.until(lambda: bool(dock.controller.state.labels), 60)
        viewer.cursor.position = tuple(image.data_to_world((SLICE, 44, 78)))
        view.picture(viewer, path, lambda: True)
        viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3], *map(int, sys.argv[3:4]))
