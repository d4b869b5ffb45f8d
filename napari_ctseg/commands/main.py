"""`napari-ctseg`: one verb a file. Importing this module imports no torch, no Qt and no image library; the verbs do, when they run."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from napari_ctseg.commands.console import CtsegGroup

app = typer.Typer(cls=CtsegGroup, name="napari-ctseg", no_args_is_help=True, add_completion=False, rich_markup_mode=None,
                  pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]})

VERBS = ("demo", "open", "info", "convert", "predict", "evaluate", "train", "recipes", "phantom", "bundle")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"napari-ctseg {version('napari-ctseg')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show the traceback behind a sentence; also after the verb.")] = False,
) -> None:
    """CT segmentation from the terminal: look, convert, predict, evaluate, train. The viewer's docks do the same by mouse."""


for _verb in VERBS:
    try:
        _module = importlib.import_module(f"napari_ctseg.commands.{_verb}")
    except ModuleNotFoundError:
        continue
    if isinstance(getattr(_module, "app", None), typer.Typer):
        app.add_typer(_module.app, name=_verb)
    else:
        app.command(_verb)(getattr(_module, f"{_verb}_command", None) or getattr(_module, _verb))


def run() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    run()
