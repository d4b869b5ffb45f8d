"""`$` expressions of MONAI configs, interpreted: arithmetic and choices over plain data, without `eval`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from typing import Any

from ctseg_models.bundles.monai.config.calculation import (
    ARITHMETIC,
    COMPARISONS,
    FUNCTIONS,
    SIGNS,
    NotPlainError,
    _plain_container,
    calculate,
    called,
    plain_data,
    small,
)
from ctseg_models.bundles.monai.config.work import TooMuchWorkError, Work, weight

LONGEST = 4000  # characters of an expression
REFERENCE = re.compile(r"@\w*(?:(?:#|::)\w*)*")
_PLACE = "_reference_{}_"
_NUMBER_TYPES = (
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "bool",
)
NAMES: dict[str, Any] = {
    f"{module}.{name}": name for module in ("torch", "numpy", "np") for name in _NUMBER_TYPES
}
NAMES |= {
    f"monai.utils.{module}CommonKeys.{name.upper()}": name
    for module in ("", "enums.")
    for name in ("image", "label", "pred")
}
_LOOP = "it runs a loop"
_IN_WORDS: dict[type[ast.expr], str] = {
    ast.Lambda: "it makes a function",
    ast.ListComp: _LOOP,
    ast.SetComp: _LOOP,
    ast.DictComp: _LOOP,
    ast.GeneratorExp: _LOOP,
    ast.Call: "it calls a function with named arguments",
    ast.JoinedStr: "it formats a text",
    ast.Starred: "it unpacks a list",
    ast.NamedExpr: "it sets a variable",
    ast.Await: "it waits for something",
    ast.Yield: "it makes a function",
}


def evaluate(expression: str, look_up: Callable[[str], Any], work: Work) -> Any:
    """The value of an expression without its `$`. look_up : gives what `@id` refers to. work : is spent.

    Raises NotPlainError for everything but constants, lists, tuples, dicts, arithmetic, comparisons,
    conditions, subscripts, and calls of a few functions of plain data; look_up's own errors are raised as
    they are. Components may be named, chosen, and put into lists that are joined; nothing is computed with
    them.
    """
    tree, references = parse(expression)
    values = {_PLACE.format(number): reference for number, reference in enumerate(references)}
    try:
        work.spend(weight(expression))
        return _value(
            tree, lambda name: small(look_up(values[name]), work) if name in values else _named(name), work
        )
    except TooMuchWorkError as error:
        raise NotPlainError("the config's expressions take longer than those of any real config") from error
    except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
        if isinstance(error, NotPlainError):
            raise
        raise NotPlainError(f"it fails ({error})") from error


def parse(expression: str) -> tuple[ast.expr, list[str]]:
    """The syntax tree of an expression, `@id` replaced by names, and the ids.

    Raises NotPlainError if it cannot be parsed.
    """
    if len(expression) > LONGEST:
        raise NotPlainError("it is longer than any real expression")
    references: list[str] = []

    def name(match: re.Match[str]) -> str:
        references.append(match.group()[1:])
        return _PLACE.format(len(references) - 1)

    try:
        return ast.parse(REFERENCE.sub(name, expression).strip(), mode="eval").body, references
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotPlainError("it is not an expression") from error


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name or of attributes of one; "" for anything else."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join((node.id, *reversed(names))) if isinstance(node, ast.Name) else ""


def _named(name: str) -> Any:
    if name not in NAMES:
        raise NotPlainError(f"it uses {name}")
    return NAMES[name]


def _value(node: ast.expr, look_up: Callable[[str], Any], work: Work) -> Any:
    def value(part: ast.expr) -> Any:
        return _value(part, look_up, work)

    match node:
        case ast.Constant(value=constant):
            return small(constant, work)
        case ast.Name(id=name):
            return look_up(name)
        case ast.Attribute():
            return _named(dotted(node) or "an attribute of a value")
        case ast.List(elts=parts):
            return small([value(part) for part in parts], work)
        case ast.Tuple(elts=parts):
            return small(tuple(value(part) for part in parts), work)
        case ast.Dict(keys=keys, values=parts):
            if any(key is None for key in keys):
                raise NotPlainError("it unpacks a dictionary")
            return small(
                {value(key): value(part) for key, part in zip(keys, parts, strict=True) if key is not None},
                work,
            )
        case ast.UnaryOp(op=sign, operand=part) if type(sign) in SIGNS:
            return SIGNS[type(sign)](plain_data(value(part), work))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in ARITHMETIC:
            return calculate(sign, value(left), value(right), work)
        case ast.BoolOp(op=ast.And(), values=parts):
            return _first(parts, value, work, stop=False)
        case ast.BoolOp(op=ast.Or(), values=parts):
            return _first(parts, value, work, stop=True)
        case ast.IfExp(test=test, body=body, orelse=otherwise):
            return value(body) if plain_data(value(test), work) else value(otherwise)
        case ast.Compare(left=left, ops=signs, comparators=parts) if all(
            type(sign) in COMPARISONS for sign in signs
        ):
            chain = [plain_data(value(part), work) for part in (left, *parts)]
            return all(
                COMPARISONS[type(sign)](a, b) for sign, a, b in zip(signs, chain, chain[1:], strict=False)
            )
        case ast.Subscript(value=part, slice=ast.Slice(lower=low, upper=high, step=step)):
            ends = [None if end is None else value(end) for end in (low, high, step)]
            return _plain_container(value(part))[slice(*ends)]
        case ast.Subscript(value=part, slice=index):
            return _plain_container(value(part))[value(index)]
        case ast.Call(func=function, args=parts, keywords=[]) if not any(
            isinstance(part, ast.Starred) for part in parts
        ):
            name = dotted(function) or "what an expression gives"
            if name not in FUNCTIONS:
                raise NotPlainError(f"it calls {_readable(name)}")
            return small(
                called(FUNCTIONS[name], [plain_data(value(part), work) for part in parts], work), work
            )
    raise NotPlainError(_IN_WORDS.get(type(node), "it is more than plain arithmetic"))


def _readable(name: str) -> str:
    return re.sub(r"_reference_\d+_\.(.*)", r"\1 of a part of the config", name)


def _first(parts: Sequence[ast.expr], value: Callable[[ast.expr], Any], work: Work, *, stop: bool) -> Any:
    """Python's `or` (stop at a true value) and `and` (stop at a false one)."""
    last: Any = None
    for part in parts:
        last = value(part)
        if bool(plain_data(last, work)) == stop:
            return last
    return last
