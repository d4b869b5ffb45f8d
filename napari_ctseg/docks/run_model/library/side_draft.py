"""The texts of the side file's form, converted from and to the side file's fields."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NORMALISE = {
    "none": "unchanged",
    "range": "window to 0..1",
    "minmax": "min..max to 0..1",
    "max": "divided by the maximum",
    "zscore": "mean 0, SD 1",
    "zscore_nonzero": "mean 0, SD 1 (non-zero values)",
    "fixed": "(v - shift) / scale",
}
KINDS = {"logits": "logits", "probabilities": "probabilities", "labels": "class numbers"}
FORM_FIELDS = {
    "name",
    "modality",
    "labels",
    "channels",
    "spacing",
    "size",
    "orientation",
    "interpolation",
    "patch",
    "multiple_of",
    "output",
}
CHANNEL_FIELDS = {"name", "source", "clip", "normalise", "shift", "scale"}
NEEDED = "is required"


@dataclass(frozen=True)
class MapRow:
    """One class of the network. value : its label value as text, "0" or "" for background; the same value
    twice merges.
    """

    value: str = ""
    name: str = ""


@dataclass(frozen=True)
class ChannelRow:
    """One input channel. source : which image of the volume, 1 is the first. low, high : the window; shift,
    scale : for "fixed".
    """

    name: str = "CT"
    source: str = "1"
    low: str = ""
    high: str = ""
    normalise: str = "none"
    shift: str = ""
    scale: str = ""


@dataclass(frozen=True)
class SideDraft:
    """A side file being written. by_size : three sides in voxels instead of a spacing in mm. sides, patch,
    multiple_of : three numbers, "" for none. further : JSON of what the form has no place for, also of
    channels (in order) and output.
    """

    name: str = ""
    modality: str = "CT"
    channels: tuple[ChannelRow, ...] = (ChannelRow(),)
    by_size: bool = False
    sides: tuple[str, str, str] = ("", "", "")
    orientation: str = "SPL"
    interpolation: str = "linear"
    patch: tuple[str, str, str] = ("", "", "")
    multiple_of: tuple[str, str, str] = ("", "", "")
    kind: str = "logits"
    exclusive: bool = True
    maps: tuple[MapRow, ...] = (MapRow("0", "background"), MapRow("1"))
    further: str = "{}"


def draft_of(guess: Mapping[str, Any]) -> SideDraft:
    """The form's first content, from what the file itself contains, or from a whole side file."""
    output = dict(guess.get("output", {}))
    labels = {int(value): name for value, name in guess.get("labels", {}).items()}
    values = output.pop("classes", None) or [0, *(sorted(labels) or [1])]
    given: list[dict[str, Any]] = guess.get("channels") or [{}]
    names = ["CT"] if len(given) == 1 else [f"channel {number + 1}" for number in range(len(given))]
    channels = tuple(_channel(entry, name) for entry, name in zip(given, names, strict=True))
    kind, exclusive = output.pop("kind", "logits"), bool(output.pop("exclusive", True))
    further = {key: value for key, value in guess.items() if key not in FORM_FIELDS}
    if output:
        further["output"] = output
    beyond = [{key: value for key, value in entry.items() if key not in CHANNEL_FIELDS} for entry in given]
    if any(beyond):
        further["channels"] = beyond
    if unused := {str(value): name for value, name in labels.items() if value not in values}:
        further["labels"] = unused
    multiple = guess.get("multiple_of")
    size = guess.get("size")
    return SideDraft(
        guess.get("name", ""),
        guess.get("modality", "CT"),
        channels,
        size is not None,
        _three(guess.get("spacing") if size is None else size),
        guess.get("orientation", "SPL"),
        guess.get("interpolation", "linear"),
        _three(guess.get("patch")),
        _three((multiple,) * 3 if isinstance(multiple, int) else multiple),
        kind,
        exclusive,
        tuple(
            MapRow("" if value is None else str(value), "background" if not value else labels.get(value, ""))
            for value in values
        ),
        json.dumps(further),
    )


def side_of(draft: SideDraft) -> tuple[dict[str, Any], dict[str, str]]:
    """The side file's content, and what cannot be read of the form, by field ("channels.0",
    "output.classes").
    """
    reading = _Reading()
    side: dict[str, Any] = reading.json("further", draft.further)
    output = {
        **side.get("output", {}),
        "kind": draft.kind,
        "exclusive": draft.exclusive,
        "classes": [
            reading.whole("output.classes", row.value) if row.value.strip() else None for row in draft.maps
        ],
    }
    side |= {
        "name": draft.name.strip(),
        "modality": draft.modality.strip(),
        "labels": _labels(reading, side.get("labels", {}), draft.maps),
        "output": output,
        "orientation": draft.orientation.strip().upper(),
        "interpolation": draft.interpolation,
        "channels": _channels(reading, side.get("channels", []), draft.channels),
    }
    if not draft.name.strip():
        reading.faults["name"] = NEEDED
    _put_sizes(reading, side, draft)
    return side, reading.faults


def _labels(reading: _Reading, further: Mapping[str, str], maps: Sequence[MapRow]) -> dict[str, str]:
    """The names of the label values. further : those that the form has no row for."""
    labels = dict(further)
    for row in maps:
        value = row.value.strip()
        if value.lstrip("0") and (value not in labels or row.name.strip()):
            labels[value] = row.name.strip() or labels.get(value, "")
    nameless = [value for value, name in labels.items() if not name]
    if nameless:
        reading.faults["labels"] = f"the name of label {', '.join(nameless)} {NEEDED}"
    return labels


def _channels(
    reading: _Reading, further: Sequence[dict[str, Any]], rows: Sequence[ChannelRow]
) -> list[dict[str, Any]]:
    """The channels. further : what the form has no place for, of each."""
    if len(further) > len(rows):
        reading.faults["further"] = f"lists {len(further)} channels, but there are {len(rows)}"
    beyond = [*further, *({} for _ in range(len(rows) - len(further)))][: len(rows)]
    return [
        {**entry, **_channel_entry(reading, f"channels.{number}", row)}
        for number, (row, entry) in enumerate(zip(rows, beyond, strict=True))
    ]


def _put_sizes(reading: _Reading, side: dict[str, Any], draft: SideDraft) -> None:
    """Spacing, window and multiples, or a fixed size."""
    key = "size" if draft.by_size else "spacing"
    numbers = reading.three(key, draft.sides, whole=draft.by_size)
    if numbers is None:
        reading.faults.setdefault(key, NEEDED)
    side[key] = numbers
    if draft.by_size:
        return
    if (patch := reading.three("patch", draft.patch, whole=True)) is not None:
        side["patch"] = patch
    if (multiple := reading.three("multiple_of", draft.multiple_of, whole=True)) is not None:
        each = [1 if number is None else number for number in multiple]
        if min(each) < 1:
            reading.faults.setdefault("multiple_of", "must be 1 or more along each axis")
        side["multiple_of"] = each[0] if len(set(each)) == 1 else each


class _Reading:
    """Text to numbers; what is none is kept as a fault of its field."""

    def __init__(self) -> None:
        self.faults: dict[str, str] = {}

    def number(self, field: str, text: str) -> float:
        try:
            return float(text.strip().replace(",", "."))
        except ValueError:
            self.faults[field] = f'"{text.strip()}" is not a number' if text.strip() else NEEDED
            return 0.0

    def whole(self, field: str, text: str) -> int:
        try:
            return int(text.strip())
        except ValueError:
            self.faults[field] = f'"{text.strip()}" is not a whole number' if text.strip() else NEEDED
            return 0

    def three(self, field: str, texts: Sequence[str], *, whole: bool) -> list[float | None] | None:
        """None where all are empty; a single empty one is null: that axis stays as the volume has it."""
        if not any(text.strip() for text in texts):
            return None
        read = self.whole if whole else self.number
        return [read(field, text) if text.strip() else None for text in texts]

    def json(self, field: str, text: str) -> dict[str, Any]:
        try:
            content = json.loads(text or "{}")
        except (json.JSONDecodeError, RecursionError):
            content = None
        if isinstance(content, dict) and all(
            isinstance(content.get(key, {}), dict) for key in ("output", "labels")
        ):
            channels = content.get("channels", [])
            if isinstance(channels, list) and all(isinstance(entry, dict) for entry in channels):
                return content
        self.faults[field] = 'is not a JSON object, such as {"pad": 0}'
        return {}


def _channel(entry: Mapping[str, Any], name: str) -> ChannelRow:
    low, high = entry.get("clip") or ("", "")
    fixed = entry.get("normalise") == "fixed"
    return ChannelRow(
        entry.get("name", name),
        str(int(entry.get("source", 0)) + 1),
        str(low),
        str(high),
        entry.get("normalise", "none"),
        str(entry.get("shift", 0)) if fixed else "",
        str(entry.get("scale", 1)) if fixed else "",
    )


def _channel_entry(reading: _Reading, field: str, row: ChannelRow) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": row.name.strip(),
        "source": reading.whole(field, row.source) - 1,
        "normalise": row.normalise,
    }
    if row.low.strip() or row.high.strip():
        entry["clip"] = [reading.number(field, row.low), reading.number(field, row.high)]
    elif row.normalise == "range":
        reading.faults[field] = "a window needs a lower and an upper end"
    if row.normalise == "fixed":
        entry |= {"shift": reading.number(field, row.shift), "scale": reading.number(field, row.scale)}
    return entry


def _three(values: Sequence[object] | None) -> tuple[str, str, str]:
    a, b, c = ("" if value is None else str(value) for value in values or ("", "", ""))
    return a, b, c
