"""The phantoms: exact labels, one anatomy at any grid, hard for thresholds, fast."""

from __future__ import annotations

import json
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ctseg_imaging import formats, phantom
from ctseg_imaging.errors import FormatError
from ctseg_imaging.phantom.shapes import Points, capsule, ellipsoid
from ctseg_imaging.phantom.texture import Texture
from tests.pace import at_most

ORGANS = (1, 2, 3, 4)
PLAUSIBLE_ML = {1: (600, 2600), 2: (120, 480), 3: (50, 480), 4: (40, 170)}


@pytest.fixture(scope="module")
def cases() -> list[phantom.PhantomCase]:
    return [phantom.abdomen(seed) for seed in (0, 5, 16)]


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_a_case_is_int16_hu_with_uint8_labels_on_one_grid(cases):
    image, labels = cases[0].image, cases[0].labels
    assert image.array.dtype == np.int16 and labels.array.dtype == np.uint8 and image.modality == "CT"
    assert image.geometry.shape == (128, 112, 112) and image.geometry.spacing_mm == pytest.approx((3, 3, 3))
    assert labels.geometry is image.geometry
    assert {label.value: label.name for label in labels.labels} == {
        1: "liver",
        2: "kidneys",
        3: "spleen",
        4: "pancreas",
    }
    assert np.unique(labels.array).tolist() == [0, 1, 2, 3, 4]


def test_organs_have_volumes_of_people(cases):
    for case in cases:
        for value, (least, most) in PLAUSIBLE_ML.items():
            volume_ml = (case.labels.array == value).sum() * case.image.geometry.voxel_volume_mm3 / 1000
            assert least < volume_ml < most, (value, volume_ml)


def test_the_liver_lies_on_the_patients_right_and_above_the_kidneys(cases):
    for case in cases:
        middle = {
            v: case.labels.geometry.index_to_lps(np.argwhere(case.labels.array == v)).mean(axis=0)
            for v in ORGANS
        }
        assert middle[1][0] < middle[4][0] < middle[3][0]  # LPS x grows to the left
        assert middle[1][2] > middle[2][2] and middle[3][2] > middle[2][2]
        assert middle[2][1] > middle[4][1]  # the pancreas lies in front of the kidneys
        sides = case.labels.geometry.index_to_lps(np.argwhere(case.labels.array == 2))[:, 0] - middle[2][0]
        assert 0.3 < (sides > 0).mean() < 0.7  # one kidney each side


def test_tissues_have_the_hu_of_a_ct(cases):
    for case in cases:
        image = case.image.array
        air, bone = (image < -950).mean(), (image > 300).mean()
        lung, fat = ((image > -930) & (image < -780)).mean(), ((image > -140) & (image < -70)).mean()
        assert air > 0.15 and lung > 0.03 and fat > 0.08 and 0.002 < bone < 0.05
        for value in ORGANS:
            assert 10 < image[case.labels.array == value].mean() < 130


def test_the_same_seed_is_the_same_anatomy_at_another_spacing():
    coarse = phantom.abdomen(11, (33, 41, 45), (9, 7, 6)).labels.array
    fine = phantom.abdomen(11, (99, 123, 135), (3, 7 / 3, 2)).labels.array
    centres = fine[1::3, 1::3, 1::3]  # the middle of each 3 x 3 x 3 block is the centre of the coarse voxel
    for value in ORGANS:
        assert (
            dice(coarse == value, centres == value) > 0.93
        )  # fine texture of the outline may differ by the mesh, place may not


def test_the_field_of_view_only_crops():
    whole = phantom.abdomen(2, (60, 62, 64), (6, 5, 5)).labels.array
    part = phantom.abdomen(2, (20, 30, 40), (6, 5, 5)).labels.array
    assert np.array_equal(whole[20:40, 16:46, 12:52], part)


def test_a_tilted_grid_sees_the_same_organs():
    straight, tilted = (
        phantom.abdomen(4, (60, 62, 64), (6, 5, 5)).labels,
        phantom.abdomen(4, (60, 62, 64), (6, 5, 5), tilt_deg=14).labels,
    )
    assert tilted.geometry.is_oblique and not straight.geometry.is_oblique
    points = tilted.geometry.index_to_lps(np.argwhere(tilted.array > 0))
    index = np.rint(straight.geometry.lps_to_index(points)).astype(int)
    inside = ((index >= 0) & (index < straight.geometry.shape)).all(axis=1)
    there = straight.array[tuple(index[inside].T)]
    assert inside.mean() > 0.95 and (there == tilted.array[tilted.array > 0][inside]).mean() > 0.8


def test_slabs_leave_no_trace(monkeypatch):
    whole = phantom.abdomen(3, (40, 50, 60), (7, 6, 6))
    monkeypatch.setattr(phantom.cases, "SLAB_VOXELS", 7 * 50 * 60)
    slabs = phantom.abdomen(3, (40, 50, 60), (7, 6, 6))
    assert np.array_equal(whole.labels.array, slabs.labels.array)
    assert (
        np.abs(whole.image.array.astype(int) - slabs.image.array).max() <= 2
    )  # rounding of the warp's float32 sums


def test_seeds_differ_and_repeat():
    a, b, c = (phantom.abdomen(seed, (20, 30, 31), (12, 10, 10)) for seed in (1, 1, 2))
    assert np.array_equal(a.image.array, b.image.array) and np.array_equal(a.labels.array, b.labels.array)
    assert dice(a.labels.array > 0, c.labels.array > 0) < 0.95


def test_no_threshold_finds_an_organ(cases):
    """Brute force over the histogram: every interval of 2 HU steps, scored with the label in hand."""
    edges = np.arange(-200, 401, 2)
    for case in cases:
        for value in ORGANS:
            organ = case.labels.array == value
            inside = np.histogram(case.image.array[organ], edges)[0]
            voxels = np.histogram(case.image.array, edges)[0]
            best = 0.0
            for start in range(len(inside)):
                hit, picked = np.cumsum(inside[start:]), np.cumsum(voxels[start:])
                best = max(best, float((2 * hit / (picked + organ.sum())).max()))
            assert 0 < best <= 0.5, (value, best)


def test_organs_show_an_edge_to_what_touches_them(cases):
    """Learnable: most of the surface has fat or gas, darker by far, within two voxels outside."""
    from scipy.ndimage import binary_dilation, minimum_filter

    for case in cases:
        dark = minimum_filter(case.image.array, 3)
        for value in ORGANS:
            organ = case.labels.array == value
            rim = binary_dilation(organ) & (case.labels.array == 0)
            assert np.median(dark[rim]) < case.image.array[organ].mean() - 45


def test_noise_is_stronger_in_thin_slices():
    def spread(spacing_z: float) -> float:
        case = phantom.abdomen(6, (12, 100, 100), (spacing_z, 1.5, 1.5))
        return float(case.image.array[case.labels.array == 1].std())

    assert spread(1.0) > 1.15 * spread(6.0)


def test_the_default_takes_seconds():
    with at_most(6, time.process_time):
        case = phantom.abdomen(8)
    assert set(np.unique(case.labels.array)) == {0, *case.labels.labels.values}


@pytest.mark.long
def test_a_full_size_ct_fits_in_a_minute_and_little_memory():
    with at_most(90, time.process_time):
        case = phantom.abdomen(5, (150, 512, 512), (2, 0.75, 0.75))
    assert case.image.array.shape == (150, 512, 512)


@pytest.mark.parametrize(
    ("shape", "spacing"), [((0, 4, 4), (1, 1, 1)), ((4, 4), (1, 1, 1)), ((4, 4, 4), (1, -1, 1))]
)
def test_impossible_grids_are_refused(shape, spacing):
    with pytest.raises(ValueError, match="three sizes"):
        phantom.abdomen(0, shape, spacing)


def test_lesions_are_few_small_and_bright():
    densities = []
    for seed in range(12):
        case = phantom.lesions(seed)
        lesion = case.labels.array == 1
        densities.append(float(lesion.mean()))
        inside = case.image.array[~lesion & (case.image.array > 300)]
        assert case.image.array[lesion].mean() > np.median(inside)
    assert min(densities) >= 0.0003 and max(densities) <= 0.01 and max(densities) > 3 * min(densities)


def test_a_data_set_is_the_decathlons(tmp_path: Path):
    folder = phantom.write_dataset(tmp_path / "set", "abdomen", 5, size=(9, 11, 13), spacing=None, seed=40)
    described = json.loads((folder / "dataset.json").read_text())
    assert described["labels"] == {
        "0": "background",
        "1": "liver",
        "2": "kidneys",
        "3": "spleen",
        "4": "pancreas",
    }
    assert len(described["training"]) == 4 and len(described["validation"]) == 1
    spacings = set()
    for entry in described["training"] + described["validation"]:
        image, labels = nib.load(folder / entry["image"]), nib.load(folder / entry["label"])
        assert image.shape == labels.shape == (13, 11, 9) and np.array_equal(image.affine, labels.affine)
        x, y, z = image.header.get_zooms()
        assert 2 <= z <= 5 and 1.5 <= x <= 3 and x == pytest.approx(y)
        spacings.add(round(float(z), 3))
    assert len(spacings) == 5
    seed_41 = phantom.abdomen(
        41, (9, 11, 13), formats.read(folder / "imagesTr/abdomen-0041.nii.gz").geometry.spacing_mm
    )
    assert np.array_equal(
        formats.read_labels(folder / "labelsTr/abdomen-0041.nii.gz").array, seed_41.labels.array
    )
    with pytest.raises(FormatError, match="already"):
        phantom.write_dataset(folder, "abdomen", 1)


def test_work_that_is_closed_leaves_no_cases(tmp_path: Path):
    work = phantom.dataset_steps(tmp_path / "set", "abdomen", 3, size=(5, 6, 7))
    for _ in range(3):
        next(work)
    assert len(list((tmp_path / "set").rglob("*.nii.gz"))) == 4
    work.close()
    assert not [path for path in (tmp_path / "set").rglob("*") if path.is_file()]


def test_a_data_set_without_size_covers_the_body(tmp_path: Path):
    folder = phantom.write_dataset(tmp_path / "set", "lesions", 1, spacing=(6, 5, 5))
    volume = formats.read(folder / "imagesTr/lesions-0000.nii.gz")
    assert volume.geometry.spacing_mm == pytest.approx((6, 5, 5), abs=1e-5)
    assert all(
        150 < n * s < 240 for n, s in zip(volume.geometry.shape, volume.geometry.spacing_mm, strict=True)
    )


def points(*xyz: float) -> Points:
    return Points(*(np.full((1, 1, 1), value, np.float32) for value in xyz), {})


def test_shapes_by_hand():
    assert capsule(points(3, 4, 5), (0, 0, 0), (0, 0, 10), 2, 4).item() == pytest.approx(
        2
    )  # 5 from the axis, radius 3 half way
    assert ellipsoid(points(5, 0, 0), (0, 0, 0), (5, 7, 9)).item() == pytest.approx(0, abs=1e-4)
    assert ellipsoid(points(0, 8, 0), (0, 0, 0), (5, 7, 9)).item() == pytest.approx(
        1, abs=0.01
    )  # on an axis the bound is exact
    assert ellipsoid(points(1, 1, 1), (0, 0, 0), (5, 7, 9)).item() < 0


def test_a_texture_is_smooth_has_unit_variance_and_knows_no_grid():
    texture = Texture(np.random.default_rng(0), 5.0)
    axis = np.arange(0, 300, 2.5)
    field = texture.sample((axis, axis, axis))
    assert abs(float(field.mean())) < 0.02 and float(field.std()) == pytest.approx(1, abs=0.03)
    assert np.allclose(texture.sample((axis[4:7], axis[2:9], axis[:3])), field[4:7, 2:9, :3], atol=1e-5)
    assert np.corrcoef(field[1:].ravel(), field[:-1].ravel())[0, 1] > 0.75
