"""The collection of files that go wrong in practice: each is read as it truly is, or refused in a sentence
that names the cause.
"""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from ctseg_imaging import formats
from ctseg_imaging.errors import ChoiceNeeded, CtsegError
from ctseg_imaging.geometry import AxisView
from ctseg_imaging.volume import LabelMap, Volume

# What a refusal has to mention.
CAUSES = {
    "orientations/sheared.nii.gz": "sheared",
    "files/truncated.nii.gz": "cut off",
    "files/truncated.nii": "cut off",
    "files/header-only.nii": "cut off",
    "files/4d-three-volumes.nii.gz": "3 volumes",
    "files/2d.nii.gz": "2D",
    "files/rgb.nii.gz": "numbers a voxel",
    "files/zero-byte.nii.gz": "empty",
    "files/text.nii.gz": "is it an image",
    "files/gzip-of-text.nii.gz": "is it an image",
    "files/wrong-suffix.nii": "rename",
    "files/missing-data.nhdr": "not-there.raw is missing",
    "files/pair-lost.mhd": "gone.zraw is missing",
    "files/negative-spacing.mhd": "spacing",
    "files/zero-pixdim.nii": "voxel size",
    "files/label-probability.nii.gz": "probabilities",
    "files/label-negative.nii.gz": "-1",
    "dicom/missing-slice": "1 slice is missing",
    "dicom/duplicate-slice": "two different slices",
    "dicom/gantry-tilt": "tilt of 15.0",
    "dicom/mixed-series": "2 series",
    "dicom/mixed-spacing": "pixel spacing (mm) 6 x 6",
    "dicom/variable-gap": "uneven",
    "dicom/mixed-orientation": "orientation 2",
    "dicom/no-position": "no position",
    "dicom/localizer-same-series": "localiser",
    "dicom/truncated-slice": "cut off",
    "dicom/empty-folder": "no DICOM file",
}
# Refused until a part of the series is chosen; each part alone is a volume.
DIVIDED = ("dicom/mixed-spacing", "dicom/mixed-orientation", "dicom/localizer-same-series")
UNKNOWN_ORIENTATION = ("orientations/no-qform-no-sform.nii.gz", "files/negative-pixdim.nii")


@pytest.fixture(scope="module")
def nasty(shared_data) -> Path:
    if not (folder := shared_data / "nasty").is_dir():
        pytest.skip("the collection of nasty files is not here")
    return folder


@pytest.fixture(scope="module")
def expected(nasty) -> dict[str, dict]:
    return json.loads((nasty / "expected.json").read_text(encoding="utf-8"))


def load(nasty: Path, name: str, entry: dict, chosen: bool = True) -> Volume | LabelMap:
    choice = entry.get("choose", {}) if chosen else {}
    return (
        formats.read_labels(nasty / name) if entry.get("as_label") else formats.read(nasty / name, **choice)
    )


def truth_of(name: str, entry: dict) -> dict:
    """The geometry to find. For two series of equal rank `truth` repeats the first one, while `choose` names
    the second of `series`.
    """
    return (
        entry["series"][entry["choose"]["series"] - 1]
        if name == "dicom/mixed-series"
        else entry.get("truth", entry)
    )


def readable(expected: dict[str, dict]) -> list[str]:
    return [name for name, entry in expected.items() if entry["expect"] == "read" or "choose" in entry]


def test_every_file_has_its_check(expected):
    refused = {name for name, entry in expected.items() if entry["expect"] == "refuse" or "choose" in entry}
    assert len(expected) == 78
    assert refused == set(CAUSES)


def test_refusals_name_the_cause_in_one_sentence(nasty, expected, subtests):
    for name, cause in CAUSES.items():
        with subtests.test(name), pytest.raises(CtsegError) as refusal:
            load(nasty, name, expected[name], chosen=False)
        with subtests.test(name):
            assert cause in str(refusal.value)
            assert "\n" not in str(refusal.value)
            assert ("choose" in expected[name] or name in DIVIDED) == isinstance(refusal.value, ChoiceNeeded)


def test_geometry_is_the_true_one(nasty, expected, subtests):
    for name in readable(expected):
        with subtests.test(name):
            entry = expected[name]
            truth, geometry = truth_of(name, entry), load(nasty, name, entry).geometry
            assert list(geometry.shape) == truth["shape_zyx"][-3:]
            np.testing.assert_allclose(geometry.spacing_mm[::-1], truth["spacing_xyz"][:3], atol=1e-5)
            if "4d" not in name or "one" in name:
                np.testing.assert_allclose(geometry.origin_lps_mm, truth["origin_lps"], atol=1e-3)
                np.testing.assert_allclose(geometry.direction.ravel(), truth["direction"], atol=1e-5)


def test_values_stand_at_their_points(nasty, expected, subtests):
    checked = 0
    for name in readable(expected):
        entry = expected[name]
        probes = entry.get("probes", []) + [entry[key] for key in ("probe", "probe_2") if key in entry]
        if not probes:
            continue
        item = load(nasty, name, entry)
        for probe in probes:
            with subtests.test(name, probe=probe):
                if "point_lps" in probe:
                    index = item.geometry.lps_to_index(probe["point_lps"])
                    assert np.abs(index - np.rint(index)).max() < 1e-3
                    at = tuple(np.rint(index).astype(int))
                else:
                    at = tuple(probe["index_zyx"] if "index_zyx" in probe else probe["index_xyz"][::-1])
                assert abs(float(item.array[at]) - probe["value"]) <= probe.get("tolerance", 0)
                checked += 1
    assert checked == 12 * 4 + 12


def test_all_orientations_are_one_physical_volume(nasty, expected):
    reference = None
    for name, entry in expected.items():
        if "same_physical_volume_as" not in entry:
            continue
        volume = formats.read(nasty / name)
        view = AxisView.of(volume.geometry)
        upright, grid = view.apply(volume.array), view.geometry(volume.geometry)
        reference = (upright, grid) if reference is None else reference
        np.testing.assert_array_equal(upright, reference[0], err_msg=name)
        assert reference[1].matches(grid) in ("same", "rounding"), name


def test_copies_of_the_good_file_are_equal(nasty):
    good = formats.read(nasty / "files/good.nii.gz")
    for name in (
        "detached.nhdr",
        "space-lps.nrrd",
        "space-ras.nrrd",
        "compressed.mha",
        "pair.mhd",
        "big-endian.nii.gz",
        "nifti2.nii.gz",
        "größe mit leerzeichen.nii.gz",
        "4d-one-volume.nii.gz",
    ):
        other = formats.read(nasty / "files" / name)
        np.testing.assert_array_equal(other.array, good.array, err_msg=name)
        assert other.array.dtype == np.int16
    left = formats.read(nasty / "files/left-handed.nii.gz")
    np.testing.assert_array_equal(left.array[:, :, ::-1], good.array)
    assert left.geometry.matches(good.geometry) != "no overlap"


def test_third_volume_is_the_third(nasty):
    good = formats.read(nasty / "files/good.nii.gz").array
    np.testing.assert_array_equal(
        formats.read(nasty / "files/4d-three-volumes.nii.gz", volume=3).array, good + 20
    )


def test_numbers_that_are_none_survive(nasty, expected):
    volume = formats.read(nasty / "files/float64-nan-inf.nii.gz")
    assert np.isfinite(volume.array).sum() == expected["files/float64-nan-inf.nii.gz"]["finite_voxels"]


def test_labels_keep_their_values(nasty, expected, subtests):
    for name, entry in expected.items():
        if entry.get("as_label") and entry["expect"] == "read":
            with subtests.test(name):
                labels = formats.read_labels(nasty / name)
                assert np.unique(labels.array).tolist() == entry["labels"]
                assert labels.array.dtype == (np.uint16 if 300 in entry["labels"] else np.uint8)
    assert "rounded" in formats.read_labels(nasty / "files/label-float-nearly.nii.gz").notes[0]


def test_what_is_doubtful_is_noted(nasty):
    for name in UNKNOWN_ORIENTATION:
        assert "Orientation unknown" in formats.read(nasty / name).notes[0]
    assert (
        "disagree by up to 20 mm" in formats.read(nasty / "orientations/qform-sform-disagree.nii.gz").notes[0]
    )
    assert "1 slice(s) occur twice" in formats.read(nasty / "dicom/identical-duplicate").notes[0]
    assert "localiser" in formats.read(nasty / "dicom/with-localizer").notes[0]
    assert "2 file(s) that are not DICOM" in formats.read(nasty / "dicom/with-text-file").notes[0]


def uncompressed(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def test_nifti_files_come_back_to_the_bit(nasty, expected, tmp_path, subtests):
    names = [name for name, entry in expected.items() if entry["expect"] == "read" and ".nii" in name]
    assert len(names) > 30
    for name in names:
        with subtests.test(name):
            target = tmp_path / Path(name).name
            formats.write(target, formats.read(nasty / name), overwrite=True)
            assert uncompressed(target) == uncompressed(nasty / name)


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "mha"])
def test_everything_readable_survives_every_format(nasty, expected, tmp_path, ending, subtests):
    for name in readable(expected):
        with subtests.test(name):
            item = load(nasty, name, expected[name])
            target = tmp_path / f"a.{ending}"
            formats.write(target, item, overwrite=True)
            again = formats.read(target)
            np.testing.assert_array_equal(again.array, item.array)
            assert again.array.dtype == item.array.dtype
            assert again.geometry.matches(item.geometry) in ("same", "rounding")
