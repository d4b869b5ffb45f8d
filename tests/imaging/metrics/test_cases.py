"""Pairing of files, and the labels of dataset.json."""

import json

import numpy as np
import pytest

from ctseg_imaging.endings import case_name
from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats import write
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.metrics.cases import find_cases, read_pair
from ctseg_imaging.volume import LabelMap

GEOMETRY = Geometry.from_parts((3, 4, 5), (2.5, 0.8, 0.9))


@pytest.fixture
def folders(tmp_path):
    """pred with a, b and x; data/labelsTr with a, b and y; data/dataset.json."""
    array = np.zeros(GEOMETRY.shape, np.uint8)
    array[1], array[2] = 1, 2
    for folder, names in (
        ("pred", ("a.nii.gz", "b.nrrd", "x.mha")),
        ("data/labelsTr", ("a.nii.gz", "b.nii.gz", "y.nii.gz")),
    ):
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            write(tmp_path / folder / name, LabelMap(array, GEOMETRY))
    (tmp_path / "pred" / "a.json").write_text("{}")
    describe(
        tmp_path,
        {"labels": {"0": "background", "1": "liver", "2": "spleen"}, "labels_present": {"a": ["liver"]}},
    )
    return tmp_path


def named(label_map):
    return [(label.name, label.contoured) for label in label_map.labels]


def describe(root, fields):
    (root / "data" / "dataset.json").write_text(json.dumps(fields))


@pytest.mark.parametrize("truth", ["data", "data/labelsTr"])
def test_folders_are_paired_by_name_whatever_the_format(folders, truth):
    cases = find_cases(folders / "pred", folders / truth)
    assert [(pair.case, pair.prediction.name, pair.truth.name) for pair in cases.pairs] == [
        ("a", "a.nii.gz", "a.nii.gz"),
        ("b", "b.nrrd", "b.nii.gz"),
    ]
    assert (cases.only_predicted, cases.only_true) == (("x",), ("y",))
    assert [named(read_pair(pair)[1]) for pair in cases.pairs] == [
        [("liver", True), ("spleen", False)],
        [("liver", True), ("spleen", True)],
    ]


def test_two_files_need_no_common_name_and_take_the_truths_case(folders):
    (pair,) = find_cases(folders / "pred" / "x.mha", folders / "data" / "labelsTr" / "a.nii.gz").pairs
    assert (pair.case, named(read_pair(pair)[1])) == ("a", [("liver", True), ("spleen", False)])


def test_reading_marks_what_was_not_contoured(folders):
    cases = find_cases(folders / "pred", folders / "data")
    prediction, truth = read_pair(cases.pairs[0])
    assert named(truth) == [("liver", True), ("spleen", False)]
    assert named(prediction) == [("label 1", True), ("label 2", True)]
    assert all(label.contoured for label in read_pair(cases.pairs[1])[1].labels)


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": {"background": 0, "liver": 1, "spleen": 2}, "labels_present": {"a": ["liver"]}},
        {
            "labels": {"1": "liver", "2": "spleen"},
            "training": [
                {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz", "labels_present": ["liver"]}
            ],
        },
    ],
    ids=["nnU-Net", "in the list"],
)
def test_other_ways_to_write_the_description(folders, fields):
    describe(folders, fields)
    pair = find_cases(folders / "pred", folders / "data").pairs[0]
    assert named(read_pair(pair)[1]) == [("liver", True), ("spleen", False)]


def test_without_a_description_nothing_is_named(folders):
    (folders / "data" / "dataset.json").unlink()
    cases = find_cases(folders / "pred", folders / "data" / "labelsTr")
    truth = read_pair(cases.pairs[0])[1]
    assert named(truth) == [("label 1", True), ("label 2", True)]
    assert not any(label.named for label in truth.labels)


@pytest.mark.parametrize(
    "fields", [{"labels": ["liver"]}, {"labels": {"liver": "one"}}, {"labels_present": {"a": "liver"}}, []]
)
def test_a_damaged_description_is_a_sentence(folders, fields):
    describe(folders, fields)
    with pytest.raises(FormatError, match=r"dataset\.json"):
        find_cases(folders / "pred", folders / "data")


def test_what_cannot_be_paired_is_a_sentence(folders):
    with pytest.raises(FormatError, match="does not exist"):
        find_cases(folders / "nowhere", folders / "data")
    with pytest.raises(FormatError, match="one is a folder and one a file"):
        find_cases(folders / "pred" / "a.nii.gz", folders / "data")
    (folders / "empty").mkdir()
    with pytest.raises(FormatError, match="no file of the same name"):
        find_cases(folders / "empty", folders / "data")
    write(folders / "pred" / "a.mha", read_pair(find_cases(folders / "pred", folders / "data").pairs[0])[0])
    with pytest.raises(FormatError, match="two files of one case"):
        find_cases(folders / "pred", folders / "data")


def test_names_lose_their_whole_ending(tmp_path):
    assert [
        case_name(tmp_path / name)
        for name in ("a.b.nii.gz", "a.NII", "a.mhd", "a.txt", "a.RTSTRUCT.dcm", "b.dcm")
    ] == ["a.b", "a", "a", "a", "a", "b"]
