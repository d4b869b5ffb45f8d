"""The viewer as a reader sits down to it: layers in their roles, docks in their places."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari
    from ctseg_imaging.volume import LabelMap, Volume

PLUGIN = "napari-ctseg"
DOCKS = ("Window", "Run model", "Compare", "Correct & export", "Fine-tune")


def open_docks(viewer: napari.viewer.Viewer, front: str = "Window") -> dict[str, Any]:
    """Put the five docks on the right, one behind the other, `front` before the others. Returns name -> widget."""
    docks, widgets = [], {}
    for name in DOCKS:
        dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name)
        if docks:
            viewer.window._qt_window.tabifyDockWidget(docks[0], dock)
        docks.append(dock)
        widgets[name] = widget
    raised = docks[DOCKS.index(front)]
    raised.show()
    raised.raise_()
    return widgets


def lay_out(viewer: napari.viewer.Viewer, volume: Volume, name: str, truth: LabelMap | None = None, labels: LabelMap | None = None) -> None:
    """Add an image with, where given, its ground truth and a mask to look at or correct, and write the roles into the study."""
    from napari_ctseg.layers import show_labels, show_volume
    from napari_ctseg.study import study_of

    study = study_of(viewer)
    study.image = show_volume(viewer, volume, name).name
    if truth is not None:
        study.truth = show_labels(viewer, truth, "truth").name
    if labels is not None:
        study.prediction = study.edited = show_labels(viewer, labels, "labels").name


def stem_of(path: Path) -> str:
    """A layer's name from a path: its last part without the format's ending."""
    name = path.name
    for ending in (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name
