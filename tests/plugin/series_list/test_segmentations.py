"""Patient folders with segmentations, opened through the reader that napari calls: CT series, RTSTRUCT and
SEG next to each other.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import generate_uid
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from ctseg_imaging import formats
from ctseg_imaging.volume import LabelMap, Labels, Volume
from napari_ctseg.files.readers import NOTHING, get_reader
from napari_ctseg.viewer.layers import KEY
from tests.imaging.formats.dicom.making import HU, OTHER, plane, save, series
from tests.plugin.series_list.test_series_list import answering, enter

FRAME = generate_uid(entropy_srcs=["frame"])
BOX = (slice(2, 5), slice(1, 6), slice(2, 7))


def opened(path: Path) -> list:
    return get_reader(str(path))(str(path))


def mask_of(volume: Volume, name: str) -> LabelMap:
    array = np.zeros(volume.geometry.shape, np.uint8)
    array[BOX] = 1
    return LabelMap(array, volume.geometry, Labels.from_names({1: name}))


def marked(layer: tuple) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where the labels of a layer begin and end, in the order of the file."""
    data, settings, kind = layer
    assert kind == "labels"
    found = np.argwhere(settings["metadata"][KEY].view.invert(data))
    return tuple(found.min(axis=0)), tuple(found.max(axis=0) + 1)


WHERE = tuple(one.start for one in BOX), tuple(one.stop for one in BOX)


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    """A study as a PACS exports it: two series in folders of their own, an RTSTRUCT and a SEG of the first
    one.
    """
    root = tmp_path / "patient"
    root.mkdir()
    needed = {"StudyDate": "20200101", "FrameOfReferenceUID": FRAME}
    first = formats.read(save(root / "SE1", series(**needed)))
    save(
        root / "SE2",
        [plane(k, HU[k] + 50, SeriesInstanceUID=OTHER, SeriesNumber=4, **needed) for k in range(7)],
    )
    for folder, ending, name in (("RT", "rtstruct.dcm", "liver"), ("SEG", "dcm", "spleen")):
        (root / folder).mkdir()
        formats.write(root / folder / f"drawn.{ending}", mask_of(first, name), like=first)
    return root


def down(times: int, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier):
    def press(dialog):
        for _ in range(times):
            QTest.keyClick(dialog.table, Qt.Key.Key_Down, modifier)
        enter(dialog)

    return press


def test_segmentations_are_listed_under_their_series(qtbot, patient):
    seen = []
    answering(lambda dialog: dialog.reject(), seen)
    assert opened(patient) == NOTHING
    assert [text.strip().split(":")[0].split(",")[0] for text in seen[0]] == [
        "CT",
        "Contours (RTSTRUCT)",
        "Segmentation (SEG)",
        "CT",
    ]
    assert "1 structure (liver)" in seen[0][1] and "1 structure (spleen)" in seen[0][2]
    assert not [word for word in ("Nobody", "0815") if word in " ".join(seen[0])]


@pytest.mark.parametrize(("row", "name"), [(1, "liver"), (2, "spleen")])
def test_a_segmentation_opens_on_its_series(qtbot, patient, row, name):
    answering(down(row), [])
    image, labels = opened(patient)
    assert image[2] == "image" and image[1]["metadata"][KEY].view.invert(image[0]).max() == HU.max()
    assert marked(labels) == WHERE and labels[1]["metadata"][KEY].labels.name(1) == name
    assert labels[1]["metadata"][KEY].geometry.matches(image[1]["metadata"][KEY].geometry) == "same"


def test_everything_at_once(qtbot, patient):
    answering(down(3, Qt.KeyboardModifier.ShiftModifier), [])
    layers = opened(patient)
    assert [kind for _, _, kind in layers] == ["image", "image", "labels", "labels"]
    assert [settings["visible"] for _, settings, _ in layers] == [True, False, True, False]


def test_one_series_and_its_only_segmentation_open_unasked(qtbot, patient):
    shutil.rmtree(patient / "SE2")
    shutil.rmtree(patient / "SEG")
    image, labels = opened(patient)
    assert image[2] == "image" and marked(labels) == WHERE


@pytest.mark.parametrize("kept", ["SEG", "RT"])
def test_a_folder_of_one_segmentation(qtbot, patient, kept):
    """A SEG has voxels of its own; contours say what they lack."""
    from napari.utils.notifications import notification_manager

    alone = patient.parent / "elsewhere" / "deep" / "drawn"
    shutil.copytree(patient / kept, alone)
    notification_manager.records.clear()
    layers = opened(alone)
    if kept == "SEG":
        assert [kind for _, _, kind in layers] == ["labels"] and np.count_nonzero(layers[0][0]) == np.prod(
            [5 - 2, 6 - 1, 7 - 2]
        )
    else:
        assert layers == NOTHING
        assert "its image series is not in its folder" in str(notification_manager.records[-1].message)


def test_a_damaged_segmentation_does_not_take_the_image_with_it(qtbot, patient):
    from napari.utils.notifications import notification_manager

    file = patient / "RT" / "drawn.rtstruct.dcm"
    file.write_bytes(file.read_bytes()[:-300])
    notification_manager.records.clear()
    answering(down(1), [])
    layers = opened(patient)
    assert layers[0][2] == "image"
    assert len(layers) == 2 or "drawn.rtstruct.dcm" in str(notification_manager.records[-1].message)


def test_several_patients_have_headings_and_no_repeated_words(qtbot, tmp_path):
    root = tmp_path / "disc"
    root.mkdir()
    save(root / "a", series())
    save(
        root / "b",
        [
            plane(
                k,
                PatientID="ID-2",
                StudyInstanceUID=generate_uid(entropy_srcs=["2"]),
                SeriesInstanceUID=OTHER,
            )
            for k in range(7)
        ],
    )
    seen = []
    shown = []

    def look(dialog):
        shown.extend(dialog.table.item(k, 0).text() for k in range(dialog.table.rowCount()))
        down(1)(dialog)  # over the heading, to the second patient

    answering(look, seen)
    [(_, settings, _)] = opened(root)
    assert shown == ["Patient 1, study 1", "", "Patient 2, study 2", ""]
    assert "patient" not in " ".join(seen[0])
    assert settings["metadata"][KEY].header.series_uid == OTHER


def test_a_view_only_series_opens_with_its_seg_and_not_with_contours(qtbot, patient):
    """A SEG has voxels of its own; contours need those of the series."""
    shutil.rmtree(patient / "SE2")
    (patient / "SE1" / "004.dcm").unlink()
    seen = []

    def look(dialog):
        seen.append([dialog.table.item(k, 4).text() for k in range(dialog.table.rowCount())])
        dialog.table.selectAll()
        enter(dialog)

    answering(look, [])
    layers = opened(patient)
    assert seen == [["view only", "not readable", "opens with its series"]]
    assert [kind for _, _, kind in layers] == ["image", "labels"]
    assert layers[0][1]["name"].endswith("(view only)") and np.count_nonzero(layers[1][0]) == np.prod(
        [3, 5, 5]
    )
