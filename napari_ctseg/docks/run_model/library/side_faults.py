"""Where the form of the side file shows a fault, and how."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def by_place(faults: Mapping[str, str], places: Collection[str]) -> dict[str, str]:
    """Faults by the field of the form that shows them; "" is the form as a whole.

    faults : by path in the side file, as "output.classes" (shown at "labels") or "size" (at "spacing").
    places : the form's fields.
    """
    shown: dict[str, list[str]] = {}
    for path, fault in faults.items():
        place = _place(path)
        text = _text(path, fault, place, known=place in places)
        shown.setdefault(place if place in places else "", []).append(text)
    return {place: "; ".join(dict.fromkeys(texts)) for place, texts in shown.items()}


def _place(path: str) -> str:
    first, *rest = path.split(".")
    if first == "output" and rest[:1] == ["classes"]:
        return "labels"
    return "spacing" if first == "size" else first


def _text(path: str, fault: str, place: str, *, known: bool) -> str:
    """The fault, after its path unless the place alone tells what it is about."""
    first, *rest = path.split(".")
    if first == "channels" and rest and rest[0].isdigit():
        return f"Channel {int(rest[0]) + 1}: {fault}"
    if known and (not rest or place == "labels"):
        return fault
    return f"{path}: {fault}".removeprefix(": ")
