"""What an export may replace and what it may not, and what is said where it cannot be written."""

import json
import os
import stat
import subprocess
import sys
import textwrap

import numpy as np
import pydicom
import pytest

from ctseg_imaging import formats
from ctseg_imaging.errors import CtsegError
from ctseg_imaging.label_names import provenance_paths
from ctseg_imaging.volume import Label, LabelMap, Labels
from napari_ctseg.docks.correct.controller import CorrectController
from napari_ctseg.export.mask import export, history_path
from napari_ctseg.export.writers import write_labels
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.showing import show_labels, show_volume
from napari_ctseg.viewer.study import study_of
from tests.imaging.formats.dicom.making import save, series
from tests.plugin.docks.correct.test_correct import FakeView, image, mask
from tests.plugin.export.test_writers import meta_of
from tests.plugin.workers import at_once

posix = pytest.mark.skipif(os.name == "nt", reason="Owners and modes are POSIX's.")


@pytest.fixture
def opened(plugin_model, tmp_path):
    """An image and a mask that were read from files; the controller that exports the mask."""
    formats.write(tmp_path / "ct.nii.gz", image())
    formats.write(tmp_path / "drawn.nii.gz", mask())
    study_of(plugin_model)
    show_volume(plugin_model, formats.read(tmp_path / "ct.nii.gz"), "ct")
    show_labels(plugin_model, formats.read_labels(tmp_path / "drawn.nii.gz"), "drawn", role="edited")
    return CorrectController(FakeView(), plugin_model, Preferences(), at_once)


def bytes_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def refused(controller, path):
    before = bytes_in(path.parent)
    controller.save(path)
    assert "Written" not in controller.state.message and controller.state.message, controller.state
    assert bytes_in(path.parent) == before
    return controller.state.message


@pytest.mark.parametrize("name", ["ct.nii.gz", "drawn.nii.gz"])
def test_no_source_of_an_open_layer_is_replaced(opened, tmp_path, name):
    assert "would be overwritten" in refused(opened, tmp_path / name)


@pytest.mark.parametrize("make", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_nor_through_a_link_or_another_spelling(opened, tmp_path, make):
    make(tmp_path / "ct.nii.gz", tmp_path / "other.nii.gz")
    assert "would be overwritten" in refused(opened, tmp_path / "other.nii.gz")
    (tmp_path / "below").mkdir()
    assert "would be overwritten" in refused(opened, tmp_path / "below" / ".." / "ct.nii.gz")


def test_nor_the_source_of_a_layer_in_another_viewer_nor_by_napari_s_own_save(opened, tmp_path, plugin_model):
    from napari.components import ViewerModel

    other = ViewerModel()
    study_of(other)
    formats.write(tmp_path / "second.nii.gz", image())
    show_volume(other, formats.read(tmp_path / "second.nii.gz"), "second")
    assert "would be overwritten" in refused(opened, tmp_path / "second.nii.gz")
    layer, before = plugin_model.layers["drawn"], bytes_in(tmp_path)
    with pytest.raises(CtsegError, match="would be overwritten"):
        write_labels(str(tmp_path / "ct.nii.gz"), layer.data, meta_of(layer))
    assert bytes_in(tmp_path) == before


@pytest.mark.parametrize("content", [b'{"subject": 7}', b"[1]", b"not json"])
def test_a_foreign_json_stays_and_ours_is_replaced(opened, tmp_path, content):
    foreign = tmp_path / "mask.provenance.json"
    foreign.write_bytes(content)
    (tmp_path / "mask.json").write_bytes(content)
    assert "was not written by this program" in refused(opened, tmp_path / "mask.nii.gz")
    foreign.unlink()
    for _ in range(2):
        opened.save(tmp_path / "mask.nii.gz")
        assert (
            opened.state.message
            == f"Written: {tmp_path / 'mask.nii.gz'}, with mask.provenance.json next to it."
        )
    assert (
        json.loads(foreign.read_text())["program"].startswith("napari-ctseg")
        and (tmp_path / "mask.json").read_bytes() == content
    )


@posix
def test_mode_and_owner_are_kept_and_a_link_leads_to_its_file(opened, tmp_path):
    (tmp_path / "store").mkdir()
    target = tmp_path / "store" / "mask.nii.gz"
    target.write_bytes(b"old")
    target.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(target, 12, 34)
    owner = target.stat().st_uid, target.stat().st_gid
    (tmp_path / "link.nii.gz").symlink_to(target)
    opened.save(tmp_path / "link.nii.gz")
    assert "Written" in opened.state.message
    assert (tmp_path / "link.nii.gz").is_symlink() and np.array_equal(
        formats.read_labels(target).array, mask().array
    )
    assert (
        stat.S_IMODE(target.stat().st_mode) == 0o640 and (target.stat().st_uid, target.stat().st_gid) == owner
    )


@posix
def test_a_write_protected_file_stays(opened, tmp_path):
    (tmp_path / "mask.nii.gz").write_bytes(b"kept")
    (tmp_path / "mask.nii.gz").chmod(0o444)
    assert "write-protected" in refused(opened, tmp_path / "mask.nii.gz")


@posix
def test_where_only_the_history_fails_the_sentence_says_that_the_mask_is_there(opened, tmp_path):
    ours = history_path(tmp_path / "mask.nrrd")
    ours.write_text(json.dumps({"program": "napari-ctseg 0"}))
    ours.chmod(0o444)
    opened.save(tmp_path / "mask.nrrd")
    assert opened.state.message.startswith(
        f"Written: {tmp_path / 'mask.nrrd'}. Its history could not be written:"
    )
    assert np.array_equal(formats.read_labels(tmp_path / "mask.nrrd").array, mask().array)


@posix
@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_full_disk_is_a_sentence_and_nothing_is_half_written(tmp_path, ending):
    """The limit of a file's size stands for the full disk, in a process of its own."""
    (tmp_path / f"mask{ending}").write_bytes(b"old")
    script = textwrap.dedent(f"""
        import resource
        from pathlib import Path
        import numpy as np
        from ctseg_imaging.errors import CtsegError
        from ctseg_imaging.geometry import Geometry
        from ctseg_imaging.volume import LabelMap, Labels
        from napari_ctseg.export.mask import export
        geometry = Geometry.from_parts((20, 60, 70), (3.0, 1.5, 2.0))
        array = np.random.default_rng(1).integers(0, 200, geometry.shape).astype(np.uint8)
        labels = LabelMap(array, geometry, Labels.from_names({{1: "a"}}))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        try:
            export(Path({str(tmp_path / f"mask{ending}")!r}), labels, None, {{}}, [])
        except CtsegError as error:
            print("SAID", error)
    """)
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert answer.returncode == 0 and "SAID" in answer.stdout and "cannot be written" in answer.stdout, (
        answer.stderr
    )
    assert bytes_in(tmp_path) == {f"mask{ending}": b"old"}


def test_a_folder_that_is_gone_is_a_sentence(opened, tmp_path):
    opened.save(tmp_path / "server" / "mask.nii.gz")
    assert "its folder does not exist" in opened.state.message and not (tmp_path / "server").exists()


@posix
@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="Root writes everywhere.")
def test_a_read_only_folder_is_a_sentence(opened, tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir(mode=0o555)
    opened.save(folder / "mask.nii.gz")
    assert "cannot be written" in opened.state.message and not list(folder.iterdir())


def test_a_prediction_s_history_counts_as_ours(tmp_path):
    (tmp_path / "m.provenance.json").write_text(json.dumps({"bundles": []}))
    assert export(tmp_path / "m.nii", mask(), None, {}, []).history_fault == ""


def test_a_locked_mask_can_be_exported(opened, tmp_path):
    from napari_ctseg.viewer.reference import lock

    lock(opened.viewer.layers["drawn"])
    opened.choose("drawn")
    assert opened.state.mask.locked
    opened.save(tmp_path / "again.nii.gz")
    assert np.array_equal(formats.read_labels(tmp_path / "again.nii.gz").array, mask().array)


def test_a_mask_on_a_dicom_series_is_exported_as_dicom_seg(plugin_model, tmp_path):
    pytest.importorskip("highdicom", reason="highdicom is not installed (the extra dicom).")
    source = formats.read(save(tmp_path / "ct", series(FrameOfReferenceUID="1.2.3.4")))
    array = np.random.default_rng(4).integers(0, 3, source.geometry.shape).astype(np.uint8)
    study_of(plugin_model)
    show_volume(plugin_model, source, "ct")
    tags = "TerminologyEntry:x~SCT^123037004^Anatomical Structure~SCT^10200004^Liver~^^~x~^^~^^|"
    named = Labels((Label(1, "liver", tags=tags), Label(2, "spleen"), Label(7, "absent")))
    labels = LabelMap(array, source.geometry, named)
    show_labels(plugin_model, labels, "drawn", role="edited")
    controller = CorrectController(FakeView(), plugin_model, Preferences(), at_once)
    controller.save(tmp_path / "mask.dcm")
    assert controller.state.message == (
        f"Written: {tmp_path / 'mask.dcm'}, with mask.provenance.json next to it. "
        "absent has no voxels and is not in the DICOM SEG."
    )
    assert np.array_equal(formats.read_labels(tmp_path / "mask.dcm", like=source).array, array)
    codes = pydicom.dcmread(tmp_path / "mask.dcm").SegmentSequence[0].SegmentedPropertyTypeCodeSequence
    assert codes[0].CodeValue == "10200004"


def test_a_dicom_seg_of_an_image_from_elsewhere_is_refused(opened, tmp_path):
    assert "write .seg.nrrd or .nii.gz instead" in refused(opened, tmp_path / "mask.dcm")


def test_the_history_of_a_slicer_segmentation_lies_where_it_is_looked_for(opened, tmp_path):
    opened.save(tmp_path / "mask.seg.nrrd")
    assert history_path(tmp_path / "mask.seg.nrrd") == provenance_paths(tmp_path / "mask.seg.nrrd")[0]
    assert (tmp_path / "mask.provenance.json").is_file()
