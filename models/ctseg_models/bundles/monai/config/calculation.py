"""Arithmetic on plain values, whose work is counted."""

from __future__ import annotations

import ast
import operator
import posixpath
from collections.abc import Callable, Collection, Sequence
from typing import Any

from ctseg_models.bundles.monai.config.work import LONG_TEXT, Work, weight

MOST_DIGITS = 100  # of round: 10 to this power is computed
LARGEST_NUMBER = 1e15
ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
# Nothing that reaches beyond its arguments. A config sees no GPU: the user chooses the device, not the
# bundle.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": len,
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
    "abs": abs,
    "round": lambda *given: _round(*given),
    "min": min,
    "max": max,
    "sum": sum,
    "list": list,
    "tuple": tuple,
    "sorted": sorted,
    "range": range,  # `called` makes it a list
    "any": any,
    "all": all,
    "torch.device": lambda name="cpu", *_: str(name),
    "torch.cuda.is_available": lambda: False,
    "torch.cuda.device_count": lambda: 0,
    "os.path.join": posixpath.join,
    "os.path.basename": posixpath.basename,
}


class NotPlainError(ValueError):
    """An expression that is not supported here; its message names the reason."""


def calculate(sign: ast.operator, a: Any, b: Any, work: Work) -> Any:
    """Arithmetic that cannot grow without bounds: `%` on texts is refused, and what is repeated is counted
    before.
    """
    if isinstance(a, str) and isinstance(sign, ast.Mod):
        raise NotPlainError("it formats a text")
    for one, other in ((a, b), (b, a)):
        if isinstance(sign, ast.Mult) and isinstance(one, (str, list, tuple)):
            length = len(one) * abs(int(other))
            work.spend(length // LONG_TEXT if isinstance(one, str) else length)
    joined = isinstance(sign, ast.Add) and isinstance(a, list) and isinstance(b, list)
    return small(a + b if joined else ARITHMETIC[type(sign)](plain_data(a, work), plain_data(b, work)), work)


def called(function: Callable[..., Any], arguments: Sequence[Any], work: Work) -> Any:
    """What one of FUNCTIONS gives; a range is counted before it becomes a list."""
    found = function(*arguments)
    if isinstance(found, range):
        work.spend(len(found))
        return list(found)
    return found


def _round(number: Any, digits: Any = None) -> Any:
    if digits is not None and abs(digits) > MOST_DIGITS:
        raise NotPlainError("it rounds to more digits than a number has")
    return round(number, digits)


def _plain_container(thing: Any) -> Any:
    if not isinstance(thing, (str, list, tuple, dict)):
        raise NotPlainError(f"it takes a part of a {type(thing).__name__}")
    return thing


def plain_data(thing: Any, work: Work) -> Any:
    """`thing`, if it can be computed with: components are never built here, so they cannot be compared or
    counted.
    """
    stack = [thing]
    while stack:
        one = stack.pop()
        if one is not None and not isinstance(one, (bool, int, float, str, list, tuple, dict)):
            raise NotPlainError("it computes with a part of the config")
        stack.extend(inside_of(one, work))
    return thing


def small(thing: Any, work: Work) -> Any:
    """`thing` itself; huge numbers are refused, and all entries are counted, shared or not."""
    stack = [thing]
    while stack:
        one = stack.pop()
        work.spend(weight(one))
        if isinstance(one, (int, float)) and abs(one) > LARGEST_NUMBER and abs(one) != float("inf"):
            raise NotPlainError("it has a huge number")
        if isinstance(one, (bytes, complex)) or one is Ellipsis:
            raise NotPlainError(f"it has a {type(one).__name__}")
        stack.extend(inside_of(one, work))
    return thing


def inside_of(thing: Any, work: Work) -> Collection[Any]:
    """The entries of a container, names included; none for anything else."""
    inside = (
        (*thing, *thing.values())
        if isinstance(thing, dict)
        else thing
        if isinstance(thing, (list, tuple))
        else ()
    )
    work.spend(len(inside))
    return inside
