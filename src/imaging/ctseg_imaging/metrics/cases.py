"""Pairing predictions with the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np

from ctseg_imaging import dataset_json
from ctseg_imaging.endings import ENDINGS, case_name
from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats import SegmentationKind, kind_of_segmentation, read_labels
from ctseg_imaging.formats.segmentations.onto_grid import together
from ctseg_imaging.metrics.overlap import foreground, occurring
from ctseg_imaging.volume import LabelMap, Labels

LABEL_FOLDERS = ("labelsTr", "labelsTs")
IMAGE_FOLDERS = ("imagesTr", "imagesTs")
FIRST_CHANNEL = "_0000"  # of nnU-Net's file names


@dataclass(frozen=True)
class CasePair:
    """Two files of one case."""

    case: str
    prediction: Path
    truth: Path


@dataclass(frozen=True)
class EvaluationCases:
    """The cases to evaluate. only_predicted, only_true : cases whose other file is missing."""

    pairs: tuple[CasePair, ...]
    only_predicted: tuple[str, ...] = ()
    only_true: tuple[str, ...] = ()


def find_cases(prediction: str | Path, truth: str | Path) -> EvaluationCases:
    """Pair two files, or the files of two folders by name (without the ending).

    The truth's folder may be that of a whole data set.

    Raises FormatError if a path is missing, one is a file and the other a folder, no pair is found, or the
    dataset.json that names the truth's labels is damaged.
    """
    prediction, truth = Path(prediction), Path(truth)
    for path in (prediction, truth):
        if not path.exists():
            raise FormatError(f"{path}: does not exist; check the name.")
    if prediction.is_dir() != truth.is_dir():
        raise FormatError(
            f"{prediction} and {truth}: one is a folder and one a file; give two files or two folders."
        )
    dataset_json.near(
        truth if truth.is_dir() else truth.parent
    )  # raises if damaged: without it, organs that were never contoured could be scored
    if not truth.is_dir():
        return EvaluationCases((CasePair(case_name(truth), prediction, truth),))
    predicted, true = _files(prediction), _files(truth)
    both = sorted(predicted.keys() & true.keys())
    if not both:
        raise FormatError(
            f"{prediction} and {truth}: have no file of the same name; predictions must be named like the "
            "truth."
        )
    pairs = tuple(CasePair(case, predicted[case], true[case]) for case in both)
    return EvaluationCases(
        pairs, tuple(sorted(predicted.keys() - true.keys())), tuple(sorted(true.keys() - predicted.keys()))
    )


def images_of(cases: EvaluationCases, truth: Path, folder: Path | None = None) -> dict[str, Path]:
    """The image of each case, the first channel of several; cases without one are absent.

    folder : of images named like the cases; by default those of `truth` if that is a whole data set. Raises
    FormatError if it is missing.
    """
    if folder is not None and not folder.is_dir():
        raise FormatError(f"{folder}: is no folder of images; check the name.")
    places = [one / name for one in (folder or truth,) for name in IMAGE_FOLDERS if (one / name).is_dir()]
    files = [path for place in places or ([folder] if folder else []) for path in sorted(place.iterdir())]
    known = {case_name(path): path for path in files if path.name.lower().endswith(ENDINGS)}
    found = {}
    for pair in cases.pairs:
        name = next((one for one in (pair.case, pair.case + FIRST_CHANNEL) if one in known), None)
        if name is not None:
            found[pair.case] = known[name]
    return found


def read_pair(
    pair: CasePair, prediction_layer: int | str | None = None, truth_layer: int | str | None = None
) -> tuple[LabelMap, LabelMap]:
    """(prediction, truth) of a case, each with its own label names or those of the files next to it.

    A segmentation (.seg.nrrd, DICOM SEG, RTSTRUCT) is compared on a grid that holds both, and its segments by
    their names if both have them, because its numbers only count segments. An RTSTRUCT is drawn on the grid
    of the other. prediction_layer, truth_layer : see `read_labels`.
    """
    kinds = [kind_of_segmentation(path) for path in (pair.prediction, pair.truth)]
    drawn = [kind is SegmentationKind.RTSTRUCT for kind in kinds]
    if drawn == [False, True]:
        prediction = read_labels(pair.prediction, segment_layer=prediction_layer)
        truth = read_labels(pair.truth, segment_layer=truth_layer, like=prediction.geometry)
    else:
        truth = read_labels(pair.truth, segment_layer=truth_layer)
        like = truth.geometry if drawn[0] else None
        prediction = read_labels(pair.prediction, segment_layer=prediction_layer, like=like)
    if any(kinds):
        truth, prediction = together(truth, prediction)
        prediction = numbered_like(prediction, truth)
    return prediction, truth


def numbered_like(prediction: LabelMap, truth: LabelMap) -> LabelMap:
    """`prediction` with the values of the truth's labels of the same names; other labels get values that are
    free.

    Unchanged if both have no name in common or the values agree already. Case, "_" and "-" are ignored.
    """
    wanted = {_plain(label.name): label.value for label in truth.labels if label.named}
    matched = {
        label.value: wanted[_plain(label.name)]
        for label in prediction.labels
        if label.named and _plain(label.name) in wanted
    }
    if all(old == new for old, new in matched.items()) or len(set(matched.values())) < len(matched):
        return prediction
    free = count(max(max(truth.labels.values, default=0), max(prediction.labels.values, default=0)) + 1)
    taken = {*matched.values(), *truth.labels.values}
    others = [
        value
        for value in foreground([*prediction.labels.values, *occurring(prediction.array)])
        if value not in matched
    ]
    numbers = {**matched, **{value: value if value not in taken else next(free) for value in others}}
    array = np.zeros(prediction.array.shape, np.int32)
    for old, new in numbers.items():
        array[prediction.array == old] = new
    labels = Labels(tuple(replace(label, value=numbers[label.value]) for label in prediction.labels))
    note = "Labels of the prediction were matched to those of the truth by their names."
    return replace(prediction, array=array, labels=labels, header=None, notes=(*prediction.notes, note))


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _files(folder: Path) -> dict[str, Path]:
    """The label files of a folder by case; those of its labelsTr and labelsTs if it is a whole data set."""
    inner = [folder / name for name in LABEL_FOLDERS if (folder / name).is_dir()]
    found: dict[str, Path] = {}
    for path in sorted(file for place in inner or [folder] for file in place.iterdir()):
        if path.name.startswith(".") or not (
            path.name.lower().endswith(ENDINGS) or kind_of_segmentation(path)
        ):
            continue
        case = case_name(path)
        if case in found:
            raise FormatError(f"{found[case]} and {path}: are two files of one case; keep one of them.")
        found[case] = path
    return found
