"""Names, colours and contoured marks of labels from the files next to a label map.

They are searched in this order: the segmentation file itself; the provenance that this project writes next to
its own results (NAME.provenance.json); dataset.json in the folder or the one above; labels.json in the
folder. A later source only fills in what the earlier ones lack.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ctseg_imaging import dataset_json
from ctseg_imaging.dataset_json import label_names, read_json_object
from ctseg_imaging.endings import case_name
from ctseg_imaging.errors import FormatError
from ctseg_imaging.volume import Label, LabelMap, Labels, made_up_name


def complete(label_map: LabelMap, path: Path) -> LabelMap:
    """`label_map` with the names, colours and contoured marks that the files next to `path` give.

    A damaged description is ignored, with a note.
    """
    labels, faults = complete_labels(label_map.labels, path)
    return replace(label_map, labels=labels, notes=(*label_map.notes, *faults))


def complete_labels(labels: Labels, path: Path) -> tuple[Labels, list[str]]:
    """`labels` as `complete` completes them, and a sentence for each damaged description that was ignored."""
    faults = []
    for source in (_from_provenance, _from_dataset, _from_labels_json):
        try:
            labels = source(labels, path)
        except FormatError as error:
            faults.append(f"Its label names were not used: {error}")
    return labels, faults


def as_records(labels: Labels) -> list[dict[str, Any]]:
    """The labels as plain JSON, as a provenance file lists them and `complete` reads them back; name None for
    made-up names.
    """
    return [
        {
            "value": label.value,
            "name": label.name if label.named else None,
            "colour": label.colour,
            "contoured": label.contoured,
        }
        for label in labels
    ]


def provenance_paths(path: Path) -> tuple[Path, Path]:
    """Where a result's provenance lies: NAME.provenance.json, and NAME.json as it was written before version
    0.2.
    """
    name = case_name(path)
    return path.with_name(f"{name}.provenance.json"), path.with_name(f"{name}.json")


def _from_provenance(labels: Labels, path: Path) -> Labels:
    for place in provenance_paths(path):
        if place.is_file():
            fields = read_json_object(place)
            if isinstance(fields.get("labels"), list):
                return _filled(labels, _records(place, fields["labels"]))
    return labels


def _from_dataset(labels: Labels, path: Path) -> Labels:
    dataset = dataset_json.near(path.absolute().parent)
    if dataset is None:
        return labels
    labels = _filled(labels, _named(dataset.names))
    present = dataset.present.get(case_name(path))
    if present is None:
        return labels
    absent = {value for value, name in dataset.names.items() if name not in present}
    return Labels(
        tuple(replace(label, contoured=label.contoured and label.value not in absent) for label in labels)
    )


def _from_labels_json(labels: Labels, path: Path) -> Labels:
    place = path.with_name("labels.json")
    if not place.is_file():
        return labels
    fields = read_json_object(place)
    try:
        return _filled(labels, _named(label_names(fields.get("labels", fields))))
    except (TypeError, ValueError) as error:
        raise FormatError(
            f'{place}: is neither {{"1": "liver"}} nor {{"liver": 1}}; correct it or move it away.'
        ) from error


def _named(names: Mapping[int, str]) -> list[Label]:
    return [Label(value, name) for value, name in names.items()]


def _records(place: Path, entries: Iterable[Any]) -> list[Label]:
    """The labels of a provenance file. Raises FormatError."""
    try:
        found = [_label(entry) for entry in entries]
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise FormatError(
            f'{place}: "labels" is not a list of values and names; correct it or move it away.'
        ) from error
    if len({label.value for label in found}) != len(found):
        raise FormatError(f'{place}: "labels" lists a value twice; correct it or move it away.')
    return found


def _label(entry: Mapping[str, Any]) -> Label:
    value, name = int(entry["value"]), entry["name"]
    return Label(
        value,
        made_up_name(value) if name is None else str(name),
        _colour(entry),
        bool(entry.get("contoured", True)),
        named=name is not None,
    )


def _colour(entry: Mapping[str, Any]) -> str:
    """#RRGGBB, or "" where none is given."""
    given = str(entry.get("colour") or "")
    if given and (len(given) != 7 or given[0] != "#" or not _is_hex(given[1:])):
        raise ValueError(given)
    return given


def _is_hex(digits: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in digits)


def _filled(labels: Labels, described: Iterable[Label]) -> Labels:
    """`labels`, with the described label where a value has no name yet; background is left out."""
    both = {label.value: label for label in described if label.value > 0}
    both |= {label.value: label for label in labels if label.named or label.value not in both}
    return Labels(tuple(both.values()))
