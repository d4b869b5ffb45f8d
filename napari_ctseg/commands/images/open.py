"""`napari-ctseg open`: the viewer with layers in their roles and docks in place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_ctseg.commands.console import LAYER, NEAREST_GRID, note


def open_command(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="Files or DICOM folders; the first is the image of the study."
        ),
    ],
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Ground truth: a label map for the first path.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A label map to review and correct.")
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option(metavar="K|UID", help="DICOM series: its number in `info`, or its UID; repeatable."),
    ] = None,
    view_only: Annotated[
        bool,
        typer.Option(
            "--view-only",
            help="Show a tilted, incomplete or uneven DICOM series; it cannot be measured, "
            "segmented or exported.",
        ),
    ] = False,
    truth_layer: Annotated[str | None, typer.Option(metavar="K|NAME", help=LAYER)] = None,
    labels_layer: Annotated[str | None, typer.Option(metavar="K|NAME", help="The same for --labels.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="BUNDLE", help="The model to select in Run model.")
    ] = None,
    nearest_grid: Annotated[bool, typer.Option("--nearest-grid", help=NEAREST_GRID)] = False,
) -> None:
    """Open the viewer with images, labels and docks.

    Everything is read first, so a fault in a file is reported before a window appears.
    """
    from napari_ctseg.compute import reading

    wanted: list[tuple[Path, str | None]] = [(path, None) for path in paths]
    if series:
        if len(paths) > 1:
            raise typer.BadParameter(
                "applies to a single DICOM folder; open the others separately", param_hint="--series"
            )
        wanted = [(paths[0], one) for one in series]
    if view_only and (truth is not None or labels is not None or model is not None):
        raise typer.BadParameter(
            "shows images only; omit --truth, --labels and --model", param_hint="--view-only"
        )
    volumes = [
        reading.read_view_only(path, series=one)
        if view_only
        else reading.read(path, series=one, nearest_grid=nearest_grid)
        for path, one in wanted
    ]
    truth_map, label_map = (
        None
        if path is None
        else reading.read_labels_of(path, volumes[0].geometry, segment_layer=layer, nearest_grid=nearest_grid)
        for path, layer in ((truth, truth_layer), (labels, labels_layer))
    )
    if model is not None:
        from ctseg_models.bundles import store

        bundle = store.find(model)
    sources = [path for path, _ in wanted]
    for item, path in (*zip(volumes, sources, strict=True), (truth_map, truth), (label_map, labels)):
        for remark in () if item is None else item.notes:
            note(f"{path}: {remark}")

    import napari

    from napari_ctseg.files import view, workspace
    from napari_ctseg.viewer import display
    from napari_ctseg.viewer.showing import show_volume

    with display.screen() as is_real:
        viewer = napari.Viewer(title="CT segmentation")
        workspace.lay_out(viewer, volumes[0], workspace.stem_of(paths[0]), truth_map, label_map)
        for volume, (path, _) in zip(volumes[1:], wanted[1:], strict=True):
            show_volume(viewer, volume, workspace.stem_of(path))
        docks = view.open_docks(
            viewer, "Run model" if model is not None else "Compare" if truth is not None else "Window"
        )
        if model is not None:
            docks["Run model"].controller.choose_bundles([bundle.name])
        view.fit_screen(viewer)
        if not is_real:
            note("There is no display; the viewer was opened on a virtual one and closed again.")
            viewer.close()
            return
        napari.run()
