"""`$` expressions of MONAI configs, interpreted: arithmetic and choices over plain data. Nothing here calls `eval`."""

from __future__ import annotations

import ast
import operator
import posixpath
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

LONGEST = 4000  # characters of an expression
MOST_WORK = 1_000_000  # of all expressions of a config: their characters, and the entries looked at; an honest one takes some 10,000
MOST_DIGITS = 100  # of round: 10 to that many is computed
LARGEST_NUMBER = 1e15
LARGEST_SEQUENCE = 4096
REFERENCE = re.compile(r"@\w*(?:(?:#|::)\w*)*")
_PLACE = "_reference_{}_"

_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Is: operator.is_, ast.IsNot: operator.is_not, ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b}
_SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}
# Nothing that reaches beyond its arguments. There is no GPU as far as a config goes: the person chooses the device, not the bundle.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": len, "int": int, "float": float, "str": str, "bool": bool, "abs": abs, "round": lambda *given: _round(*given),
    "min": min, "max": max, "sum": sum, "list": list, "tuple": tuple, "sorted": sorted, "range": lambda *ends: _range(*ends),
    "any": any, "all": all, "torch.device": lambda name="cpu", *_: str(name), "torch.cuda.is_available": lambda: False,
    "torch.cuda.device_count": lambda: 0, "os.path.join": posixpath.join, "os.path.basename": posixpath.basename}
_NUMBER_TYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "bool")
NAMES: dict[str, Any] = {f"{module}.{name}": name for module in ("torch", "numpy", "np") for name in _NUMBER_TYPES}
NAMES |= {f"monai.utils.{module}CommonKeys.{name.upper()}": name for module in ("", "enums.") for name in ("image", "label", "pred")}
_LOOP = "it runs a loop"
_IN_WORDS: dict[type[ast.expr], str] = {
    ast.Lambda: "it makes a function", ast.ListComp: _LOOP, ast.SetComp: _LOOP, ast.DictComp: _LOOP, ast.GeneratorExp: _LOOP,
    ast.Call: "it calls a function with named arguments", ast.JoinedStr: "it formats a text", ast.Starred: "it unpacks a list",
    ast.NamedExpr: "it sets a variable", ast.Await: "it waits for something", ast.Yield: "it makes a function"}


class NotPlainError(ValueError):
    """An expression beyond what is interpreted here; its message says what."""


@dataclass
class Work:
    """What the expressions of one config may still take together."""

    left: int = MOST_WORK

    def spend(self, steps: int) -> None:
        """Raises NotPlainError when there is none left."""
        self.left -= steps
        if self.left < 0:
            raise NotPlainError("the config's expressions take longer than any honest ones")


def evaluate(expression: str, look_up: Callable[[str], Any], work: Work) -> Any:
    """The value of an expression without its `$`. look_up : gives what `@id` refers to. work : is spent.

    Raises NotPlainError for everything but constants, lists, tuples, dicts, arithmetic, comparisons, conditions, subscripts, and calls of
    a few functions of plain data; look_up's own errors come through. What is no plain data (a component) may be named, chosen, and put
    into lists that are joined; nothing is computed with it.
    """
    work.spend(len(expression))
    tree, references = parse(expression)
    values = {_PLACE.format(number): reference for number, reference in enumerate(references)}
    try:
        return _value(tree, lambda name: _small(look_up(values[name]), work) if name in values else _named(name), work)
    except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
        if isinstance(error, NotPlainError):
            raise
        raise NotPlainError(f"it fails ({error})") from error


def parse(expression: str) -> tuple[ast.expr, list[str]]:
    """The syntax tree of an expression, `@id` replaced by names, and the ids. Raises NotPlainError when it is none."""
    if len(expression) > LONGEST:
        raise NotPlainError("it is longer than any honest expression")
    references: list[str] = []

    def name(match: re.Match[str]) -> str:
        references.append(match.group()[1:])
        return _PLACE.format(len(references) - 1)

    try:
        return ast.parse(REFERENCE.sub(name, expression).strip(), mode="eval").body, references
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotPlainError("it is no expression") from error


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
            return _small(constant, work)
        case ast.Name(id=name):
            return look_up(name)
        case ast.Attribute():
            return _named(dotted(node) or "an attribute of a value")
        case ast.List(elts=parts):
            return _small([value(part) for part in parts], work)
        case ast.Tuple(elts=parts):
            return _small(tuple(value(part) for part in parts), work)
        case ast.Dict(keys=keys, values=parts):
            if any(key is None for key in keys):
                raise NotPlainError("it unpacks a dictionary")
            return _small({value(key): value(part) for key, part in zip(keys, parts, strict=True) if key is not None}, work)
        case ast.UnaryOp(op=sign, operand=part) if type(sign) in _SIGNS:
            return _SIGNS[type(sign)](_data(value(part), work))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _ARITHMETIC:
            return _calculate(sign, value(left), value(right), work)
        case ast.BoolOp(op=ast.And(), values=parts):
            return _first(parts, value, work, stop=False)
        case ast.BoolOp(op=ast.Or(), values=parts):
            return _first(parts, value, work, stop=True)
        case ast.IfExp(test=test, body=body, orelse=otherwise):
            return value(body) if _data(value(test), work) else value(otherwise)
        case ast.Compare(left=left, ops=signs, comparators=parts) if all(type(sign) in _COMPARISONS for sign in signs):
            chain = [_data(value(part), work) for part in (left, *parts)]
            return all(_COMPARISONS[type(sign)](a, b) for sign, a, b in zip(signs, chain, chain[1:], strict=False))
        case ast.Subscript(value=part, slice=ast.Slice(lower=low, upper=high, step=step)):
            ends = [None if end is None else value(end) for end in (low, high, step)]
            return _plain_container(value(part))[slice(*ends)]
        case ast.Subscript(value=part, slice=index):
            return _plain_container(value(part))[value(index)]
        case ast.Call(func=function, args=parts, keywords=[]) if not any(isinstance(part, ast.Starred) for part in parts):
            name = dotted(function) or "what an expression gives"
            if name not in FUNCTIONS:
                raise NotPlainError(f"it calls {_readable(name)}")
            return _small(FUNCTIONS[name](*(_data(value(part), work) for part in parts)), work)
    raise NotPlainError(_IN_WORDS.get(type(node), "it is more than plain arithmetic"))


def _readable(name: str) -> str:
    return re.sub(r"_reference_\d+_\.(.*)", r"\1 of a part of the config", name)


def _first(parts: Sequence[ast.expr], value: Callable[[ast.expr], Any], work: Work, *, stop: bool) -> Any:
    """Python's `or` (stop at what is true) and `and` (stop at what is false)."""
    last: Any = None
    for part in parts:
        last = value(part)
        if bool(_data(last, work)) == stop:
            return last
    return last


def _calculate(sign: ast.operator, a: Any, b: Any, work: Work) -> Any:
    """Arithmetic that cannot grow without bounds: `%` on texts and long repetitions are refused before they are made."""
    if isinstance(a, str) and isinstance(sign, ast.Mod):
        raise NotPlainError("it formats a text")
    for one, other in ((a, b), (b, a)):
        if isinstance(sign, ast.Mult) and isinstance(one, (str, list, tuple)) and len(one) * abs(int(other)) > LARGEST_SEQUENCE:
            raise NotPlainError("it makes something huge")
    joined = isinstance(sign, ast.Add) and isinstance(a, list) and isinstance(b, list)
    return _small(a + b if joined else _ARITHMETIC[type(sign)](_data(a, work), _data(b, work)), work)


def _range(*ends: Any) -> list[int]:
    numbers = range(*ends)
    if len(numbers) > LARGEST_SEQUENCE:
        raise NotPlainError("it makes something huge")
    return list(numbers)


def _round(number: Any, digits: Any = None) -> Any:
    if digits is not None and abs(digits) > MOST_DIGITS:
        raise NotPlainError("it rounds to more digits than a number has")
    return round(number, digits)


def _plain_container(thing: Any) -> Any:
    if not isinstance(thing, (str, list, tuple, dict)):
        raise NotPlainError(f"it takes a part of a {type(thing).__name__}")
    return thing


def _data(thing: Any, work: Work) -> Any:
    """`thing`, when it can be computed with: a component is never built here, so there is nothing to compare or to count."""
    stack = [thing]
    while stack:
        one = stack.pop()
        if one is not None and not isinstance(one, (bool, int, float, str, list, tuple, dict)):
            raise NotPlainError("it computes with a part of the config")
        stack.extend(_inside(one, work))
    return thing


def _small(thing: Any, work: Work) -> Any:
    """`thing` as it is; huge numbers and containers (counted with all that is in them, shared or not) are refused."""
    stack, count = [thing], 0
    while stack:
        one = stack.pop()
        count += len(one) if isinstance(one, str) else 1
        if count > LARGEST_SEQUENCE:
            raise NotPlainError("it makes something huge")
        if isinstance(one, (int, float)) and abs(one) > LARGEST_NUMBER and abs(one) != float("inf"):
            raise NotPlainError("it has a huge number")
        if isinstance(one, (bytes, complex)) or one is Ellipsis:
            raise NotPlainError(f"it has a {type(one).__name__}")
        stack.extend(_inside(one, work))
    return thing


def _inside(thing: Any, work: Work) -> Collection[Any]:
    """The entries of a container, names included; nothing in anything else."""
    inside = (*thing, *thing.values()) if isinstance(thing, dict) else thing if isinstance(thing, (list, tuple)) else ()
    work.spend(len(inside))
    return inside
