"""JSON and YAML of a bundle as plain data of limited size, and the paths of files inside the bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ctseg_imaging.errors import BundleError, first_line
from ctseg_models.bundles.monai.config.work import DEEPEST, MOST_ENTRIES, TooMuchWorkError, Work, weight

LARGEST_FILE = 4 * 2**20  # bytes; configs of MONAI's model zoo have less than 50 kB
LONGEST_NAME = 200  # of an entry


def read_plain(path: Path) -> Any:
    """The plain data of a .json or .yaml file, whose size is checked first. Raises BundleError."""
    try:
        if (size := path.stat().st_size) > LARGEST_FILE:
            raise BundleError(
                f"{path}: {size / 2**20:.0f} MB is far more than any config has, so it was not read; get the "
                "bundle again."
            )
        text = path.read_text(encoding="utf-8")
        content = (
            json.loads(text, object_pairs_hook=_no_twins) if path.suffix.lower() == ".json" else _yaml(text)
        )
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: cannot be read; get the bundle again.") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(
            f"{path}: is not readable {path.suffix[1:].upper()} ({first_line(error)}); get the bundle again."
        ) from error
    check_size(content, path)
    return content


def _yaml(text: str) -> Any:
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        """Entries that `<<` brings in twice are kept once, as the last one counts; else they double with
        every level.
        """

        def flatten_mapping(self, node: Any) -> None:
            super().flatten_mapping(node)
            named = {
                key.value if isinstance(key.value, str) else id(key): (key, value)
                for key, value in node.value
            }
            node.value = list(named.values())

    try:
        return yaml.load(text, Loader=Loader)
    except yaml.YAMLError as error:
        raise ValueError(first_line(error)) from error


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A dictionary; raises ValueError for a name given twice, as readers would not agree on which counts."""
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("an entry occurs twice")
    return entries


def check_size(content: Any, path: Path) -> None:
    """Raise BundleError when the content is huge or endless once its aliases are followed (a "YAML bomb")."""
    try:
        _walk(content, path, Work())
    except TooMuchWorkError as error:
        raise BundleError(
            f"{path}: has more than {MOST_ENTRIES} entries or is nested more than {DEEPEST} deep once its "
            "aliases are followed, so it was not read on; get the bundle again."
        ) from error


def _walk(content: Any, path: Path, work: Work) -> None:
    stack = [(content, 0)]
    while stack:
        node, depth = stack.pop()
        work.spend(weight(node))
        if depth > DEEPEST:
            raise TooMuchWorkError
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        stack.extend((child, depth + 1) for child in children)
        if isinstance(node, dict) and not all(
            isinstance(name, int) or (isinstance(name, str) and len(name) <= LONGEST_NAME) for name in node
        ):
            raise BundleError(
                f"{path}: has an entry whose name is neither a number nor a text of at most {LONGEST_NAME} "
                "characters; get the bundle again."
            )


def inside(folder: Path, name: str, path: Path) -> Path:
    """`name` below `folder`, searched in configs/ too. Raises BundleError when it is outside or missing."""
    root = folder.resolve()
    try:
        for candidate in (folder / name, folder / "configs" / name):
            if not (found := candidate.resolve()).is_relative_to(root):
                raise BundleError(
                    f"{path}: names {name}, which lies outside the bundle, so the bundle is refused; get it "
                    "from its author."
                )
            if found.is_file():
                return found
    except (OSError, ValueError) as error:
        raise BundleError(
            f"{path}: names {name[:80]!r}, which cannot be a file; get the bundle again."
        ) from error
    raise BundleError(f"{path}: names {name}, which is missing; get the bundle again.")
