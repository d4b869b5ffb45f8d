"""`convert` on files that go wrong in practice: read like the truth next to them, or refused in one
sentence with nothing written.

The oracles are SimpleITK (for MetaImage) and nibabel (for NIfTI) on what was written, and the expectations
that came with the files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner, Result

from napari_ctseg.commands.main import app

DATA = Path(os.environ.get("CTSEG_SHARED_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
NASTY = DATA / "nasty"
EXPECTED: dict[str, Any] = (
    json.loads((NASTY / "expected.json").read_text(encoding="utf-8")) if NASTY.is_dir() else {}
)
READ = [name for name, entry in EXPECTED.items() if entry["expect"] == "read" and "choose" not in entry]
REFUSED = [name for name, entry in EXPECTED.items() if entry["expect"] == "refuse"]
NIFTI = [name for name in READ if ".nii" in name]
CHOICES = {"files/4d-three-volumes.nii.gz": ("--volume", 3), "dicom/mixed-series": ("--series", 2)}
needs_nasty = pytest.mark.skipif(
    not EXPECTED, reason="No real data here: put it into ../shared/data or name it in CTSEG_SHARED_DATA."
)

# A word that each refusal must have: the cause, not just that something is wrong.
CAUSES = {
    "orientations/sheared.nii.gz": "shear",
    "files/truncated.nii.gz": "cut off",
    "files/truncated.nii": "cut off",
    "files/header-only.nii": "cut off",
    "files/4d-three-volumes.nii.gz": "volume",
    "files/2d.nii.gz": "2D",
    "files/rgb.nii.gz": "RGB|colour|component",
    "files/zero-byte.nii.gz": "empty",
    "files/missing-data.nhdr": "missing",
    "files/pair-lost.mhd": "missing",
    "files/negative-spacing.mhd": "negative",
    "files/zero-pixdim.nii": "spacing|size",
    "files/label-negative.nii.gz": "-1",
    "files/label-probability.nii.gz": "whole",
    "dicom/empty-folder": "DICOM",
    "dicom/missing-slice": "mm",
    "dicom/variable-gap": "mm",
    "dicom/gantry-tilt": "tilt|shear",
    "dicom/duplicate-slice": "position",
    "dicom/mixed-spacing": "spacing|size",
    "dicom/mixed-orientation": "orientation|direction",
    "dicom/no-position": "osition",
}


def convert(*words: Any) -> Result:
    return CliRunner().invoke(app, ["convert", *(str(word) for word in words)])


def as_label(name: str) -> list[str]:
    return ["--labels"] if EXPECTED[name].get("as_label") else []


def check_grid(path: Path, truth: dict[str, Any]) -> sitk.Image:
    image = sitk.ReadImage(str(path))
    assert list(image.GetSize())[::-1] == truth["shape_zyx"]
    np.testing.assert_allclose(image.GetSpacing(), truth["spacing_xyz"], rtol=1e-5)
    np.testing.assert_allclose(image.GetOrigin(), truth["origin_lps"], atol=2e-3)
    np.testing.assert_allclose(image.GetDirection(), truth["direction"], atol=1e-5)
    return image


@needs_nasty
@pytest.mark.parametrize("name", READ)
def test_what_can_be_read_comes_out_on_its_true_grid(name: str, tmp_path: Path) -> None:
    entry, target = EXPECTED[name], tmp_path / "out.mha"
    result = convert(NASTY / name, target, *as_label(name))
    assert result.exit_code == 0, result.stderr
    image = check_grid(target, entry["truth"])
    for probe in [entry[key] for key in ("probe", "probe_2") if key in entry]:
        index = probe.get("index_xyz") or probe["index_zyx"][::-1]
        assert image[index] == pytest.approx(probe["value"], abs=probe.get("tolerance", 1e-3))
    for probe in entry.get("probes", []):
        index = image.TransformPhysicalPointToIndex(probe["point_lps"])
        assert image[index] == pytest.approx(probe["value"], abs=1e-3)
    if "labels" in entry:
        assert sorted(np.unique(sitk.GetArrayFromImage(image))) == entry["labels"]
    if "finite_voxels" in entry:
        assert int(np.isfinite(sitk.GetArrayFromImage(image)).sum()) == entry["finite_voxels"]


@needs_nasty
@pytest.mark.parametrize("name", NIFTI)
def test_nifti_to_nifti_keeps_the_header_geometry_and_the_voxels_to_the_bit(
    name: str, tmp_path: Path
) -> None:
    target = tmp_path / "out.nii.gz"
    assert convert(NASTY / name, target).exit_code == 0
    before, after = nib.load(NASTY / name), nib.load(target)
    for field in (
        "qform_code",
        "sform_code",
        "quatern_b",
        "quatern_c",
        "quatern_d",
        "qoffset_x",
        "qoffset_y",
        "qoffset_z",
        "srow_x",
        "srow_y",
        "srow_z",
        "pixdim",
        "dim",
        "datatype",
        "scl_slope",
        "scl_inter",
        "xyzt_units",
    ):
        np.testing.assert_array_equal(before.header[field], after.header[field], err_msg=field)
    np.testing.assert_array_equal(
        np.asarray(before.dataobj.get_unscaled()), np.asarray(after.dataobj.get_unscaled())
    )


@needs_nasty
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trusted_is_refused_in_a_sentence_that_names_the_cause(
    name: str, tmp_path: Path
) -> None:
    result = convert(NASTY / name, tmp_path / "out.nii.gz", *as_label(name))
    assert result.exit_code == 1, result.stdout
    sentence = result.stderr.strip()
    assert Path(name).name in sentence or str(NASTY / name) in sentence
    assert "Traceback" not in sentence
    assert sentence.endswith((".", "?"))
    if words := CAUSES.get(name):
        assert any(word in sentence for word in words.split("|")), sentence
    assert not list(tmp_path.iterdir()), "something was left behind"


@needs_nasty
@pytest.mark.parametrize("name", CHOICES)
def test_one_of_several_is_taken_only_when_it_is_named(name: str, tmp_path: Path) -> None:
    option, count = CHOICES[name]
    refused = convert(NASTY / name, tmp_path / "none.mha")
    assert refused.exit_code == 1
    assert f"{count}" in refused.stderr and "choose" in refused.stderr
    written = []
    for number in range(1, count + 1):
        result = convert(NASTY / name, tmp_path / f"{number}.mha", option, number)
        assert result.exit_code == 0, result.stderr
        written.append(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"{number}.mha"))))
    assert all((written[0] != other).any() for other in written[1:])
    beyond = convert(NASTY / name, tmp_path / "beyond.mha", option, count + 1)
    assert beyond.exit_code == 1 and not (tmp_path / "beyond.mha").exists()


@needs_nasty
def test_the_series_that_is_named_by_its_uid_is_the_one_that_comes(tmp_path: Path) -> None:
    folder = NASTY / "dicom/mixed-series"
    for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)):
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), uid))
        target = tmp_path / f"{uid}.mha"
        assert convert(folder, target, "--series", uid).exit_code == 0
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(sitk.ReadImage(str(target))), sitk.GetArrayFromImage(reader.Execute())
        )


@needs_nasty
@pytest.mark.parametrize("ending", [".nii", ".nrrd", ".nhdr", ".mhd"])
def test_every_ending_that_is_offered_writes_that_format(ending: str, tmp_path: Path) -> None:
    target = tmp_path / f"out{ending}"
    name = "orientations/oblique.nii.gz"
    assert convert(NASTY / name, target).exit_code == 0
    image = check_grid(target, EXPECTED[name]["truth"])
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(sitk.ReadImage(str(NASTY / name)))
    )


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A small oblique NIfTI of three unequal sides, made without this project."""
    image = sitk.GetImageFromArray(np.arange(7 * 8 * 9, dtype=np.int16).reshape(7, 8, 9))
    image.SetSpacing((0.7, 1.1, 2.5))
    image.SetOrigin((-11.0, 22.0, 33.0))
    c, s = np.cos(0.2), np.sin(0.2)
    image.SetDirection((c, -s, 0, s, c, 0, 0, 0, 1))
    path = tmp_path / "plain.nii.gz"
    sitk.WriteImage(image, str(path))
    return path


def test_an_existing_file_is_replaced_only_with_overwrite(plain: Path, tmp_path: Path) -> None:
    target = tmp_path / "there.nrrd"
    target.write_text("mine")
    refused = convert(plain, target)
    assert refused.exit_code == 1 and "overwrit" in refused.stderr and target.read_text() == "mine"
    assert convert(plain, target, "--overwrite").exit_code == 0
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(sitk.ReadImage(str(target))),
        sitk.GetArrayFromImage(sitk.ReadImage(str(plain))),
    )


def test_the_input_is_never_replaced(plain: Path, tmp_path: Path) -> None:
    before, link = plain.read_bytes(), tmp_path / "link.nii.gz"
    link.symlink_to(plain)
    for target in (plain, link):
        result = convert(plain, target, "--overwrite")
        assert result.exit_code == 1 and "would be overwritten" in result.stderr
    assert plain.read_bytes() == before


def test_like_takes_over_the_codes_of_another_file_on_the_same_grid(plain: Path, tmp_path: Path) -> None:
    pattern = nib.load(plain)
    pattern.set_qform(pattern.affine, code=3)
    pattern.set_sform(pattern.affine, code=4)
    nib.save(pattern, tmp_path / "pattern.nii.gz")
    assert convert(plain, tmp_path / "middle.mha").exit_code == 0
    assert (
        convert(
            tmp_path / "middle.mha", tmp_path / "out.nii.gz", "--like", tmp_path / "pattern.nii.gz"
        ).exit_code
        == 0
    )
    after = nib.load(tmp_path / "out.nii.gz")
    assert (int(after.header["qform_code"]), int(after.header["sform_code"])) == (3, 4)
    np.testing.assert_array_equal(after.affine, nib.load(tmp_path / "pattern.nii.gz").affine)


@pytest.mark.parametrize(
    ("target", "cause"),
    [("no/such/folder/x.nii.gz", "folder"), ("x.jpg", "no known ending"), (".", "exists")],
)
def test_a_target_that_cannot_be_written_is_a_sentence(
    plain: Path, tmp_path: Path, target: str, cause: str
) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = convert(plain, tmp_path / target)
    assert result.exit_code == 1 and cause in result.stderr and "Traceback" not in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    before = sorted(tmp_path.iterdir())
    result = convert(plain, tmp_path / "out.nii.gz")
    assert result.exit_code == 1 and "No space left" in result.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_verbose_shows_the_traceback_behind_the_sentence(tmp_path: Path) -> None:
    result = convert(tmp_path / "none.nii.gz", tmp_path / "out.nii.gz", "-v")
    assert result.exit_code == 1 and "Traceback" in result.stderr and "does not exist" in result.stderr


def test_real_volumes_of_three_kinds_keep_their_voxels(
    shared_file: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = shared_file("sarcoma-ct-mr-pet")
    for name in ("ct.mha", "ct.nrrd", "ct.nii.gz", "mr_t1.nii.gz", "pet.nii.gz"):
        target = tmp_path / f"{name}.out.mha"
        assert convert(folder / name, target).exit_code == 0
        before, after = sitk.ReadImage(str(folder / name)), sitk.ReadImage(str(target))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(before), sitk.GetArrayFromImage(after))
        np.testing.assert_allclose(after.GetDirection(), before.GetDirection(), atol=1e-6)
        np.testing.assert_allclose(after.GetOrigin(), before.GetOrigin(), atol=2e-3)
