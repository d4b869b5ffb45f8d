"""The layers of a case in the viewer, in their roles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ctseg.files.view import SIZE, open_docks
from napari_ctseg.recovery.pictures import fullest_slice

if TYPE_CHECKING:
    import napari

    from ctseg_imaging.volume import LabelMap, Volume, Window
    from ctseg_models.contract.prediction import Prediction


def lay_out(
    viewer: napari.viewer.Viewer,
    volume: Volume,
    name: str,
    truth: LabelMap | None = None,
    labels: LabelMap | None = None,
) -> None:
    """Add an image and, if given, its truth and a mask to review, and set their roles in the study."""
    from napari_ctseg.viewer.showing import show_labels, show_volume
    from napari_ctseg.viewer.study import study_of

    study = study_of(viewer)
    study.image = show_volume(viewer, volume, name).name
    if truth is not None:
        study.truth = show_labels(viewer, truth, "truth").name
    if labels is not None:
        study.prediction = study.edited = show_labels(viewer, labels, "labels", role="edited").name


def lay_over(
    viewer: napari.viewer.Viewer, prediction: Prediction, name: str, window: Window
) -> dict[str, Any]:
    """Over an image with its truth: the prediction filled and as contours next to the truth's, its box, the
    Compare dock in front.

    window : of the image. The slider goes to the slice that shows most labels. Returns name -> dock widget,
    as `open_docks`.
    """
    from napari_ctseg.viewer.layers import MADE, go_to_slice
    from napari_ctseg.viewer.showing import add_prediction, show_labels
    from napari_ctseg.viewer.study import study_of

    study = study_of(viewer)
    image = viewer.layers[study.image]
    image.contrast_limits = window.limits
    filled = show_labels(viewer, prediction.labels, f"{name} filled", prediction.provenance)
    filled.metadata[MADE], filled.opacity = True, 0.35
    layer = add_prediction(viewer, prediction, name)
    study.prediction = layer.name
    viewer.window.resize(*SIZE)
    docks = open_docks(viewer, "Compare")
    docks["Compare"].controller.overlays.set_contours(True)
    go_to_slice(viewer, layer, fullest_slice(layer.data))
    viewer.layers.selection.active = layer
    return docks


def stem_of(path: Path) -> str:
    """A layer's name from a path: its last part without the format's ending."""
    from ctseg_imaging.endings import split_ending

    return split_ending(path)[0].removesuffix(".dcm")
