"""What the files next to a label map say about its labels."""

import json

import numpy as np
import pytest

from ctseg_imaging import formats, label_names
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Label, LabelMap, Labels

GEOMETRY = Geometry.from_parts((3, 4, 5), (2.5, 0.8, 0.9))


@pytest.fixture
def mask(tmp_path):
    """data/masks/case.nii.gz with the values 1, 2 and 5 and nothing that names them."""
    array = np.zeros(GEOMETRY.shape, np.uint8)
    array[0, 0, :3] = 1, 2, 5
    path = tmp_path / "data" / "masks" / "case.nii.gz"
    path.parent.mkdir(parents=True)
    formats.write(path, LabelMap(array, GEOMETRY))
    return path


def put(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def names(path):
    return {label.value: label.name for label in formats.read_labels(path).labels}


def test_values_without_a_name_are_known_as_such(mask):
    labels = formats.read_labels(mask).labels
    assert [(label.value, label.name, label.named) for label in labels] == [
        (1, "label 1", False),
        (2, "label 2", False),
        (5, "label 5", False),
    ]


@pytest.mark.parametrize(
    "labels",
    [
        {"0": "background", "1": "liver", "2": "spleen"},
        {"background": 0, "liver": 1, "spleen": 2, "both": [1, 2]},
        {"background": 0, "liver": [1], "spleen": [2], "ignore": 3},
    ],
    ids=["Decathlon", "nnU-Net", "regions"],
)
@pytest.mark.parametrize("place", [".", ".."])
def test_dataset_json_in_the_folder_or_above(mask, labels, place):
    put(mask.parent / place / "dataset.json", {"labels": labels, "labels_present": {"case": ["spleen"]}})
    found = {label.value: (label.name, label.contoured) for label in formats.read_labels(mask).labels}
    assert found.pop(3, ("ignore", False)) == ("ignore", False)
    assert found == {1: ("liver", False), 2: ("spleen", True), 5: ("label 5", True)}


def test_labels_json_and_the_order_of_the_sources(mask):
    put(mask.with_name("labels.json"), {"labels": {"1": "Leber", "2": "Milz", "5": "tumour"}})
    assert names(mask) == {1: "Leber", 2: "Milz", 5: "tumour"}
    put(mask.parent.parent / "dataset.json", {"labels": {"liver": 1, "spleen": 2}})
    assert names(mask) == {1: "liver", 2: "spleen", 5: "tumour"}
    put(
        mask.with_name("case.provenance.json"),
        {"labels": [{"value": 1, "name": "hepar", "colour": "#102030"}]},
    )
    labels = formats.read_labels(mask).labels
    assert (labels.name(1), labels.colour(1), labels.name(2)) == ("hepar", "#102030", "spleen")


def test_the_segmentations_own_names_come_first(mask):
    put(mask.with_name("labels.json"), {"1": "liver", "2": "spleen"})
    own = LabelMap(np.ones(GEOMETRY.shape, np.uint8), GEOMETRY, Labels((Label(1, "Lever", "#AABBCC"),)))
    completed = label_names.complete(own, mask).labels
    assert (completed.entries[0].value, completed.entries[0].name, completed.colour(1)) == (
        1,
        "Lever",
        "#AABBCC",
    )
    assert completed.name(2) == "spleen"


def test_contoured_marks_go_by_value_where_the_segmentation_has_names_of_its_own(mask):
    put(
        mask.parent / "dataset.json",
        {"labels": {"1": "liver", "2": "spleen"}, "labels_present": {"case": ["liver"]}},
    )
    own = LabelMap(np.ones(GEOMETRY.shape, np.uint8), GEOMETRY, Labels((Label(1, "Lever"), Label(2, "Milt"))))
    assert [label.contoured for label in label_names.complete(own, mask).labels] == [True, False]


def test_what_a_result_records_is_what_is_read_back(mask):
    labels = Labels(
        (Label(1, "liver", "#112233", contoured=False), Label(2, "label 2", "#445566", named=False))
    )
    put(mask.with_name("case.provenance.json"), {"labels": label_names.as_records(labels)})
    found = formats.read_labels(mask).labels
    assert found.entries[:2] == labels.entries
    assert not found.entries[2].named


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("../dataset.json", "{"),
        ("../dataset.json", "[]"),
        ("../dataset.json", {"labels": {"liver": "one"}}),
        ("../dataset.json", "[" * 100_000),
        ("labels.json", {"labels": [1]}),
        ("labels.json", {"1": {"name": "liver"}}),
        ("case.provenance.json", {"labels": [{"value": "x", "name": "liver"}]}),
        ("case.provenance.json", {"labels": [1]}),
        ("case.provenance.json", {"labels": [{"value": 1, "name": "liver", "colour": "red"}]}),
        ("case.provenance.json", {"labels": [{"value": 1, "name": "a"}, {"value": 1, "name": "b"}]}),
        ("case.provenance.json", {"labels": [{"value": float("inf"), "name": "a"}]}),
    ],
)
def test_a_damaged_description_is_a_note_and_the_mask_opens(mask, file, content):
    put(mask.parent / file, content)
    found = formats.read_labels(mask)
    assert found.labels.values == (1, 2, 5)
    assert len(found.notes) == 1 and file.removeprefix("../") in found.notes[0]


def test_real_descriptions(shared_file):
    labels = formats.read_labels(shared_file("thorax-ct-dicom/label.nii.gz")).labels
    assert [label.name for label in labels] == ["GTV-1", "Lung-Left", "Lung-Right", "Spinal-Cord"]
    one = formats.read_labels(shared_file("headneck-ct/labelsTr/hn_001.nii.gz")).labels
    assert one.name(1) == "Brainstem"
