"""The real export dialog, with keys and buttons as a user presses them."""

import nibabel
import numpy as np
import pydicom
import pytest

from ctseg_imaging import formats
from ctseg_imaging.volume import LabelMap, Labels
from napari_ctseg.docks.correct.view import CorrectDock
from napari_ctseg.export.view import ExportDialog, ask_where
from napari_ctseg.viewer.showing import show_labels, show_volume
from napari_ctseg.viewer.study import study_of
from tests.imaging.formats.dicom.making import save, series
from tests.plugin.pressing import answers, cancels, clicks, in_dialog, saves, takes, types

RTSTRUCT, SEG = "RTSTRUCT (*.rtstruct.dcm)", "DICOM SEG (*.dcm)"
NIFTI, SLICER = "NIfTI (*.nii.gz *.nii)", "Slicer segmentation (*.seg.nrrd)"


@pytest.fixture
def opened(make_napari_viewer, tmp_path):
    """An image from DICOM and a mask on it in the real viewer; the dock that exports it."""
    pytest.importorskip("highdicom", reason="highdicom is not installed (the extra dicom).")
    source = formats.read(save(tmp_path / "ct", series(FrameOfReferenceUID="1.2.3.4")))
    array = np.zeros(source.geometry.shape, np.uint8)
    array[:, 1:3, 1:4] = 2
    viewer = make_napari_viewer(show=True)
    study_of(viewer)
    show_volume(viewer, source, "ct")
    show_labels(
        viewer, LabelMap(array, source.geometry, Labels.from_names({2: "spleen"})), "drawn", role="edited"
    )
    dock = CorrectDock(viewer)
    viewer.window.add_dock_widget(dock, name="Correct & export")
    return dock


@pytest.mark.parametrize(
    ("typed", "chosen", "stem", "ending", "modality"),
    [
        ("case.1", RTSTRUCT, "case.1", ".rtstruct.dcm", "RTSTRUCT"),
        ("mask", SEG, "mask", ".dcm", "SEG"),
        ("mask.nii.gz", RTSTRUCT, "mask", ".rtstruct.dcm", "RTSTRUCT"),
    ],
)
def test_the_chosen_type_is_what_is_written(opened, tmp_path, qtbot, typed, chosen, stem, ending, modality):
    in_dialog(types(tmp_path / typed), takes(chosen), saves())
    opened.export.button.click()
    qtbot.waitUntil(lambda: not opened.controller.state.export.running)
    assert str(tmp_path / f"{stem}{ending}") in opened.message.text(), opened.message.text()
    assert pydicom.dcmread(tmp_path / f"{stem}{ending}").Modality == modality
    assert {path.name for path in tmp_path.iterdir()} == {"ct", f"{stem}{ending}", f"{stem}.provenance.json"}


def test_a_name_with_a_dot_gets_an_ending_and_an_older_file_is_asked_about(opened, tmp_path, qtbot):
    in_dialog(types(tmp_path / "2026.11.29"), saves())
    opened.export.button.click()
    qtbot.waitUntil(lambda: not opened.controller.state.export.running)
    mask = tmp_path / "2026.11.29.nii.gz"
    assert (
        np.count_nonzero(np.asarray(nibabel.load(mask).dataobj) == 2)
        == 6 * opened.controller.image_volume().geometry.shape[0]
    )
    mask.write_bytes(b"older")
    in_dialog(types(tmp_path / "2026.11.29"), saves(), answers("No"), cancels())
    opened.export.button.click()
    assert mask.read_bytes() == b"older"
    in_dialog(types(tmp_path / "2026.11.29"), saves(), answers("Yes"))
    opened.export.button.click()
    qtbot.waitUntil(lambda: not opened.controller.state.export.running and mask.read_bytes() != b"older")
    assert nibabel.load(mask).shape


def test_cancel_writes_nothing(opened, tmp_path):
    before = set(tmp_path.rglob("*"))
    in_dialog(types(tmp_path / "mask"), cancels())
    opened.export.button.click()
    assert set(tmp_path.rglob("*")) == before and "Written" not in opened.message.text()


@pytest.mark.parametrize(
    ("typed", "chosen", "path"),
    [
        ("a", NIFTI, "a.nii.gz"),
        ("a.nii", NIFTI, "a.nii"),
        ("a.mha", NIFTI, "a.mha"),
        ("A.NII.GZ", NIFTI, "A.NII.GZ"),
        ("a.nrrd", SLICER, "a.seg.nrrd"),
        ("a.b", SLICER, "a.b.seg.nrrd"),
    ],
)
def test_which_ending_a_name_gets_for_an_image_that_is_no_dicom(qapp, tmp_path, typed, chosen, path):
    in_dialog(takes(chosen), types(tmp_path / typed), saves())
    assert ask_where(None, "Export", None) == tmp_path / path
    dialog = ExportDialog(None, "Export", None)
    assert not any("DICOM" in one or "RTSTRUCT" in one for one in dialog.nameFilters())


def test_a_typed_path_of_an_older_file_is_that_file_and_no_other(qapp, tmp_path):
    (tmp_path / "older.nii.gz").write_bytes(b"older")
    in_dialog(types(tmp_path / "older.nii.gz"), saves(), answers("Yes"))
    assert ask_where(None, "Export", None) == tmp_path / "older.nii.gz"


def test_folders_and_files_are_clicked_as_everywhere(qapp, tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "older.nii.gz").write_bytes(b"older")
    in_dialog(types(tmp_path), saves(), clicks("inner"), saves(), types("new"), saves())
    assert ask_where(None, "Export", None) == tmp_path / "inner" / "new.nii.gz"
    in_dialog(types(tmp_path / "inner"), saves(), clicks("older.nii.gz"), saves(), answers("Yes"))
    assert ask_where(None, "Export", None) == tmp_path / "inner" / "older.nii.gz"
