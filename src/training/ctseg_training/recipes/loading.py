"""Reading recipes: by name (those that ship) or from a file, with single values overridden."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from ctseg_imaging.errors import RecipeError, first_line
from ctseg_imaging.formats.disk.atomic import write_bytes
from ctseg_training.recipes.schema import Recipe

SHIPPED = Path(__file__).parent
SPELLING = 0.7  # how alike (difflib's ratio) a word must be to count as misspelt


def list_recipes() -> dict[str, str]:
    """The shipped recipes: {name: description}, by name."""
    return {path.stem: load_recipe(path.stem).description for path in sorted(SHIPPED.glob("*.yaml"))}


def recipe_text(name: str) -> str:
    """The text of a recipe's file, comments included."""
    return _read(_locate(name))


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A validated recipe.

    overrides : "key=value" with dots for nesting and YAML values, e.g. "augmentation.mirror=0.5".

    Raises RecipeError: no such recipe, no valid YAML, a field that is unknown, missing or out of range.
    """
    path = _locate(name_or_path)
    try:
        fields = yaml.safe_load(_read(path))
    except yaml.YAMLError as error:
        raise RecipeError(
            f"{path.name}: not valid YAML ({_first_line(error)}); correct that line."
        ) from error
    except (ValueError, RecursionError) as error:  # an impossible date; too deeply nested brackets
        raise RecipeError(f"{path.name}: not valid YAML ({first_line(error)}); correct it.") from error
    if not isinstance(fields, dict):
        raise RecipeError(
            f"{path.name}: a recipe is a mapping of fields; start from one that `napari-ctseg recipes NAME` "
            "prints."
        )
    for override in overrides:
        _override(fields, override)
    return validate(fields, path.name)


def validate(fields: dict[str, Any], where: str) -> Recipe:
    """A recipe from plain data. where : the name at the beginning of an error."""
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        faults = error.errors()
        misspelt = [
            fault for fault in faults if fault["type"] == "extra_forbidden"
        ]  # fields that they leave unset are not separate faults
        raise RecipeError(
            _sentence(f"{where}: {'; '.join(_words(fault) for fault in (misspelt or faults)[:3])}")
        ) from error


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write every field, including defaults, to be independent of later defaults."""
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_bytes(path, text.encode(), overwrite=True)


def _locate(name_or_path: str | Path) -> Path:
    shipped = SHIPPED / f"{name_or_path}.yaml"
    if Path(name_or_path).name == str(name_or_path) and shipped.is_file():
        return shipped
    if (path := Path(name_or_path)).is_file():
        return path
    names = sorted(p.stem for p in SHIPPED.glob("*.yaml"))
    near = get_close_matches(str(name_or_path), names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(names)}, or name a YAML file."
    raise RecipeError(f"{name_or_path}: no such recipe; {hint}")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read as text; check the file and its permissions.") from error


def _override(fields: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise RecipeError(f"{override!r}: an override reads key=value, e.g. optimiser.learning_rate=0.001.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{override!r}: the value is not valid YAML; quote it.") from error
    *parents, last = key.split(".")
    if unknown := _unknown(key.split(".")):
        raise RecipeError(_sentence(f"{override!r}: {unknown}"))
    for parent in parents:
        fields = fields.setdefault(parent, {})
        if not isinstance(fields, dict):
            raise RecipeError(
                f"{override!r}: {parent} holds a single value or a list; override it as a whole."
            )
    fields[last] = value


def _words(error: Any) -> str:
    """One error of pydantic in words: the field and the expected value."""
    path = _without_tags(error["loc"])
    if error["type"] == "extra_forbidden":
        return _no_field(path, _models(error["loc"][:-1]))
    where = ".".join(path)
    message = error["msg"].removeprefix("Value error, ").rstrip(".")
    message = message[0].lower() + message[1:]
    shown = isinstance(error["input"], str | int | float) and error["type"] not in ("missing", "value_error")
    given = f" (it is {error['input']!r})" if shown else ""
    return f"{where}: {message}{given}" if where else message


def _unknown(path: Sequence[str]) -> str:
    """The fault of the field that an override names; empty if it exists or lies below a field that takes any
    key.
    """
    for depth, part in enumerate(path):
        models = _models(path[:depth])
        if part.isdigit():  # of a list, which is overridden as a whole
            return ""
        if models and not any(part in model.model_fields for model in models):
            return _no_field(path[: depth + 1], models, path[depth + 1 :])
    return ""


def _no_field(path: Sequence[str], models: Sequence[type[BaseModel]], rest: Sequence[str] = ()) -> str:
    """path : of the unknown field.

    models : the settings one level up. rest : the path below the field, kept in the suggestion.
    """
    names = list(dict.fromkeys(name for model in models for name in model.model_fields))
    *above, last = path
    fault = f"{'.'.join(path)} is not a field of a recipe"
    if near := get_close_matches(last, names, n=1, cutoff=SPELLING):
        return f"{fault}; did you mean {'.'.join([*above, near[0], *rest])}?"
    elsewhere = dict.fromkeys(
        place for place in _places(Recipe) if place.rpartition(".")[2] == last and place != ".".join(path)
    )
    if elsewhere:
        return f"{fault}; did you mean {' or '.join(list(elsewhere)[:3])}?"
    return f"{fault}; {'.'.join(above) or 'it'} has {', '.join(names)}"


def _models(path: Sequence[str | int]) -> list[type[BaseModel]]:
    """The settings that can stand at a path of pydantic (fields, list indices, tags of a union); none where
    any key may stand.
    """
    models: list[type[BaseModel]] = [Recipe]
    for part in path:
        if isinstance(part, int):
            continue
        if tagged := [model for model in models if part in _tags(model)]:
            models = tagged
        else:
            models = [
                inner
                for model in models
                if part in model.model_fields
                for inner in _inner(model.model_fields[part].annotation)
            ]
    return models


def _without_tags(path: Sequence[str | int]) -> list[str]:
    """A path of pydantic as a user writes it: the tag of a union ("scn" in network.scn.filters) is not a key
    of the file.
    """
    return [
        str(part)
        for depth, part in enumerate(path)
        if isinstance(part, int)
        or depth == 0
        or not any(part in _tags(model) for model in _models(path[:depth]))
    ]


def _inner(annotation: Any) -> list[type[BaseModel]]:
    """The models inside a type such as `tuple[LossTerm, ...]` or `Elastic | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _inner(part)]


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    kind = model.model_fields.get("kind")
    return get_args(kind.annotation) if kind is not None else ()


def _places(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Every field below a model, with dots for nesting."""
    for name, field in model.model_fields.items():
        yield above + name
        for inner in _inner(field.annotation):
            yield from _places(inner, f"{above}{name}.")


def _sentence(text: str) -> str:
    """On one line, with its full stop; words longer than any field name are cut."""
    text = re.sub(r"(\w{60})\w+", r"\1...", " ".join(text.split()))
    return text if text.endswith("?") else f"{text}."


def _first_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else "unreadable"
