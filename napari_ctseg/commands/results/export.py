"""`napari-ctseg bundle export`: a bundle of this project as TorchScript or ONNX, for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_ctseg.commands.console import print_result


class To(StrEnum):
    """What to write."""

    onnx = "onnx"
    torchscript = "torchscript"


def export(
    name: Annotated[str, typer.Argument(metavar="BUNDLE", help="A name from `bundle list`, or a folder.")],
    to: Annotated[To, typer.Option("--to", help="The format.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="The file; by default BUNDLE.onnx or BUNDLE.ts in this folder."
        ),
    ] = None,
    stage: Annotated[
        str | None, typer.Option(help="Only this stage: localise or segment; by default all.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """The networks of a bundle as ONNX or TorchScript, each with the side file that runs it here. A localiser
    gets a file of its own.
    """
    from ctseg_models.bundles import store
    from ctseg_models.bundles.export import default_name
    from ctseg_models.bundles.export import export as export_bundle

    bundle = store.find(name)
    for path in export_bundle(
        bundle, to.value, out or Path(default_name(bundle, to.value)), stage=stage, overwrite=overwrite
    ):
        print_result(str(path))
