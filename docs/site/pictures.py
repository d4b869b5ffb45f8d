"""The pictures of the tutorials: `make pictures` draws them again into docs/images/.

One phantom CT is predicted and reviewed as in the tutorial; each step is a picture of the whole window.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

IMAGES = Path(__file__).resolve().parents[1] / "images"
SIZE = 1280, 800
MODEL = "phantom-abdomen-scn"


def main() -> None:
    """Draw all pictures."""
    from ctseg_imaging.phantom import abdomen
    from ctseg_imaging.windowing import preset
    from napari_ctseg.api import predict
    from napari_ctseg.files import view, workspace
    from napari_ctseg.viewer import display

    case = abdomen(90_003, (84, 100, 104), (4.5, 3.4, 3.4))
    prediction = predict(case.image, MODEL)
    with display.screen():
        import napari

        workspace.SIZE = SIZE
        viewer = napari.Viewer(title="CT segmentation")
        workspace.lay_out(viewer, case.image, "scan", truth=case.labels)
        viewer.layers["scan"].contrast_limits = preset("abdomen").limits
        viewer.layers["truth"].visible = False
        viewer.window.resize(*SIZE)
        docks = view.open_docks(viewer, "Run model")
        docks["Run model"].controller.choose_bundles([MODEL])
        save(viewer, "review-1-run-model.png")
        close_docks(viewer)
        docks = workspace.lay_over(viewer, prediction, MODEL, preset("abdomen"))
        compare = docks["Compare"].controller
        view.until(lambda: bool(compare.state.scores.rows) and not compare.state.scores.measuring, 60)
        compare.overlays.set_errors(True)
        compare.navigation.go_to(0)
        compare.navigation.next_worse()
        save(viewer, "review-2-compare.png")
        compared_in_planes(viewer, compare)
        compare.overlays.set_errors(False)
        correct_on_top(viewer, docks)
        save(viewer, "review-3-correct.png")
        viewer.close()


def compared_in_planes(viewer: Any, compare: Any) -> None:
    """Contours and error map in three planes, through the middle of the organs."""
    from napari_ctseg.files import view
    from napari_ctseg.viewer.planes import Layout, planes_of

    planes, point = planes_of(viewer), viewer.dims.point
    filled = [layer for layer in viewer.layers if layer.name.endswith("filled") and layer.visible]
    for layer in filled:
        layer.visible = False
    compare.overlays.set_contours(True)
    planes.show(Layout.LARGE)
    truth = viewer.layers["truth"]
    viewer.dims.point = tuple(truth.data_to_world(np.argwhere(truth.data).mean(axis=0).round()))
    view.until(lambda: compare.overlays.contours.complete, 60)
    for model in (viewer, *planes.models):
        model.reset_view()
    save(viewer, "compare.png")
    planes.show(Layout.ONE)
    compare.overlays.set_contours(False)
    viewer.dims.point = point
    for layer in filled:
        layer.visible = True


def close_docks(viewer: Any) -> None:
    """Take the docks away, so they can be laid out again."""
    for dock in list(viewer.window._wrapped_dock_widgets.values()):
        viewer.window.remove_dock_widget(dock)


def correct_on_top(viewer: Any, docks: dict[str, Any]) -> None:
    """The Correct & export dock in front, with the prediction as the mask to correct."""
    from napari_ctseg.viewer.study import study_of

    study = study_of(viewer)
    study.edited = study.prediction
    viewer.layers.selection.active = viewer.layers[study.prediction]
    dock = docks["Correct & export"].parentWidget()
    while dock is not None and not hasattr(dock, "toggleViewAction"):
        dock = dock.parentWidget()
    dock.show()
    dock.raise_()


def save(viewer: Any, name: str) -> None:
    """A picture of the whole window."""
    from napari_ctseg.files import view

    path = IMAGES / name
    view.picture(viewer, path, lambda: True)
    print(path)


if __name__ == "__main__":
    sys.exit(main())
