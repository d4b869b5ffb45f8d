"""`napari-ctseg open`: the viewer with layers in their roles and docks in place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_ctseg.commands.console import NEAREST_GRID, note


def open_command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files or DICOM folders; the first is the image of the study.")],
    truth: Annotated[Path | None, typer.Option(metavar="FILE", help="Ground truth: a label map of the first path.")] = None,
    labels: Annotated[Path | None, typer.Option(metavar="FILE", help="A label map to look at and correct.")] = None,
    model: Annotated[str | None, typer.Option(metavar="BUNDLE", help="The model that Run model has chosen.")] = None,
    nearest_grid: Annotated[bool, typer.Option("--nearest-grid", help=NEAREST_GRID)] = False,
) -> None:
    """Open the viewer with images, labels and docks.

    Everything is read first, so that a fault in a file is said before a window appears.
    """
    from napari_ctseg import reading

    volumes = [reading.read(path, nearest_grid=nearest_grid) for path in paths]
    truth_map = reading.read_labels(truth, nearest_grid=nearest_grid) if truth is not None else None
    label_map = reading.read_labels(labels, nearest_grid=nearest_grid) if labels is not None else None
    if model is not None:
        from ctseg_models.bundles import store

        bundle = store.find(model)
    for volume, path in zip(volumes, paths, strict=True):
        for remark in volume.notes:
            note(f"{path}: {remark}")

    import napari

    from napari_ctseg import desk, display
    from napari_ctseg.layers import show_volume

    with display.screen() as is_real:
        viewer = napari.Viewer(title="CT segmentation")
        desk.lay_out(viewer, volumes[0], desk.stem_of(paths[0]), truth_map, label_map)
        for volume, path in zip(volumes[1:], paths[1:], strict=True):
            show_volume(viewer, volume, desk.stem_of(path))
        docks = desk.open_docks(viewer, "Run model" if model is not None else "Compare" if truth is not None else "Window")
        if model is not None:
            docks["Run model"].controller.choose_bundles([bundle.name])
        if not is_real:
            note("There is no display: the viewer opened on a virtual one and closed again.")
            viewer.close()
            return
        napari.run()
