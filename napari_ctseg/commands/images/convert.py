"""`napari-ctseg convert`: one volume from a format to another, geometry exact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_ctseg.commands.console import LAYER, NEAREST_GRID, note, print_result, refuse_existing

if TYPE_CHECKING:
    from ctseg_imaging.volume import LabelMap, Volume


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="NIfTI, NRRD, MetaImage or a DICOM folder.")],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="The ending decides the format: .nii .nii.gz .nrrd .seg.nrrd "
            ".nhdr .mha .mhd; with --like, labels as DICOM SEG (.dcm) "
            "or RTSTRUCT (.rtstruct.dcm).",
        ),
    ],
    volume: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Volume of a 4D file, counted from 1.")
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(
            metavar="K|UID",
            help="DICOM series of IN, or of --like for labels: its number in the list or its UID.",
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Take the header geometry from this file on the same "
            "grid; for .dcm, the DICOM folder of the image.",
        ),
    ] = None,
    labels: Annotated[
        bool,
        typer.Option(
            "--labels",
            help="IN is a label map (integer values); for a DICOM folder, its segmentation.",
        ),
    ] = False,
    layer: Annotated[str | None, typer.Option(metavar="K|NAME", help=LAYER)] = None,
    nearest_grid: Annotated[bool, typer.Option("--nearest-grid", help=NEAREST_GRID)] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
) -> None:
    """Convert between formats. Several volumes or series of equal rank are listed and refused until one is
    chosen.
    """
    from ctseg_imaging import formats
    from ctseg_imaging.errors import FormatError
    from ctseg_imaging.formats.disk.atomic import refuse_sources
    from napari_ctseg.commands.images.series_table import segmentation_in
    from napari_ctseg.compute import reading

    source = segmentation_in(source) if labels else source
    refuse_existing(target, overwrite)
    refuse_sources(target, [source] if like is None else [source, like])
    segmentation = formats.kind_of_segmentation(source) is not None
    if labels and series is not None and like is None:
        raise FormatError(f"{source}: a DICOM series contains an image; omit --labels or --series.")
    if target.name.lower().endswith(formats.DICOM_ENDING) and like is None:
        raise FormatError(
            f"{target}: only labels are written as DICOM, and they refer to a series; give --labels and the "
            "image with --like DICOM_FOLDER."
        )
    pattern = None
    if like is not None:
        pattern = reading.read(
            like, series=series if labels or segmentation else None, nearest_grid=nearest_grid
        )
    item: LabelMap | Volume
    if pattern is not None and segmentation:
        item = reading.read_labels(source, volume=volume, segment_layer=layer, like=pattern.geometry)
    elif labels or segmentation:
        item = reading.read_labels(source, volume=volume, segment_layer=layer, nearest_grid=nearest_grid)
    else:
        item = reading.read(source, volume=volume, series=series, nearest_grid=nearest_grid)
    remarks = formats.write(target, item, like=item if pattern is None else pattern, overwrite=overwrite)
    for remark in item.notes:
        note(f"{source}: {remark}")
    for remark in remarks:
        note(f"{target}: {remark}")
    print_result(str(target))
