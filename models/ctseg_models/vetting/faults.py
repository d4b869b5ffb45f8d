"""Pydantic's faults in a user's file as sentences: which key, and what belongs there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

SPELLING = 0.6  # how similar (difflib's ratio) a key must be to count as a misspelling
_KINDS = {
    "tuple": "a list in [ ]",
    "list": "a list in [ ]",
    "dict": "an object in { }",
    "model": "an object in { }",
    "int": "a whole number",
    "float": "a number",
    "string": "a text in quotes",
    "bool": "true or false",
}
_LIMITS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def first_fault(error: ValidationError, model: type[BaseModel]) -> str:
    """The fault to fix first, without a full stop: a misspelt key before the one that is then missing.

    model : the class that was validated.
    """
    faults = error.errors()
    fault = next((one for one in faults if one["type"] == "extra_forbidden"), faults[0])
    if fault["type"] == "int_type" and _is_union(fault["loc"]) and isinstance(fault["input"], list | tuple):
        fault = next(
            one for one in faults if one["loc"][-1] != fault["loc"][-1]
        )  # of a number or a list, the list is what was meant
    path = fault["loc"]
    text = _misspelt(path, model) if fault["type"] == "extra_forbidden" else fault_text(fault, model)
    where = _written(path, model)
    return f"{where}: {text}" if where else text


def fault_text(fault: Any, model: type[BaseModel]) -> str:
    """What is wrong with one value, without its key. fault : an entry of `ValidationError.errors()`."""
    kind, context, path = fault["type"], fault.get("ctx", {}), fault["loc"]
    if kind == "missing":
        return "is missing" if isinstance(path[-1], str) else "is missing; the list is too short"
    if kind in ("too_short", "too_long"):
        return (
            f"has {context['actual_length']} entries where {_bound(context)} "
            f"{'is' if 1 in context.values() else 'are'} wanted"
        )
    if kind in _LIMITS:
        key, words = _LIMITS[kind]
        return f"must be {words} {context[key]:g}{_given(fault)}"
    if kind == "literal_error":
        return f"must be {context['expected']}{_given(fault)}"
    stem = kind.removesuffix("_from_float").partition("_")[0]
    if stem in _KINDS and kind != "value_error":
        several = " or a list in [ ]" if stem == "int" and _is_union(path) else ""
        return f"must be {_KINDS[stem]}{several}{_given(fault)}"
    return str(fault["msg"]).removeprefix("Value error, ").removeprefix("Input ")


def _bound(context: Mapping[str, Any]) -> str:
    return (
        f"at least {context['min_length']}" if "min_length" in context else f"at most {context['max_length']}"
    )


def _given(fault: Any) -> str:
    given = fault["input"]
    if isinstance(given, str):
        return f', not "{given[:40]}"'
    if given is None or isinstance(given, bool):
        return f", not {str(given).lower().replace('none', 'null')}"
    return f", not {given}" if isinstance(given, int | float) else ""


def _misspelt(path: Sequence[str | int], model: type[BaseModel]) -> str:
    names = list(dict.fromkeys(name for one in _models(path[:-1], model) for name in one.model_fields))
    near = get_close_matches(str(path[-1]), names, n=1, cutoff=SPELLING)
    return f'unknown key; did you mean "{near[0]}"' if near else f"unknown key; known are {', '.join(names)}"


def _models(path: Sequence[str | int], model: type[BaseModel]) -> list[type[BaseModel]]:
    """The value at a path."""
    models = [model]
    for part in path:
        if isinstance(part, str):
            models = [
                inner
                for one in models
                if part in one.model_fields
                for inner in _inner(one.model_fields[part].annotation)
            ]
    return models


def _inner(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside a type such as `tuple[Channel, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _inner(part)


def _is_union(path: Sequence[str | int]) -> bool:
    return any(isinstance(part, str) and _is_branch(part) and part != "[key]" for part in path)


def _is_branch(part: str) -> bool:
    """pydantic's name for one of several types that a value may have."""
    return part == "[key]" or part.startswith(("constrained-", "tuple[", "list["))


def _written(path: Sequence[str | int], model: type[BaseModel]) -> str:
    """A path as it reads in the file, lists counted from 0, without pydantic's own entries."""
    return ".".join(
        str(part)
        for depth, part in enumerate(path)
        if isinstance(part, int)
        or not _is_branch(part)
        or any(part in one.model_fields for one in _models(path[:depth], model))
    )
