"""The dataset.json of a data set: the names of the labels, and which labels were contoured in which case.

Medical Segmentation Decathlon and nnU-Net v1 write {"labels": {"1": "liver"}}, nnU-Net v2 {"labels":
{"liver": 1}}. `labels_present` is an extension of this project: {case: [names]}, or a list in the entry of a
case.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ctseg_imaging.endings import case_name
from ctseg_imaging.errors import FormatError

NAME = "dataset.json"
CASE_LISTS = ("training", "validation")
LARGEST = 64 * 2**20  # bytes; the description of thousands of cases has a few MB


@dataclass(frozen=True)
class DatasetJson:
    """The labels of a dataset.json.

    names : {value: name}, background included where it is listed. present : {case: names of the labels that
    were contoured in it}, for the cases that list them.
    """

    path: Path
    names: Mapping[int, str]
    present: Mapping[str, tuple[str, ...]]


def near(folder: Path) -> DatasetJson | None:
    """The description in `folder` or in the folder above; None if neither has one.

    Raises FormatError if it is damaged.
    """
    for place in (folder, folder.absolute().parent):
        path = place / NAME
        if path.is_file():
            return read(path)
    return None


def read(path: Path) -> DatasetJson:
    """Read a dataset.json.

    Raises FormatError if it is not valid JSON or its labels are neither of the known forms.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error}).") from error
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)  # the label maps of one folder share a description that may list thousands of cases
def _read(path: Path, changed: int, size: int) -> DatasetJson:
    fields = read_json_object(path)
    try:
        names = label_names(fields.get("labels") or {})
    except (TypeError, ValueError) as error:
        raise FormatError(
            f'{path}: "labels" is neither {{"1": "liver"}} nor {{"liver": 1}}; correct it.'
        ) from error
    try:
        present = {str(case): _texts(listed) for case, listed in _present(fields)}
    except TypeError as error:
        raise FormatError(f'{path}: "labels_present" is not a list of names by case; correct it.') from error
    return DatasetJson(path, names, present)


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON file whose content is an object. Raises FormatError."""
    try:
        if path.stat().st_size > LARGEST:
            raise FormatError(
                f"{path}: has more than {LARGEST // 2**20} MB, too much for a description; move it away."
            )
        fields = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path}: cannot be read as JSON; correct it or move it away.") from error
    if not isinstance(fields, dict):
        raise FormatError(f"{path}: is not a JSON object; correct it or move it away.")
    return fields


def label_names(labels: Mapping[str, Any]) -> dict[int, str]:
    """{value: name} from either form. nnU-Net's regions are lists of values: those of one value name it,
    larger ones name no value and are left out. Raises TypeError or ValueError for anything else.
    """
    if not isinstance(labels, Mapping):
        raise TypeError(labels)
    if all(_is_value(key) for key in labels):
        return {int(key): _text(name) for key, name in labels.items()}
    names = {}
    for name, value in labels.items():
        values = value if isinstance(value, list) else [value]
        if not all(_is_value(one) for one in values):
            raise ValueError(value)
        if len(values) == 1:
            names[int(values[0])] = str(name)
    return names


def _present(fields: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """(case, names) from the table by case and from the entries of the case lists."""
    table = fields.get("labels_present")
    if isinstance(table, Mapping):
        yield from table.items()
    for listed in CASE_LISTS:
        entries = fields.get(listed)
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and "labels_present" in entry and "label" in entry:
                yield case_name(Path(str(entry["label"]))), entry["labels_present"]


def _is_value(given: Any) -> bool:
    """Whether it is a label's value: a whole number, or one as text."""
    return (isinstance(given, int) and not isinstance(given, bool)) or (
        isinstance(given, str) and given.strip().isdecimal()
    )


def _text(name: Any) -> str:
    if isinstance(name, Mapping | list):
        raise TypeError(name)
    return str(name)


def _texts(names: Any) -> tuple[str, ...]:
    if isinstance(names, str | Mapping) or not isinstance(names, Iterable):
        raise TypeError(names)
    return tuple(str(name) for name in names)
