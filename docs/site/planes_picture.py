"""The picture of docs/planes.md: `python docs/site/planes_picture.py PNG [light] [1280 720] [equal]`.

The phantom CT with its organs in three planes, the crosshair in the pancreas.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from napari_ctseg.files import view
from napari_ctseg.viewer import display
from napari_ctseg.viewer.planes import Layout, planes_of


def main(
    path: Path, theme: str = "dark", width: int = 1280, height: int = 720, layout: str = "large"
) -> None:
    """Show, and save the window."""
    with display.screen():
        import napari

        viewer = napari.Viewer(title="CT segmentation")
        viewer.theme = theme
        viewer.open_sample("napari-ctseg", "phantom")
        image, organs = viewer.layers
        organs.contour = 1
        viewer.layers.selection.active = image
        viewer.window.resize(width, height)
        planes = planes_of(viewer)
        planes.show(Layout(layout))
        value = int(np.unique(organs.data)[-1])
        at = np.argwhere(np.asarray(organs.data) == value).mean(axis=0).round()
        viewer.dims.point = tuple(organs.data_to_world(at))
        view.until(lambda: False, view.SETTLE_S)
        for model in (viewer, *planes.models):
            model.reset_view()
        view.picture(viewer, path, lambda: True)
        planes.show(Layout.ONE)
        viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3], *map(int, sys.argv[3:5]), *sys.argv[5:6])
