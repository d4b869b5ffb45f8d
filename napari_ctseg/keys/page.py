"""The list of keys as HTML and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ctseg_imaging.formats.disk.atomic import atomic_path
from ctseg_imaging.html_pages import rendered
from napari_ctseg.keys.gesture import Gesture, Group, Place

_TEMPLATE = Path(__file__).with_name("page.html.jinja")
NOTE = (
    "The keys of a dock work while the dock is open, in the canvas and in the dock. Keys that napari has for "
    "the selected layer come first."
)
HEAD = "| key | what it does | where |\n|---|---|---|\n"
Groups = list[tuple[Group, list[Gesture]]]


def grouped(gestures: Iterable[Gesture], words: str = "") -> Groups:
    """Headings with their gestures, in the order of `Group`; those alone that contain all of `words`."""
    wanted = words.casefold().split()
    found = [one for one in gestures if all(word in _text(one) for word in wanted)]
    groups = ((group, [one for one in found if one.group is group]) for group in Group)
    return [(group, lines) for group, lines in groups if lines]


def place(gesture: Gesture) -> str:
    """Where it is pressed, and what it replaces there; "" for anywhere."""
    where = "" if gesture.place is Place.WINDOW else str(gesture.place)
    replaced = f"without the plugin it {gesture.instead_of}" if gesture.instead_of else ""
    return "; ".join(filter(None, (where, replaced)))


def as_html(gestures: Iterable[Gesture], words: str = "") -> str:
    """One page without any other file."""
    return rendered(_TEMPLATE, groups=grouped(gestures, words), place=place, note=NOTE)


def as_markdown(gestures: Iterable[Gesture]) -> str:
    """The page of the documentation."""
    parts = [f"# Keys\n\n**F1** shows this list in the viewer, with a filter and a page to print. {NOTE}\n"]
    for group, lines in grouped(gestures):
        rows = [f"| {_code(one)} | {one.does} | {place(one)} |" for one in lines]
        parts.append(f"## {group}\n\n{HEAD}" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def write_html(path: str | Path, gestures: Iterable[Gesture]) -> None:
    """Write the page, replacing what is there. Raises FormatError if it cannot be written."""
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(as_html(gestures), encoding="utf-8")


def _code(gesture: Gesture) -> str:
    return gesture.shown or " or ".join(f"`{key}`" for key in gesture.keys)


def _text(gesture: Gesture) -> str:
    return " ".join((gesture.name, gesture.does, gesture.group, place(gesture))).casefold()
