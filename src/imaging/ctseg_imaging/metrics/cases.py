"""Which prediction belongs to which truth, and what the data set says about its labels."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats import ENDINGS, read_labels
from ctseg_imaging.volume import LabelMap

LABEL_FOLDERS = ("labelsTr", "labelsTs")


@dataclass(frozen=True)
class CasePair:
    """Two files of one case. contoured : names of the labels that were drawn in this case; None if nothing is said."""

    case: str
    prediction: Path
    truth: Path
    contoured: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Cases:
    """What is to be evaluated. names : {value: name} of the data set's labels, None without a dataset.json.

    only_predicted, only_true : cases of which the other file is not there.
    """

    pairs: tuple[CasePair, ...]
    names: dict[int, str] | None = None
    only_predicted: tuple[str, ...] = ()
    only_true: tuple[str, ...] = ()


def find_cases(prediction: str | Path, truth: str | Path) -> Cases:
    """Pair two files, or the files of two folders by name (without the ending). The truth's folder may be that of a whole data set.

    The dataset.json in the truth's folder or the one above gives names and `labels_present`.
    Raises FormatError if a path is missing, one is a file and the other a folder, no pair is found or dataset.json is damaged.
    """
    prediction, truth = Path(prediction), Path(truth)
    for path in (prediction, truth):
        if not path.exists():
            raise FormatError(f"{path}: is not there; check the name.")
    if prediction.is_dir() != truth.is_dir():
        raise FormatError(f"{prediction} and {truth}: one is a folder and one a file; give two files or two folders.")
    dataset = _dataset_json(truth if truth.is_dir() else truth.parent)
    names, contoured = (None, {}) if dataset is None else (_names(dataset), _labels_present(dataset))
    if not truth.is_dir():
        case = case_name(truth)
        return Cases((CasePair(case, prediction, truth, contoured.get(case)),), names)
    predicted, true = _files(prediction), _files(truth)
    if not predicted.keys() & true.keys():
        raise FormatError(f"{prediction} and {truth}: have no file of the same name; predictions must be named like the truth.")
    pairs = tuple(CasePair(case, predicted[case], true[case], contoured.get(case)) for case in sorted(predicted.keys() & true.keys()))
    return Cases(pairs, names, tuple(sorted(predicted.keys() - true.keys())), tuple(sorted(true.keys() - predicted.keys())))


def read_pair(pair: CasePair, names: dict[int, str] | None) -> tuple[LabelMap, LabelMap]:
    """(prediction, truth) of a case, named by `names` where given, the truth marked with what was contoured."""
    from dataclasses import replace

    prediction, truth = read_labels(pair.prediction, names=names), read_labels(pair.truth, names=names)
    if pair.contoured is not None and names is not None:
        truth = replace(truth, labels=truth.labels.contoured_only(pair.contoured))
    return prediction, truth


def case_name(path: Path) -> str:
    """The file's name without its ending (.nii.gz is one ending)."""
    for ending in sorted(ENDINGS, key=len, reverse=True):
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.stem


def _files(folder: Path) -> dict[str, Path]:
    """The label files of a folder by case; those of its labelsTr and labelsTs if it is a whole data set."""
    inner = [folder / name for name in LABEL_FOLDERS if (folder / name).is_dir()]
    found: dict[str, Path] = {}
    for path in sorted(file for place in inner or [folder] for file in place.iterdir()):
        if path.name.startswith(".") or not path.name.lower().endswith(ENDINGS):
            continue
        case = case_name(path)
        if case in found:
            raise FormatError(f"{found[case]} and {path}: are two files of one case; keep one of them.")
        found[case] = path
    return found


def _dataset_json(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The description in `folder` or above it, if there is one."""
    for place in (folder, folder.absolute().parent):
        path = place / "dataset.json"
        if not path.is_file():
            continue
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, OSError) as error:
            raise FormatError(f"{path}: cannot be read as JSON; mend it or move it away.") from error
        if not isinstance(fields, dict):
            raise FormatError(f"{path}: is not a data set's description; mend it or move it away.")
        return path, fields
    return None


def _names(dataset: tuple[Path, dict[str, Any]]) -> dict[int, str] | None:
    """{value: name}: the Decathlon writes {"1": "liver"}, nnU-Net v2 {"liver": 1}."""
    path, fields = dataset
    labels = fields.get("labels")
    if not labels:
        return None
    try:
        return {int(key): str(value) for key, value in labels.items()}
    except (ValueError, AttributeError):
        pass
    try:
        return {int(value): str(key) for key, value in labels.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise FormatError(f'{path}: "labels" is neither {{"1": "liver"}} nor {{"liver": 1}}; mend it.') from error


def _labels_present(dataset: tuple[Path, dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    """{case: names of what was contoured}, from a table by case or from the entries of the case lists."""
    path, fields = dataset
    table = fields.get("labels_present")
    entries: list[Any] = list(table.items()) if isinstance(table, dict) else []
    for listed in ("training", "validation"):
        entries += [(case_name(Path(entry["label"])), entry["labels_present"]) for entry in fields.get(listed) or []
                    if isinstance(entry, dict) and "labels_present" in entry and "label" in entry]
    try:
        return {str(case): _texts(names) for case, names in entries}
    except TypeError as error:
        raise FormatError(f'{path}: "labels_present" is not a list of names by case; mend it.') from error


def _texts(names: Iterable[Any]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise TypeError(names)
    return tuple(str(name) for name in names)
