"""Reading recipes: by name (those that ship) or from a file, with single values overridden."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ctseg_imaging.errors import RecipeError
from ctseg_imaging.formats.atomic import write_bytes
from ctseg_training.recipes.schema import Recipe

SHIPPED = Path(__file__).parent


def list_recipes() -> dict[str, str]:
    """The shipped recipes: {name: description}, by name."""
    return {path.stem: load_recipe(path.stem).description for path in sorted(SHIPPED.glob("*.yaml"))}


def recipe_text(name: str) -> str:
    """A recipe as it stands in its file, comments included."""
    return _read(_locate(name))


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A validated recipe. overrides : "key=value" with dots for nesting and YAML values, e.g. "augmentation.mirror=0.5".

    Raises RecipeError, one sentence: no such recipe, no YAML, a field that is unknown, missing or out of range.
    """
    path = _locate(name_or_path)
    try:
        fields = yaml.safe_load(_read(path))
    except yaml.YAMLError as error:
        raise RecipeError(f"{path.name}: not valid YAML ({_first_line(error)}); correct that line.") from error
    if not isinstance(fields, dict):
        raise RecipeError(f"{path.name}: a recipe is a mapping of fields; start from one that `napari-ctseg recipes NAME` prints.")
    for override in overrides:
        _override(fields, override)
    return validate(fields, path.name)


def validate(fields: dict[str, Any], where: str) -> Recipe:
    """The recipe in plain data. where : the name that an error sentence begins with."""
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        raise RecipeError(f"{where}: {'; '.join(_words(one) for one in error.errors()[:3])}.") from error


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write every field, defaults included, so that a later default changes nothing."""
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
    raise RecipeError(f"{name_or_path}: there is no such recipe; {hint}")


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
    for parent in parents:
        fields = fields.setdefault(parent, {})
        if not isinstance(fields, dict):
            raise RecipeError(f"{override!r}: {parent} holds a single value or a list; override it as a whole.")
    fields[last] = value


def _words(error: Any) -> str:
    """One pydantic error in words: where, and what is expected there."""
    where = ".".join(str(part) for part in error["loc"] if part not in ("unet", "scn"))
    if error["type"] == "extra_forbidden":
        return f"{where} is no field of a recipe"
    message = error["msg"].removeprefix("Value error, ").rstrip(".")
    message = message[0].lower() + message[1:]
    shown = isinstance(error["input"], str | int | float) and error["type"] not in ("missing", "value_error")
    given = f" (it is {error['input']!r})" if shown else ""
    return f"{where}: {message}{given}" if where else message


def _first_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else "unreadable"
