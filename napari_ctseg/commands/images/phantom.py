"""`napari-ctseg phantom`: a data set of procedural phantoms with exact labels."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_ctseg.commands.console import follow, print_result


class PhantomKind(StrEnum):
    """An abdominal CT with four organs, or a brain-like MR with small lesions."""

    abdomen = "abdomen"
    lesions = "lesions"


def phantom(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The folder for dataset.json, imagesTr and labelsTr.")
    ],
    kind: Annotated[
        PhantomKind, typer.Option(help="abdomen: CT, four organs; lesions: MR.")
    ] = PhantomKind.abdomen,
    count: Annotated[
        int, typer.Option(min=1, metavar="N", help="Number of cases; every fifth is for validation.")
    ] = 1,
    size: Annotated[
        str | None, typer.Option(metavar="Z,Y,X", help="Size in voxels; by default a random field of view.")
    ] = None,
    spacing: Annotated[
        str | None, typer.Option(metavar="Z,Y,X", help="Spacing in mm; by default random for each case.")
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0, metavar="S", help="Seed of the first case; the others follow. One seed is one patient."
        ),
    ] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Make phantoms with exact labels, in the Decathlon layout. The same seed is the same anatomy at any
    size and spacing.
    """
    from ctseg_imaging.phantom import dataset_steps

    voxels = None if size is None else tuple(int(number) for number in _three(size, "--size", whole=True))
    spacing_mm = None if spacing is None else _three(spacing, "--spacing")
    print_result(
        str(follow(dataset_steps(out, kind.value, count, voxels, spacing_mm, seed, overwrite=overwrite)))
    )


def _three(text: str, option: str, *, whole: bool = False) -> tuple[float, float, float]:
    """Three positive numbers from "z,y,x"; a usage error names what is expected."""
    try:
        z, y, x = (int(part) if whole else float(part) for part in text.split(","))
    except ValueError as error:
        what = "whole numbers" if whole else "numbers"
        raise typer.BadParameter(
            f"give three {what} z,y,x with commas, not {text!r}", param_hint=option
        ) from error
    if not all(0 < number < 5000 for number in (z, y, x)):
        raise typer.BadParameter(
            f"give three numbers above 0 and below 5000, not {text!r}", param_hint=option
        )
    return z, y, x
