"""`napari-ctseg report`: write the report of a training run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_ctseg.commands.console import print_result


def report(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="The folder given to train with --out.")],
) -> None:
    """Write DIR/report.html and DIR/curves.csv again from the events so far, also during the run."""
    from ctseg_training.record.history import write_csv
    from ctseg_training.record.report import write_report

    print_result(str(write_report(run)))
    print_result(str(write_csv(run)))
