"""A patient folder as a PACS exports it: series in sub-folders, segmentations next to them, a DICOMDIR."""

import shutil

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.uid import generate_uid

from ctseg_imaging import formats
from ctseg_imaging.errors import FormatError, OnlyViewable
from ctseg_imaging.formats.dicom import study as dicom_study
from ctseg_imaging.formats.dicom.study import Use
from ctseg_imaging.progress import Progress, finish
from tests.imaging.formats.dicom.making import HU, OTHER, SERIES, plane, save, series


def listed(path):
    return finish(dicom_study.listing(path))


def contours(series_uid: str) -> Dataset:
    """A structure set that names its series three sequences deep."""
    item, study, frame = Dataset(), Dataset(), Dataset()
    item.SeriesInstanceUID = series_uid
    study.RTReferencedSeriesSequence, frame.RTReferencedStudySequence = [item], [study]
    return plane(
        0,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3",
        Modality="RTSTRUCT",
        Rows=None,
        PixelData=None,
        SeriesInstanceUID=generate_uid(),
        ReferencedFrameOfReferenceSequence=[frame],
    )


def segments(series_uid: str) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = series_uid
    return plane(
        0,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4",
        Modality="SEG",
        SeriesInstanceUID=generate_uid(),
        ReferencedSeriesSequence=[item],
    )


@pytest.fixture
def patient(tmp_path):
    """Two series and a localiser in folders of their own, an RTSTRUCT of the first and a SEG of the second,
    and one of nothing here.
    """
    root = tmp_path / "export"
    root.mkdir()
    save(root / "SE1", series())
    incomplete = [plane(k, HU[k] + 50, SeriesInstanceUID=OTHER, SeriesNumber=4) for k in range(7)]
    del incomplete[2]
    save(root / "SE2", incomplete)
    save(
        root / "SE3",
        [plane(0, SeriesInstanceUID=generate_uid(), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])],
    )
    save(root / "RT", [contours(SERIES)])
    save(root / "SEG", [segments(OTHER), segments(generate_uid())])
    return root


def test_series_with_their_segmentations(patient):
    study = listed(patient)
    found = [(row.choice.slices, row.use, row.minor, [one.kind for one in row.objects]) for row in study.rows]
    assert found == [
        (7, Use.READ, False, ["RTSTRUCT"]),
        (6, Use.VIEW_ONLY, False, ["SEG"]),
        (1, Use.READ, True, []),
    ]
    assert "1 slice is missing" in study.rows[1].reason
    assert [one.kind for one in study.unassigned] == ["SEG"]
    np.testing.assert_allclose(study.rows[0].spacing_mm, (3, 1.7, 0.9), atol=1e-6)
    np.testing.assert_array_equal(formats.read(patient, series=1).array, HU)


def test_the_picture_is_the_middle_slice_in_its_window(tmp_path):
    study = listed(save(tmp_path / "ct", series(WindowCenter="40", WindowWidth="400")))
    found = dicom_study.picture(study.rows[0])
    expected = np.clip((HU[3] - (40 - 200)) / 400, 0, 1) * 255
    np.testing.assert_allclose(found, expected, atol=0.51)
    assert dicom_study.picture(study.rows[0], size=4).shape == (3, 3)  # every third pixel of 8 x 9


def test_a_file_lists_only_its_own_series(patient):
    study = listed(next((patient / "SE1").iterdir()))
    assert [row.choice.uid for row in study.rows] == [SERIES]


def test_a_directory_is_never_believed_over_the_files(tmp_path):
    """It lists a file that is not there; a slice that it does not list is read all the same."""
    disc = FileSet()
    for header in series()[:6]:
        header.PatientID, header.StudyDate, header.StudyTime, header.StudyID = (
            "1",
            "20200101",
            "120000",
            "1",
        )  # what a directory needs
        disc.add(header)
    root = tmp_path / "disc"
    disc.write(root)
    plane(6, PatientID="1").save_as(root / "extra.dcm", enforce_file_format=True)
    volume = formats.read(root)
    np.testing.assert_array_equal(volume.array, HU)
    assert volume.notes == ()
    np.testing.assert_array_equal(formats.read(root / "DICOMDIR").array, HU)
    listed_files = sorted(
        file for file in root.rglob("*") if file.is_file() and file.name not in ("DICOMDIR", "extra.dcm")
    )
    listed_files[0].unlink()  # the first slice, which leaves no gap
    with pytest.raises(OnlyViewable, match=f"{listed_files[0].name} is listed in the DICOMDIR and not there"):
        formats.read(root)
    assert formats.read_view_only(root).array.shape == (6, 8, 9)
    (root / "DICOMDIR").write_bytes(b"no directory")
    assert formats.read(root).notes == ()


def test_a_series_that_was_left_on_the_disc_is_a_remark(tmp_path):
    disc = FileSet()
    for header in [*series(), *[plane(k, SeriesInstanceUID=OTHER, SeriesNumber=4) for k in range(7)]]:
        header.PatientID, header.StudyDate, header.StudyTime, header.StudyID = "1", "20200101", "120000", "1"
        disc.add(header)
    root = tmp_path / "disc"
    disc.write(root)
    second = sorted(path for path in root.rglob("*") if path.is_dir())[-1]
    shutil.rmtree(second)
    volume = formats.read(root)
    np.testing.assert_array_equal(volume.array, HU)
    assert volume.notes == ("The DICOMDIR lists 7 file(s) that are not there; the export may be incomplete.",)


def test_long_folders_report_progress(tmp_path):
    folder = save(tmp_path / "ct", [plane(k % 7) for k in range(120)])
    steps = list(dicom_study.listing(folder))
    assert [(step.done, step.total) for step in steps] == [(50, 120), (100, 120)]
    assert all(isinstance(step, Progress) for step in steps)


def test_a_folder_without_images_lists_its_segmentations(tmp_path):
    folder = save(tmp_path / "rt", [contours(SERIES)])
    study = listed(folder)
    assert study.rows == study.candidates == () and [one.kind for one in study.unassigned] == ["RTSTRUCT"]
    with pytest.raises(FormatError, match=r"no image .*contours"):
        formats.read(folder)
    report = plane(0, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.67", Modality="SR", Rows=None, PixelData=None)
    with pytest.raises(FormatError, match=r"no image .*reports"):
        listed(save(tmp_path / "sr", [report]))


def test_a_real_folder(shared_file):
    study = listed(shared_file("thorax-ct-dicom"))
    [row] = study.rows
    assert row.choice.slices == 94 and [one.path.name for one in row.objects] == ["RTSTRUCT.dcm"]
