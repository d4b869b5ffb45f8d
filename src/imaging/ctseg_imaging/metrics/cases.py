"""Which prediction belongs to which truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ctseg_imaging import dataset_json
from ctseg_imaging.endings import ENDINGS, case_name
from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats import read_labels
from ctseg_imaging.volume import LabelMap

LABEL_FOLDERS = ("labelsTr", "labelsTs")


@dataclass(frozen=True)
class CasePair:
    """Two files of one case."""

    case: str
    prediction: Path
    truth: Path


@dataclass(frozen=True)
class Cases:
    """What is to be evaluated. only_predicted, only_true : cases whose other file is not there."""

    pairs: tuple[CasePair, ...]
    only_predicted: tuple[str, ...] = ()
    only_true: tuple[str, ...] = ()


def find_cases(prediction: str | Path, truth: str | Path) -> Cases:
    """Pair two files, or the files of two folders by name (without the ending). The truth's folder may be that of a whole data set.

    Raises FormatError if a path is missing, one is a file and the other a folder, no pair is found, or the dataset.json that names
    the truth's labels is damaged.
    """
    prediction, truth = Path(prediction), Path(truth)
    for path in (prediction, truth):
        if not path.exists():
            raise FormatError(f"{path}: is not there; check the name.")
    if prediction.is_dir() != truth.is_dir():
        raise FormatError(f"{prediction} and {truth}: one is a folder and one a file; give two files or two folders.")
    dataset_json.near(truth if truth.is_dir() else truth.parent)  # raises: scores without it could count organs never contoured
    if not truth.is_dir():
        return Cases((CasePair(case_name(truth), prediction, truth),))
    predicted, true = _files(prediction), _files(truth)
    both = sorted(predicted.keys() & true.keys())
    if not both:
        raise FormatError(f"{prediction} and {truth}: have no file of the same name; predictions must be named like the truth.")
    pairs = tuple(CasePair(case, predicted[case], true[case]) for case in both)
    return Cases(pairs, tuple(sorted(predicted.keys() - true.keys())), tuple(sorted(true.keys() - predicted.keys())))


def read_pair(pair: CasePair) -> tuple[LabelMap, LabelMap]:
    """(prediction, truth) of a case, each with the names that it brings or that lie next to it."""
    return read_labels(pair.prediction), read_labels(pair.truth)


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
