import gzip
import json

import nibabel
import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from ctseg_imaging import formats
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Volume
from napari_ctseg.files.layer_data import plain_name
from napari_ctseg.files.readers import NOTHING, get_reader
from napari_ctseg.viewer.layers import KEY


@pytest.fixture
def messages_shown():
    """The sentences that napari shows."""
    notification_manager.records.clear()
    yield lambda: [str(record.message) for record in notification_manager.records]
    notification_manager.records.clear()


def opened(path):
    reader = get_reader(str(path))
    assert reader is not None
    return reader(str(path))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".nhdr"])
def test_every_format_becomes_an_image_with_its_geometry(tmp_path, volume, ending):
    path = tmp_path / f"case{ending}"
    formats.write(path, volume)
    [(data, settings, kind)] = opened(path)
    assert kind == "image" and settings["name"] == "case" and settings["axis_labels"] == ("z", "y", "x")
    source = settings["metadata"][KEY]
    np.testing.assert_allclose(source.geometry.affine_lps, volume.geometry.affine_lps, atol=1e-4)
    np.testing.assert_array_equal(source.view.invert(data), volume.array)


@pytest.mark.parametrize(
    ("name", "is_labels"),
    [
        ("case_seg.nii.gz", True),
        ("labelsTr/case.nii.gz", True),
        ("segment.nii.gz", False),
        ("images/case.nii.gz", False),
    ],
)
def test_many_values_need_a_name_that_says_labels(tmp_path, name, is_labels):
    """40 whole values from 0: an image unless name or folder say otherwise."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    array = np.arange(6 * 7 * 8, dtype=np.uint8).reshape(6, 7, 8) % 40
    formats.write(path, Volume(array, Geometry.from_parts((6, 7, 8), (3, 2, 1))))
    assert opened(path)[0][2] == ("labels" if is_labels else "image")


def test_few_values_are_labels_whatever_the_name(tmp_path, label_map):
    formats.write(tmp_path / "case.nii.gz", label_map)
    [(data, settings, kind)] = opened(tmp_path / "case.nii.gz")
    assert (
        kind == "labels"
        and settings["metadata"][KEY].labels.values == (1, 3)
        and settings["name"] == "case labels"
    )
    assert data.dtype == np.uint8


def test_floats_in_a_labels_folder_are_labels_and_probabilities_are_not(tmp_path):
    geometry = Geometry.from_parts((3, 4, 5), (3, 2, 1))
    whole = (np.arange(60, dtype=np.float32) % 3).reshape(3, 4, 5)
    (tmp_path / "labels").mkdir()
    formats.write(tmp_path / "labels" / "a.nii.gz", Volume(whole, geometry))
    formats.write(tmp_path / "labels" / "b.nii.gz", Volume(whole / 4, geometry))
    assert opened(tmp_path / "labels" / "a.nii.gz")[0][2] == "labels"
    assert opened(tmp_path / "labels" / "b.nii.gz")[0][2] == "image"


def test_names_and_contours_come_from_the_dataset(tmp_path, label_map):
    (tmp_path / "labelsTr").mkdir()
    formats.write(tmp_path / "labelsTr" / "hn_1.nii.gz", label_map)
    (tmp_path / "dataset.json").write_text(
        json.dumps(
            {
                "labels": {"0": "background", "1": "liver", "2": "kidney", "3": "spleen"},
                "labels_present": {"hn_1": ["liver", "spleen"]},
            }
        )
    )
    labels = opened(tmp_path / "labelsTr" / "hn_1.nii.gz")[0][1]["metadata"][KEY].labels
    assert [(one.value, one.name, one.contoured) for one in labels] == [
        (1, "liver", True),
        (2, "kidney", False),
        (3, "spleen", True),
    ]


def test_a_4d_file_opens_as_one_layer_a_volume(tmp_path):
    array = np.arange(4 * 5 * 6 * 2, dtype=np.float32).reshape(4, 5, 6, 2)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([1, 2, 3, 1])), tmp_path / "two.nii.gz")
    layers = opened(tmp_path / "two.nii.gz")
    assert [settings["name"] for _, settings, _ in layers] == ["two 1", "two 2"]
    assert [settings["visible"] for _, settings, _ in layers] == [True, False]


def test_a_truncated_file_is_a_sentence_and_no_layer(tmp_path, volume, messages_shown):
    path = tmp_path / "cut.nii.gz"
    formats.write(path, volume)
    path.write_bytes(path.read_bytes()[:200])
    assert opened(path) == NOTHING
    [sentence] = messages_shown()
    assert "cut.nii.gz" in sentence and "Traceback" not in sentence


def test_a_gzip_of_something_else_is_a_sentence(tmp_path, messages_shown):
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(b"not an image" * 50))
    assert opened(tmp_path / "x.nii.gz") == NOTHING
    assert len(messages_shown()) == 1


def test_the_good_ones_of_several_open(tmp_path, volume, messages_shown):
    formats.write(tmp_path / "good.nii.gz", volume)
    (tmp_path / "bad.nii").write_bytes(b"short")
    paths = [str(tmp_path / "bad.nii"), str(tmp_path / "good.nii.gz")]
    layers = get_reader(paths)(paths)
    assert [settings["name"] for _, settings, _ in layers] == ["good"] and len(messages_shown()) == 1


def test_other_files_are_left_to_other_readers(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    assert get_reader(str(tmp_path / "picture.png")) is None


def test_a_folder_or_file_that_napari_brings_here_without_dicom_in_it_is_a_sentence(
    make_napari_viewer, tmp_path, messages_shown
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").write_text("no DICOM")
    viewer = make_napari_viewer()
    viewer.open(tmp_path / "empty", plugin="napari-ctseg")
    viewer.open(tmp_path / "notes", plugin="napari-ctseg")
    shown = messages_shown()
    assert not viewer.layers and len(shown) == 2
    assert (
        str(tmp_path / "empty") in shown[0] and "no DICOM" in shown[0] and str(tmp_path / "notes") in shown[1]
    )


def test_names_without_endings(tmp_path):
    assert plain_name(tmp_path / "a.b.NII.GZ") == "a.b" and plain_name(tmp_path / "series 3") == "series 3"


def test_a_dicom_folder_opens(shared_file):
    folder = shared_file("torso-ct/example_ct_dicom")
    layers = opened(folder)
    assert layers[0][2] == "image" and layers[0][1]["metadata"][KEY].modality == "CT"


def test_a_real_label_map_is_recognised(shared_file):
    [(_, settings, kind)] = opened(shared_file("headneck-ct/labelsTr/hn_201.nii.gz"))
    assert kind == "labels" and "Mandible" in [label.name for label in settings["metadata"][KEY].labels]


def test_a_label_map_without_any_label_is_still_one(tmp_path, label_map):
    formats.write(
        tmp_path / "empty_mask.nii.gz", LabelMap(np.zeros_like(label_map.array), label_map.geometry)
    )
    assert opened(tmp_path / "empty_mask.nii.gz")[0][2] == "labels"
