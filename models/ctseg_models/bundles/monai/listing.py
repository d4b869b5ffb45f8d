"""What MONAI's own parser could run of a bundle that a user is asked to allow, in every branch.

Which branch MONAI takes depends on the machine (is there a GPU?) and on the bundle's path, so none is left
out.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from typing import Any

from ctseg_models.bundles.monai.building import is_harmless
from ctseg_models.bundles.monai.config.calculation import FUNCTIONS, NotPlainError
from ctseg_models.bundles.monai.config.components import Component, texts
from ctseg_models.bundles.monai.config.expressions import NAMES, REFERENCE, dotted, parse
from ctseg_models.bundles.monai.config.reader import Config, absolute
from ctseg_models.bundles.monai.interpreted.output import IGNORED
from ctseg_models.bundles.monai.interpreted.transforms import NOTHING

_PLAIN = (
    ast.Constant,
    ast.Name,
    ast.Attribute,
    ast.List,
    ast.Tuple,
    ast.Dict,
    ast.UnaryOp,
    ast.BinOp,
    ast.BoolOp,
    ast.IfExp,
    ast.Compare,
    ast.Subscript,
    ast.Slice,
    ast.Call,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
    ast.expr_context,
)


def listed(config: Config, names: Collection[str], networks: Collection[str]) -> dict[str, str]:
    """By its place, every component and expression that `names` could lead to and that is not plain
    arithmetic.

    networks : that are harmless. Raises BundleError for a reference to nothing.
    """
    found: dict[str, str] = {}
    todo: list[tuple[Any, str]] = [(config.raw(name), name) for name in names if name]
    seen: set[str] = set()
    while todo:
        node, where = todo.pop()
        if where in seen:
            continue
        seen.add(where)
        if reason := _reason(node, where, networks):
            found[where] = f'{reason} at "{where}" of {config.path.name}'
        todo += _inside(config, node, where)
    return found


def imports(content: Any) -> Iterator[str]:
    """Every import statement of a config: MONAI's parser runs all of them, also those of unused entries."""
    for text in texts(content):
        if text.startswith("$") and "import" in text:
            try:
                statements = ast.parse(text[1:]).body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                statements = []
            if any(isinstance(statement, ast.Import | ast.ImportFrom) for statement in statements):
                yield text


def _inside(config: Config, node: Any, where: str) -> Iterator[tuple[Any, str]]:
    """The children of a part of the config, and its references."""
    if isinstance(node, dict):
        yield from ((value, f"{where}#{name}") for name, value in node.items())
    elif isinstance(node, list):
        yield from ((value, f"{where}#{number}") for number, value in enumerate(node))
    elif isinstance(node, str):
        text = absolute(node, where)
        for match in (
            REFERENCE.finditer(text) if text.startswith("$") else filter(None, [REFERENCE.fullmatch(text)])
        ):
            if name := match.group()[1:]:
                yield config.raw(name), name


def _reason(node: Any, where: str, networks: Collection[str]) -> str:
    """What to report of this one part, "" if nothing."""
    if isinstance(node, str) and node.startswith("$"):
        why = _not_plain(absolute(node, where)[1:])
        return f"the expression {node[:100]} ({why})" if why else ""
    if not isinstance(node, dict) or "_target_" not in node:
        return ""
    component = Component(str(node["_target_"]), {}, where)
    name = component.name.removeprefix("monai.networks.nets.").removeprefix("nets.")
    if node.get("_mode_", "default") != "default":
        return f"{component.target} with _mode_ {node['_mode_']}, which is not simply built,"
    if is_harmless(component) or name in networks or name in (*NOTHING, *IGNORED):
        return ""
    return f"{component.target}, which is not MONAI's plain arithmetic,"


def _not_plain(expression: str) -> str:
    """Why an expression is more than plain arithmetic in any of its parts; "" if it is not."""
    try:
        tree, _ = parse(expression)
    except NotPlainError as error:
        return str(error)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    of_names = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if not isinstance(node, _PLAIN):
            return "it is more than plain arithmetic"
        if isinstance(node, ast.Call) and (node.keywords or dotted(node.func) not in FUNCTIONS):
            return f"it calls {dotted(node.func) or 'what an expression gives'}"
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in called | of_names:
            name, reference = dotted(node), isinstance(node, ast.Name) and node.id.startswith("_reference_")
            if name not in NAMES and not reference:
                return f"it uses {name or 'an attribute of a value'}"
    return ""
