"""A data set in the layout of the Medical Segmentation Decathlon or of nnU-Net, described without reading a
voxel.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctseg_imaging.dataset_json import label_names
from ctseg_imaging.endings import case_name
from ctseg_imaging.errors import RecipeError
from ctseg_imaging.volume import Labels
from ctseg_training.data import nnunet_raw


@dataclass(frozen=True)
class CaseEntry:
    """One case on disk.

    classes : {stored label value: class index of the network}. present : per class index, contoured or not.
    """

    name: str
    image: Path
    label: Path
    classes: tuple[tuple[int, int], ...]
    present: tuple[bool, ...]


@dataclass(frozen=True)
class Decathlon:
    """labels : in the order of the class indices 1, 2, ...

    training, validation : the lists of dataset.json.
    """

    folder: Path
    name: str
    labels: Labels
    training: tuple[CaseEntry, ...]
    validation: tuple[CaseEntry, ...]

    def class_of(self, name: str, field: str) -> int:
        """The class index of a label by name.

        field : the recipe's field that names it, for the sentence of the RecipeError.
        """
        names = [label.name for label in self.labels]
        if name not in names:
            raise RecipeError(f"{field}: the data set has no label {name!r}; it has {', '.join(names)}.")
        return names.index(name) + 1


def open_dataset(folder: str | Path, labels: Labels | None = None) -> Decathlon:
    """Read dataset.json.

    labels : those of a bundle to be trained further; the data set's are matched to them by name, and labels
    that it lacks count as not contoured. Raises RecipeError.
    """
    path = Path(folder) / "dataset.json"
    fields = _json(path)
    stored = _labels(path, fields)
    labels = labels or stored
    if unknown := [label.name for label in stored if label.name not in {known.name for known in labels}]:
        raise RecipeError(
            f"{path}: the model has no label {unknown[0]!r}; it has "
            f"{', '.join(label.name for label in labels)}. Rename or remove it."
        )
    named = fields.get("labels_present") or {}
    if not isinstance(named, dict):
        raise RecipeError(f"{path}: labels_present must map a case to a list of label names.")
    lists = {}
    for split in ("training", "validation"):
        entries = (
            nnunet_raw.listed(path, fields)
            if split == "training" and nnunet_raw.is_raw(fields)
            else fields.get(split) or []
        )
        if not isinstance(entries, list):
            raise RecipeError(f"{path}: {split} must be a list of image and label pairs.")
        lists[split] = tuple(_entry(path, entry, stored, labels, named) for entry in entries)
    if not lists["training"]:
        raise RecipeError(f'{path}: lists no training case; add pairs of image and label under "training".')
    return Decathlon(
        Path(folder),
        str(fields.get("name", Path(folder).name)),
        labels,
        lists["training"],
        lists["validation"],
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecipeError(
            f"{path}: does not exist; name a data set of the Medical Segmentation Decathlon or of nnU-Net."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: is not readable as JSON; correct it.") from error
    if (
        not isinstance(fields, dict)
        or "labels" not in fields
        or ("training" not in fields and not nnunet_raw.is_raw(fields))
    ):
        raise RecipeError(f'{path}: needs at least "labels" and "training".')
    return fields


def _labels(path: Path, fields: Mapping[str, Any]) -> Labels:
    """Decathlon writes {"1": "liver"}, nnU-Net v2 {"liver": 1}; both are taken."""
    try:
        labels = Labels.from_names(label_names(fields["labels"]))
    except (AttributeError, TypeError, ValueError) as error:
        raise RecipeError(
            f'{path}: labels must map each value to a name, such as {{"1": "liver"}}.'
        ) from error
    names = [label.name for label in labels]
    if not names or len(set(names)) != len(names) or min(labels.values) < 1:
        raise RecipeError(f"{path}: labels must give every value above 0 a name of its own.")
    return labels


def _entry(path: Path, entry: Any, stored: Labels, labels: Labels, named: Mapping[str, Any]) -> CaseEntry:
    if not isinstance(entry, dict) or not {"image", "label"} <= set(entry):
        raise RecipeError(f'{path}: each training case needs an "image" and a "label".')
    image, label = (_listed_file(path, str(entry[key])) for key in ("image", "label"))
    name = case_name(label if case_name(image) == f"{case_name(label)}{nnunet_raw.FIRST_CHANNEL}" else image)
    contoured = named.get(name, [one.name for one in stored])
    if unknown := sorted(set(contoured) - {one.name for one in stored}):
        raise RecipeError(
            f"{path}: labels_present of {name} names {unknown[0]!r}, which labels does not have."
        )
    index = {one.name: number for number, one in enumerate(labels, 1)}
    classes = tuple((one.value, index[one.name]) for one in stored)
    present = (True, *(one.name in contoured for one in labels))
    return CaseEntry(name, image, label, classes, present)


def _listed_file(path: Path, listed: str) -> Path:
    file = path.parent / listed
    try:
        if file.is_file():
            return file
    except OSError:  # a name that is longer than the file system allows
        file = path.parent / f"{listed[:100]}..."
    raise RecipeError(
        f"{file}: is listed in {path.name} and does not exist; add the file or remove the case."
    )
