"""`napari-ctseg recipes`: list and print the training recipes."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_ctseg.commands.console import print_json, print_result


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="Print this recipe with its comments, as a template for your own."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the training recipes, or print one."""
    from ctseg_training.recipes import list_recipes, load_recipe, recipe_text

    if name is not None:
        if json:
            print_json(load_recipe(name).model_dump(mode="json"))
        else:
            print_result(recipe_text(name).rstrip())
        return
    listed = list_recipes()
    if json:
        print_json(listed)
        return
    width = max(len(one) for one in listed)
    for one, description in listed.items():
        print_result(f"{one:<{width}}  {description}")
