"""Measurements as CSV and JSON, one schema, whole or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from ctseg_imaging.dataset_json import LARGEST, read_json_object
from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.disk.atomic import write_bytes
from ctseg_imaging.measurements.fields import FORMAT, VALUES, VERSION, as_fields, from_fields
from ctseg_imaging.measurements.record import MeasurementRecord

ENDINGS = (".csv", ".json")
LABEL = "label"  # the kind of a line that is about a label
GRID = ("shape_zyx", "affine_lps")
NUMBERS = ("axis", "slice", *VALUES, "value", "volume_ml")
COLUMNS = ("kind", "slice", *VALUES, "unit", "value", "name", "volume_ml", "axis", "points_zyx", *GRID)


def write(path: str | Path, kept: MeasurementRecord, overwrite: bool = False) -> None:
    """Write measurements as .csv or .json, by the ending of `path`.

    CSV has one line per shape and label; each repeats the image's grid, as lists in JSON. Raises FormatError
    for another ending, if there is nothing to write, if `path` exists and `overwrite` is false, or if it
    cannot be written.
    """
    ending = _ending(Path(path))
    if not kept.shapes and not kept.labels:
        raise FormatError(f"{path}: there is nothing to write; measure something first.")
    found = as_fields(kept)
    text = (
        json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        if ending == ".json"
        else _as_csv(found)
    )
    write_bytes(path, text.encode(), overwrite)


def read(path: str | Path) -> MeasurementRecord:
    """Read what `write` wrote, equal to it. Raises FormatError if the file is not one of measurements."""
    path = Path(path)
    found = read_json_object(path) if _ending(path) == ".json" else _csv_fields(path)
    try:
        return from_fields(found)
    except ValueError as error:
        raise FormatError(f"{path}: {error}; correct it or save the measurements again.") from error


def _ending(path: Path) -> str:
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise FormatError(f"{path}: measurements are kept as {' or '.join(ENDINGS)}; end the name in one.")
    return ending


def _as_csv(found: Mapping[str, Any]) -> str:
    grid = {name: json.dumps(found["image"][name]) for name in GRID} | {"unit": found["unit"]}
    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for shape in found["shapes"]:
        writer.writerow(shape | {"points_zyx": json.dumps(shape["points_zyx"])} | grid)
    for label in found["labels"]:
        writer.writerow({"kind": LABEL} | label | grid)
    return text.getvalue()


def _csv_fields(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise FormatError(f"{path}: has more than {LARGEST // 2**20} MB, too much for measurements.")
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns, lines = tuple(reader.fieldnames or ()), list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise FormatError(f"{path}: cannot be read as CSV; correct it or move it away.") from error
    if set(columns) != set(COLUMNS) or not lines:
        raise FormatError(f"{path}: is not a table of measurements; choose one that was saved here.")
    try:
        return _from_lines(lines)
    except ValueError as error:
        raise FormatError(f"{path}: {error}; correct it or save the measurements again.") from error


def _from_lines(lines: list[dict[str, Any]]) -> dict[str, Any]:
    first = lines[0]
    if any(line.get(name) != first[name] for line in lines for name in (*GRID, "unit")):
        raise ValueError("has lines of different images")
    image = {name: _parsed(first[name], f"line 2, {name}") for name in GRID}
    shapes, labels = [], []
    for number, line in enumerate(lines, start=2):
        filled = dict(_cells(line, f"line {number}"))
        if filled.get("kind") == LABEL:
            labels.append({"name": ""} | {name: value for name, value in filled.items() if name != "kind"})
        else:
            shapes.append(filled)
    return {
        "format": FORMAT,
        "version": VERSION,
        "image": image,
        "unit": first["unit"],
        "shapes": shapes,
        "labels": labels,
    }


def _cells(line: Mapping[Any, Any], where: str) -> Iterable[tuple[str, Any]]:
    """The filled cells of a line, but those about the image."""
    for name, text in line.items():
        if name is None or text is None:
            raise ValueError(f"{where} has too many or too few cells")
        if text == "" or name in (*GRID, "unit"):
            continue
        yield name, _parsed(text, f"{where}, {name}") if name in (*NUMBERS, "points_zyx") else text


def _parsed(text: Any, where: str) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{where} cannot be read") from error
