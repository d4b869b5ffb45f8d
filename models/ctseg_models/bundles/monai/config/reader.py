"""Configs of MONAI bundles as plain data: references, macros, components and simple expressions.

Nothing is executed or imported. In MONAI's syntax, `@a#b` (or `@a::b`) is the value at that place, `@##b` one
named from two levels up, `%a#b` a copy of the text there, `_target_` a component, `_disabled_` a component
that is left out, and a text that begins with `$` an expression.
"""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles.monai.config.calculation import NotPlainError
from ctseg_models.bundles.monai.config.components import Code, Component, texts
from ctseg_models.bundles.monai.config.expressions import REFERENCE, evaluate
from ctseg_models.bundles.monai.config.plain_files import check_size, inside, read_plain
from ctseg_models.bundles.monai.config.work import DEEPEST, MOST_ENTRIES, Work, weight

NOT_ARGUMENTS = ("_target_", "_disabled_", "_requires_", "_desc_", "_mode_")
_RELATIVE = re.compile(r"([@%])(#+)")
_NUMBER = re.compile(
    r"0|[1-9][0-9]{0,8}"
)  # of an entry of a list: one spelling each, so no part is read twice
_OUTSIDE = re.compile(r"%(.+?\.(?:json|yaml|yml))(?:#(.*))?$", re.IGNORECASE)


class _Disabled:
    """A component that its config switches off."""


@dataclass
class Config:
    """One config file. path : for messages; files that its macros name have to be in `folder`."""

    path: Path
    folder: Path
    content: dict[str, Any]
    _known: dict[str, Any] = field(default_factory=dict)
    _extents: dict[int, tuple[int, int]] = field(default_factory=dict)
    _work: Work = field(default_factory=Work)  # of all expressions

    @classmethod
    def read(cls, path: Path, folder: Path) -> Config:
        """From a .json or .yaml file. Raises BundleError."""
        content = read_plain(path)
        if not isinstance(content, dict):
            raise BundleError(f"{path}: holds no named entries; it is not a config of a MONAI bundle.")
        if (strange := next((name for name in content if not isinstance(name, str)), None)) is not None:
            raise BundleError(
                f"{path}: has an entry whose name is not a text ({strange!r:.20}); get the bundle again."
            )
        top = {name: value for name, value in content.items() if "#" not in name and "::" not in name}
        config = cls(path, folder, top)
        for name, value in content.items():
            if name not in top:
                config._replace(name.replace("::", "#"), value)
        check_size(
            config.content, path
        )  # before each walk: an entry "a#b" may repeat what the file repeats by aliases
        config.content = config._without_macros(config.content, "", 0, {})
        check_size(config.content, path)
        return config

    def __contains__(self, name: str) -> bool:
        return name in self.content

    def resolve(self, name: str, _asking: tuple[str, ...] = ()) -> Any:
        """The value at an id ("inferer", "preprocessing#transforms#2"): plain data, Component or Code, in
        lists and dicts.

        Raises BundleError for an id that does not exist or refers to itself, and for a value that is huge
        once its references are followed.
        """
        name = name.replace("::", "#")
        if name in _asking:
            raise BundleError(f'{self.path}: "{name}" refers to itself; the config is damaged.')
        if len(_asking) > DEEPEST:
            raise BundleError(
                f'{self.path}: "{name}" is nested more than {DEEPEST} deep; the config is damaged.'
            )
        if name not in self._known:
            self._known[name] = self._value(self.raw(name), name, (*_asking, name))
            self._extent(self._known[name], name)
        return self._known[name]

    def _extent(self, value: Any, name: str) -> tuple[int, int]:
        """(entries, depth) of a resolved value, where shared parts count at each place.

        Each container is counted once, from its parts: following every reference would take as long as what
        is refused here. Raises BundleError when the value is huge.
        """
        inside = value.arguments if isinstance(value, Component) else value
        if not isinstance(inside, dict | list | tuple):
            return weight(value), 0
        if id(value) not in self._extents:  # kept in _known, so no other value can get its id
            parts = [
                self._extent(one, name) for one in (inside.values() if isinstance(inside, dict) else inside)
            ]
            entries = (
                1
                + sum(count for count, _ in parts)
                + sum(map(weight, inside if isinstance(inside, dict) else ()))
            )
            depth = 1 + max((below for _, below in parts), default=0)
            if entries > MOST_ENTRIES or depth > DEEPEST:
                raise BundleError(
                    f'{self.path}: "{name}" has more than {MOST_ENTRIES} entries or is nested more than '
                    f"{DEEPEST} deep "
                    "once its references are followed, so it was not read on; get the bundle again."
                )
            self._extents[id(value)] = entries, depth
        return self._extents[id(value)]

    def raw(self, name: str) -> Any:
        """The config's entry at an id, as it stands. Raises BundleError."""
        node: Any = self.content
        for part in name.split("#"):
            if isinstance(node, dict) and part in node:
                node = node[part]
            elif isinstance(node, list) and _NUMBER.fullmatch(part) and int(part) < len(node):
                node = node[int(part)]
            else:
                raise BundleError(
                    f'{self.path}: there is no "{name}", which the config refers to; get the bundle again.'
                )
        return node

    def _value(self, node: Any, where: str, asking: tuple[str, ...]) -> Any:
        if isinstance(node, list):
            items = (self.resolve(f"{where}#{number}", asking) for number in range(len(node)))
            return [item for item in items if not isinstance(item, _Disabled)]
        if isinstance(node, dict):
            return self._entries(node, where, asking)
        if not isinstance(node, str):
            return node
        node = absolute(node, where)
        if node.startswith("$"):
            return self._expression(node, where, asking)
        return self.resolve(node[1:], asking) if REFERENCE.fullmatch(node) and len(node) > 1 else node

    def _entries(self, node: dict[str, Any], where: str, asking: tuple[str, ...]) -> Any:
        if "_target_" in node and self._off(node, where, asking):
            return _Disabled()
        values = {name: self.resolve(f"{where}#{name}", asking) for name in node if name not in NOT_ARGUMENTS}
        kept = {name: value for name, value in values.items() if not isinstance(value, _Disabled)}
        if "_target_" not in node:
            return kept
        target = self.resolve(f"{where}#_target_", asking)
        if isinstance(target, Component):
            return Code(where, str(node["_target_"]), "it calls what another part has made")
        if node.get("_mode_", "default") != "default":
            return Code(where, f"{target} with _mode_ {node['_mode_']}", "it is not simply built")
        return target if isinstance(target, Code) else Component(str(target), kept, where)

    def _off(self, node: dict[str, Any], where: str, asking: tuple[str, ...]) -> bool:
        off = self.resolve(f"{where}#_disabled_", asking) if "_disabled_" in node else False
        return (
            off.strip().lower() == "true"
            if isinstance(off, str)
            else off is not False and not isinstance(off, Code) and bool(off)
        )

    def _expression(self, text: str, where: str, asking: tuple[str, ...]) -> Any:
        try:
            return evaluate(text[1:], lambda name: self.resolve(name, asking), self._work)
        except NotPlainError as error:
            return Code(where, text, str(error))

    def _replace(self, name: str, value: Any) -> None:
        """Apply an entry "a#b#c" of the file, which replaces that part of `a`."""
        *before, last = name.split("#")
        node: Any = self.content
        for part in before:
            node = (
                node[int(part)]
                if isinstance(node, list) and _NUMBER.fullmatch(part) and int(part) < len(node)
                else (node.setdefault(part, {}) if isinstance(node, dict) else None)
            )
        if isinstance(node, list) and _NUMBER.fullmatch(last) and int(last) < len(node):
            node[int(last)] = value
        elif isinstance(node, dict):
            node[last] = value
        else:
            raise BundleError(f'{self.path}: "{name}" names no part of the config; get the bundle again.')

    def for_monai(self, folder: Path) -> dict[str, Any]:
        """A copy for MONAI's own parser, without macros, so it has nothing left to read or to resolve from
        elsewhere.
        """
        return {**deepcopy(self.content), "bundle_root": str(folder)}

    def _without_macros(self, node: Any, where: str, depth: int, files: dict[Path, Any]) -> Any:
        """Replace macros by what they name, not copied: nothing changes a config any more. files : those that
        were read.

        Raises BundleError for a macro within what a macro names, which MONAI does not resolve either.
        """
        if depth > DEEPEST:
            raise BundleError(
                f'{self.path}: "{where}" is nested more than {DEEPEST} deep; the config is damaged.'
            )
        if isinstance(node, dict):
            return {
                name: self._without_macros(value, f"{where}#{name}".lstrip("#"), depth + 1, files)
                for name, value in node.items()
            }
        if isinstance(node, list):
            return [
                self._without_macros(value, f"{where}#{number}".lstrip("#"), depth + 1, files)
                for number, value in enumerate(node)
            ]
        if not isinstance(node, str) or not node.startswith("%"):
            return node
        text = absolute(node, where).replace("::", "#")
        if (outside := _OUTSIDE.match(text)) is None:
            return self._plain(self.raw(text[1:]), where)
        path = inside(self.folder, outside.group(1), self.path)
        if path not in files:
            files[path] = read_plain(path)
        content = files[path]
        other = Config(path, self.folder, content if isinstance(content, dict) else {})
        return self._plain(other.raw(outside.group(2)) if outside.group(2) else content, where)

    def _plain(self, node: Any, where: str) -> Any:
        """The value that a macro names. Raises BundleError if a macro is in it."""
        check_size(node, self.path)
        if any(text.startswith("%") for text in texts(node)):
            raise BundleError(
                f'{self.path}: what the macro at "{where}" names holds a macro itself, so the bundle is '
                "refused; "
                "get it from its author."
            )
        return node


def absolute(text: str, where: str) -> str:
    """`@#a` and `@##a` in the entry `where` as ids from the top."""
    levels = where.split("#")

    def at(match: re.Match[str]) -> str:
        above = levels[: max(0, len(levels) - len(match.group(2)))]
        return match.group(1) + "".join(f"{level}#" for level in above)

    return _RELATIVE.sub(at, text.replace("::", "#"))
