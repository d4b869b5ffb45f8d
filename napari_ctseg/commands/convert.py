"""`napari-ctseg convert`: one volume from a format to another, geometry exact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_ctseg.commands.console import LAYER, NEAREST_GRID, note, refuse_existing, say

if TYPE_CHECKING:
    from ctseg_imaging.volume import LabelMap, Volume


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="NIfTI, NRRD, MetaImage or a DICOM folder.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Its ending decides the format: .nii .nii.gz .nrrd .nhdr .mha .mhd")],
    volume: Annotated[int | None, typer.Option(min=1, metavar="K", help="Which volume of a 4D file, from 1.")] = None,
    series: Annotated[str | None, typer.Option(metavar="K|UID", help="Which DICOM series: its number in the list or its UID.")] = None,
    like: Annotated[Path | None, typer.Option(metavar="FILE", help="Take over the header geometry of this file on the same grid.")] = None,
    labels: Annotated[bool, typer.Option("--labels", help="IN is a label map: whole numbers, kept as such.")] = False,
    layer: Annotated[str | None, typer.Option(metavar="K|NAME", help=LAYER)] = None,
    nearest_grid: Annotated[bool, typer.Option("--nearest-grid", help=NEAREST_GRID)] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it is there.")] = False,
) -> None:
    """Convert between formats. Several volumes or series of equal rank are listed and refused until one is chosen."""
    from ctseg_imaging import formats
    from ctseg_imaging.errors import FormatError
    from ctseg_imaging.formats.atomic import refuse_sources
    from napari_ctseg import reading

    refuse_existing(target, overwrite)
    refuse_sources(target, [source] if like is None else [source, like])
    if labels and series is not None:
        raise FormatError(f"{source}: a DICOM series holds an image; leave out --labels or --series.")
    pattern = reading.read(like, nearest_grid=nearest_grid) if like is not None else None
    item: LabelMap | Volume
    if pattern is not None and formats.kind_of_segmentation(source) is not None:
        item = reading.read_labels(source, volume=volume, segment_layer=layer, like=pattern.geometry)
    elif labels or formats.kind_of_segmentation(source) is not None:
        item = reading.read_labels(source, volume=volume, segment_layer=layer, nearest_grid=nearest_grid)
    else:
        item = reading.read(source, volume=volume, series=series, nearest_grid=nearest_grid)
    formats.write(target, item, like=item if pattern is None else pattern, overwrite=overwrite)
    for remark in item.notes:
        note(f"{source}: {remark}")
    say(str(target))
