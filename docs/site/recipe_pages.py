"""The page of recipes, made from their schema."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

HEAD = """# Recipes

A recipe is a YAML file that specifies which network is trained on what, how, and for how long. `napari-ctseg
recipes` lists those that ship with the project and `napari-ctseg recipes NAME` prints one with its comments,
a start for your own. Unknown fields are refused. `--set optimiser.learning_rate=0.001` changes a single
field.

Arrays and triples run (z, y, x); every length is in mm unless its name contains voxels.
"""


def recipes_page() -> str:
    """Markdown: the shipped recipes, then every field."""
    from ctseg_training.recipes import Recipe, list_recipes

    lines = [HEAD, "## Shipped recipes", "", "| recipe | |", "|---|---|"]
    lines += [f"| `{name}` | {_cell(text)} |" for name, text in list_recipes().items()]
    for model in _models(Recipe):
        lines += ["", *_section(model)]
    return "\n".join(lines) + "\n"


def _models(root: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and all that its fields are made of, each once."""
    found: list[type[BaseModel]] = []

    def visit(model: type[BaseModel]) -> None:
        if model in found:
            return
        found.append(model)
        for field in model.model_fields.values():
            for inner in _inner(field.annotation):
                visit(inner)

    visit(root)
    return found


def _inner(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _inner(part)


def _section(model: type[BaseModel]) -> list[str]:
    lines = [f"## {model.__name__}", "", " ".join((inspect.getdoc(model) or "").split()), ""]
    if model.model_fields:
        lines += ["| field | type | default |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        lines.append(f"| `{name}` | {_cell(_type(field))} | {_cell(_default(field))} |")
    return lines


def _type(field: Any) -> str:
    """The type in words a reader of YAML knows, with the range of a number."""
    limits = [_limit(rule) for rule in field.metadata]
    return " ".join([_words(field.annotation), *(limit for limit in limits if limit)])


def _words(annotation: Any) -> str:
    arguments = get_args(annotation)
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    if annotation is type(None):
        return "null"
    origin = getattr(annotation, "__origin__", None)
    name = str(annotation)
    if name.startswith("typing.Literal"):
        return ", ".join(str(one) for one in arguments)
    if name.startswith("typing.Annotated"):
        limits = [limit for rule in arguments[1:] if (limit := _limit(rule))]
        return " ".join([_words(arguments[0]), *limits])
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"list of ({_words(arguments[0])})"
        return f"{len(arguments)} x ({_words(arguments[0])})"
    if origin is dict:
        return f"mapping of {_words(arguments[0])} to {_words(arguments[1])}"
    if arguments:
        return " or ".join(dict.fromkeys(_words(one) for one in arguments))
    return {"int": "integer", "float": "number", "str": "text", "bool": "true or false"}.get(
        getattr(annotation, "__name__", ""), name
    )


def _limit(rule: Any) -> str:
    """ "> 0" and the like; also the rules inside of a pydantic Field."""
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "a multiple of"}
    inside = [_limit(one) for one in getattr(rule, "metadata", ())]
    own = [
        f"{sign} {getattr(rule, key)}" for key, sign in signs.items() if getattr(rule, key, None) is not None
    ]
    return ", ".join(part for part in (*own, *inside) if part)


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    default = field.default if field.default is not PydanticUndefined else field.default_factory()
    if isinstance(default, BaseModel):
        return "its own defaults" if default == _made(type(default)) else _flow(default)
    if default is None:
        return "null"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple | dict) and not default:
        return "empty"
    return str(list(default)) if isinstance(default, tuple) else str(default)


def _made(model: type[BaseModel]) -> BaseModel | None:
    return None if any(field.is_required() for field in model.model_fields.values()) else model()


def _flow(value: BaseModel) -> str:
    return ", ".join(f"{key}: {one}" for key, one in value.model_dump(mode="json").items())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
