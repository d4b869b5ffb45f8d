"""The entries of a resolved config: components, code, plain values."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Component:
    """What a `_target_` names, with its arguments; never built here."""

    target: str
    arguments: dict[str, Any]
    where: str

    @property
    def name(self) -> str:
        """Its name in MONAI, without the module; the whole target if it is not MONAI's."""
        return self.target.rsplit(".", 1)[-1] if self.target.startswith("monai.") else self.target


@dataclass(frozen=True)
class Code:
    """An expression that only running it would resolve. where : the id in the config. why : what is not plain
    data.
    """

    where: str
    text: str
    why: str


def texts(node: Any) -> Iterator[str]:
    """Every text in plain data."""
    if isinstance(node, str):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from texts(child)


def parts_of(value: Any, without: Container[str] = ()) -> Iterator[Component | Code]:
    """Every Component and Code in a resolved value, each once.

    without : names of components that are skipped with all that is in them.
    """
    stack, seen = [value], set()
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, Component) and one.name in without:
            continue
        if isinstance(one, Component | Code):
            yield one
        if isinstance(one, Component):
            stack.extend(one.arguments.values())
        elif isinstance(one, dict):
            stack.extend(one.values())
        elif isinstance(one, list | tuple):
            stack.extend(one)
