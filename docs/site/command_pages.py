"""The page of commands, made from the command line itself."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

HEAD = """# Commands

Every verb of `napari-ctseg`, in the order of `napari-ctseg --help`. Results go to stdout; progress and
remarks go to stderr. Exit codes: 0 done, 1 a fault of the input (one sentence on stderr), 2 wrong usage, 130
interrupted. `-v`, before or after the verb, shows the traceback behind a sentence.
"""


def commands_page() -> str:
    """Markdown for all verbs."""
    return "\n".join([HEAD, *(line for path, command in verbs() for line in _section(path, command))])


def verbs() -> Iterator[tuple[str, Any]]:
    """Each verb with its command, those of a group after the group."""
    from typer.main import get_command

    from napari_ctseg.commands.main import app

    group: Any = get_command(app)
    for name in group.commands:
        command = group.commands[name]
        yield name, command
        for inner in getattr(command, "commands", {}):
            yield f"{name} {inner}", command.commands[inner]


def _section(path: str, command: Any) -> list[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and one.name != "help"]
    level = "##" if " " not in path else "###"
    usage = " ".join([f"napari-ctseg {path}", *(one.metavar or one.name.upper() for one in arguments)])
    if getattr(command, "commands", None):
        usage += " VERB"
    lines = [f"{level} {path}", "", " ".join((command.help or "").split()), "", "```sh", usage, "```", ""]
    lines += _table("argument", [(one.metavar or one.name.upper(), one) for one in arguments])
    return lines + _table("option", [(_flags(one), one) for one in options])


def _flags(option: Any) -> str:
    flags = ", ".join([*option.opts, *option.secondary_opts])
    return flags if option.is_flag else f"{flags} {_value(option)}"


def _value(option: Any) -> str:
    """What stands for the value: the metavar, the choices, or the type."""
    if option.metavar:
        return str(option.metavar)
    kind = option.type_descriptor.annotation
    if issubclass(kind, Enum):
        return "|".join(str(choice.value) for choice in kind)
    return {"str": "TEXT", "int": "N", "float": "NUMBER", "Path": "PATH"}[kind.__name__]


def _table(kind: str, rows: list[tuple[str, Any]]) -> list[str]:
    if not rows:
        return []
    lines = [f"| {kind} | |", "|---|---|"]
    for name, parameter in rows:
        text = " ".join((getattr(parameter, "help", "") or "").split()) + _default(parameter)
        lines.append(f"| `{name}` | {text.replace('|', chr(92) + '|')} |")
    return [*lines, ""]


def _default(parameter: Any) -> str:
    default = parameter.default
    if parameter.required or default is None or isinstance(default, bool) or callable(default):
        return " Required." if parameter.required and parameter.param_type_name == "option" else ""
    return f" Default: {getattr(default, 'value', default)}."
