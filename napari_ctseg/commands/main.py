"""`napari-ctseg`: one verb a file. Importing this module imports no torch, no Qt and no image library; the
verbs do, when they run.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from napari_ctseg.commands.console import CtsegGroup, unforeseen
from napari_ctseg.commands.images.convert import convert
from napari_ctseg.commands.images.demo import demo
from napari_ctseg.commands.images.info import info
from napari_ctseg.commands.images.open import open_command
from napari_ctseg.commands.images.phantom import phantom
from napari_ctseg.commands.models.bundle import app as bundle
from napari_ctseg.commands.models.calibrate import calibrate
from napari_ctseg.commands.models.crossval import crossval
from napari_ctseg.commands.models.recipes import recipes
from napari_ctseg.commands.models.stack import stack
from napari_ctseg.commands.models.train import train
from napari_ctseg.commands.results.evaluate import evaluate
from napari_ctseg.commands.results.predict import predict
from napari_ctseg.commands.results.predict_options import PredictCommand
from napari_ctseg.commands.results.report import report

app = typer.Typer(
    cls=CtsegGroup,
    name="napari-ctseg",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"napari-ctseg {version('napari-ctseg')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option("-v", "--verbose", help="Show the traceback of an error; may also follow the verb."),
    ] = False,
) -> None:
    """CT and MR segmentation from the terminal: inspect, convert, predict, evaluate, train."""


app.command("demo")(demo)
app.command("open")(open_command)
app.command("info")(info)
app.command("convert")(convert)
app.command("predict", cls=PredictCommand)(predict)
app.command("evaluate")(evaluate)
app.command("train")(train)
app.command("crossval")(crossval)
app.command("stack")(stack)
app.command("calibrate")(calibrate)
app.command("report")(report)
app.command("recipes")(recipes)
app.command("phantom")(phantom)
app.add_typer(bundle, name="bundle")


def run() -> None:
    """The command, in a child process where its verb needs one; see supervised.py."""
    from napari_ctseg.commands import supervised

    supervised.run()


def run_here() -> None:
    """The command in this process."""
    from ctseg_models.process_memory import prepare_process

    prepare_process()
    try:
        app(prog_name="napari-ctseg")
    except Exception as error:  # noqa: BLE001 - a fault of ours: a sentence, and the traceback with -v
        unforeseen(error, sys.argv[1:])


if __name__ == "__main__":
    run()
