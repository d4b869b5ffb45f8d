"""What is refused in a MONAI bundle whatever the user decides: no real model needs it, and MONAI would run
it.

The list of known attacks is not a security boundary: code that is not on it still runs only after a decision
(trust.py).
"""

from __future__ import annotations

import ast
import configparser
import os
import re
import stat
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles.monai.config.expressions import LONGEST, REFERENCE, dotted

MOST_FILES = 10_000
MODULES = frozenset(
    (
        "subprocess",
        "ctypes",
        "socket",
        "pty",
        "builtins",
        "importlib",
        "pickle",
        "marshal",
        "shutil",
        "code",
        "codeop",
        "runpy",
        "urllib",
        "requests",
        "http",
        "ftplib",
        "smtplib",
        "telnetlib",
        "webbrowser",
        "posix",
        "nt",
        "multiprocessing",
        "signal",
        "winreg",
        "_winapi",
        "pdb",
        "cffi",
        "paramiko",
    )
)
OF_OS = re.compile(
    r"os\.(system|popen|exec\w*|spawn\w*|posix_spawn\w*|startfile|fork\w*|kill\w*|remove\w*|unlink|rmdir|"
    r"rename\w*|replace|truncate|chmod|chown|chroot|symlink|link|putenv|setuid|open)"
)
BUILT_IN = frozenset(
    ("eval", "exec", "compile", "breakpoint", "globals", "locals", "vars", "delattr", "input")
)
ALLOWED_UNDERSCORES = frozenset(("__version__", "__name__"))
_UP = re.compile(r"(?:^|[\\/'\"\s])\.\.(?:[\\/]|$|['\"])")
DATA_KEYS = (
    "dataset_dir",
    "data_dir",
    "datalist",
    "data_list_file_path",
    "data_file_base_dir",
    "dataset",
    "data",
    "datasets",
)
USUAL = frozenset(
    ("scripts", "configs", "models", "docs", "src", "data", "tests")
)  # folders of bundles, whatever else is installed
MODULE_ENDINGS = (".py", ".so", ".pyd")
_LOG_STREAMS = ("sys.stdout", "sys.stderr")


def refuse_strange_files(folder: Path) -> None:
    """Raise BundleError for links to folders, links out of the folder, special files, and endless numbers of
    files.
    """
    root = folder.resolve()
    count = 0
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            count += 1
            path = Path(where) / name
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise BundleError(
                    f"{path}: is a link that leads out of the bundle, so the bundle is refused; put the file "
                    "itself there."
                )
            if path.is_symlink() and path.is_dir():
                raise BundleError(
                    f"{path}: is a link to a folder, which a copy would follow without end, so the bundle is "
                    "refused; put the folder itself there."
                )
            mode = path.stat().st_mode if path.exists() else 0
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise BundleError(
                    f"{path}: is neither a file nor a folder, so the bundle is refused; get it from its "
                    "author."
                )
        if count > MOST_FILES:
            raise BundleError(
                f"{folder}: has more than {MOST_FILES} files, so it is not a bundle; name the bundle's own "
                "folder."
            )


def refuse_stand_ins(folder: Path) -> None:
    """Raise BundleError for modules named like an installed package or one of Python's.

    They would run in its place, although the question to the user names "monai" or "numpy".
    """
    for path in folder.iterdir():
        if path.name.split(".")[0] in _installed() and (path.suffix in MODULE_ENDINGS or _has_modules(path)):
            raise BundleError(
                f"{path}: would replace {path.name.split('.')[0]}, which is installed, so the bundle is "
                "refused; get it from its author."
            )


def _has_modules(folder: Path) -> bool:
    return any(path.suffix in MODULE_ENDINGS for path in folder.rglob("*"))


@lru_cache(maxsize=1)
def _installed() -> frozenset[str]:
    """The top-level names of all modules that are installed here."""
    return frozenset((*sys.stdlib_module_names, *packages_distributions())) - USUAL


def refuse_hostile_config(path: Path, content: dict[str, Any]) -> None:
    """Raise BundleError when a part of a config, used or not, would reach for the system or write outside the
    folder.
    """
    aliases = dict(_imported(content))
    for where, text in _texts(content, ""):
        key = where.rsplit("#", 1)[-1]
        found = None
        if key == "_target_" and not text.startswith("$"):
            found = _forbidden_name(text)
        elif text.startswith("$"):
            found = _forbidden_in(text[1:], aliases)
        if found is not None:
            raise BundleError(
                f'{path}: "{where}" would run {found}, which no model needs, so the bundle is refused; '
                "get it from its author."
            )
        if key == "_mode_" and text == "debug":
            raise BundleError(
                f'{path}: "{where}" would start a debugger, so the bundle is refused; get it from its author.'
            )
        if not set(where.split("#")) & set(DATA_KEYS) and _UP.search(text):
            raise BundleError(
                f'{path}: "{where}" leads out of the bundle\'s folder ({text[:60]}), so the bundle is '
                "refused; "
                "get it from its author."
            )


def refuse_hostile_logging(path: Path) -> None:
    """Raise BundleError when a logging.conf holds more than plain arguments.

    MONAI reads it unasked, and Python evaluates it.
    """
    if not path.is_file():
        return
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{path}: cannot be read as a logging configuration, so the bundle is refused; get it again."
        ) from error
    for section in parser.sections():
        for key in ("args", "kwargs"):
            if (text := parser.get(section, key, fallback="")) and not _plain_arguments(text):
                raise BundleError(
                    f"{path}: {key} of [{section}] is code ({text[:60]}), so the bundle is refused; get it "
                    "from its author."
                )


def _plain_arguments(text: str) -> bool:
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(
        isinstance(
            node, ast.Tuple | ast.List | ast.Dict | ast.Constant | ast.expr_context | ast.UnaryOp | ast.USub
        )
        or dotted_log_stream(node)
        for node in ast.walk(tree)
    )


def dotted_log_stream(node: ast.AST) -> bool:
    """Whether a node is `sys.stdout` or `sys.stderr`, or a part of it."""
    return isinstance(node, ast.expr) and (dotted(node) in _LOG_STREAMS or dotted(node) == "sys")


def _texts(node: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, str):
        yield where, node
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, child in children:
        yield from _texts(child, f"{where}#{name}".lstrip("#"))


def _tree(text: str) -> ast.Module | None:
    """An expression or an import statement; None where Python would not parse it either."""
    if len(text) > LONGEST:
        return None
    try:
        return ast.parse(REFERENCE.sub("_reference_", text).strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _imported(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Names that import statements define, and what they stand for."""
    for _, text in _texts(content, ""):
        tree = _tree(text[1:]) if text.startswith("$") and "import" in text else None
        for node in () if tree is None else ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((alias.asname, alias.name) for alias in node.names if alias.asname)
            elif isinstance(node, ast.ImportFrom):
                yield from (
                    (alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names
                )


def _forbidden_in(text: str, aliases: dict[str, str]) -> str | None:
    tree = _tree(text)
    if tree is None:
        return "something unreadable" if "__" in text or len(text) > LONGEST else None
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute | ast.Name) and (name := dotted(node)):
            first, *rest = name.split(".")
            names = [".".join([aliases.get(first, first), *rest])]
        elif isinstance(node, ast.Attribute):
            names = [f"(...).{node.attr}"]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _underscored(node.value):
            return f'"{node.value[:40]}"'
        for name in names:
            if (found := _forbidden_name(name)) is not None:
                return found
    return None


def _forbidden_name(name: str) -> str | None:
    """The name itself when it reaches for the system."""
    name = name.strip()
    parts = name.split(".")
    if (
        any(_underscored(part) for part in parts)
        or parts[0] in MODULES
        or parts[0] in BUILT_IN
        or OF_OS.fullmatch(name)
    ):
        return name[:80]
    # `glob.os.system`: a module reached through another one
    inner = [
        number
        for number, part in enumerate(parts)
        if number and (part in MODULES - {"code", "signal"} or part == "os")
    ]
    if any(parts[number] != "os" or OF_OS.match(".".join(parts[number:])) for number in inner):
        return name[:80]
    return None


def _underscored(part: str) -> bool:
    return part.startswith("__") and part.endswith("__") and len(part) > 4 and part not in ALLOWED_UNDERSCORES
