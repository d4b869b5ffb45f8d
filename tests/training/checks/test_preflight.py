"""What would spoil a run is reported before its first step, and names the file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from ctseg_imaging import formats
from ctseg_imaging.errors import RecipeError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import Progress, finish
from ctseg_imaging.volume import LabelMap, Labels, Volume
from ctseg_training.checks.memory_need import memory_need
from ctseg_training.checks.preflight import check, fingerprint
from ctseg_training.data.decathlon import Decathlon, open_dataset
from ctseg_training.recipes import Recipe, load_recipe
from ctseg_training.recipes.stages import stage_of
from tests.training.conftest import NAMES, SHAPE, TINY_SCN, TINY_UNET, write_dataset

TINY_2D = (
    "network={kind: sunet, filters: 4}",
    "losses=[{kind: soft_dice}]",
    "augmentation.elastic=null",
    "data.spacing_mm=[3, 3, 3]",
    "budget={steps: 4}",
)


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("scn-segment-small", TINY_SCN)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "balls", count=3)


def passed(recipe: Recipe, folder: Path, **options: object) -> tuple[str, ...]:
    dataset = open_dataset(folder)
    return finish(check(recipe, dataset, dataset.training, **options))  # type: ignore[arg-type]


def refused(recipe: Recipe, folder: Path, **options: object) -> str:
    with pytest.raises(RecipeError) as caught:
        passed(recipe, folder, **options)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    return str(caught.value)


def change_image(folder: Path, case: int, change: Callable[[Volume], Volume]) -> Path:
    path = folder / "imagesTr" / f"case_{case}.nii.gz"
    volume = formats.read(path)
    formats.write(path, replace(change(volume), header=None), overwrite=True)
    return path


def change_label(folder: Path, case: int, change: Callable[[LabelMap], LabelMap]) -> Path:
    path = folder / "labelsTr" / f"case_{case}.nii.gz"
    formats.write(path, replace(change(formats.read_labels(path)), header=None), overwrite=True)
    return path


def change_dataset(folder: Path, **fields: object) -> None:
    path = folder / "dataset.json"
    path.write_text(
        json.dumps(
            {
                key: value
                for key, value in (json.loads(path.read_text()) | fields).items()
                if value is not None
            }
        )
    )


def test_a_sound_data_set_passes_without_a_word_case_by_case(recipe: Recipe, folder: Path) -> None:
    dataset = open_dataset(folder)

    def followed() -> Generator[Progress, None, tuple[str, ...]]:
        notes = yield from check(recipe, dataset, dataset.training)
        assert notes == ()
        return notes

    reports = list(followed())
    assert [(step.done, step.total) for step in reports] == [(0, 3), (1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("label", "part"),
    [
        ("label_same_grid", None),
        (
            "label_coarser_grid",
            "has 15 x 51 x 61 voxels of 6 x 6 x 6 mm and its image 30 x 101 x 122 voxels of 3 x 3 x 3 mm",
        ),
        ("label_half_voxel_shift", r"lies 2\.6 mm away from the grid of its image; resample"),
        ("label_no_overlap", "does not overlap its image"),
        ("label_empty", "labels of all 1 training cases are empty"),
        ("label_cropped_extent", "has 20 x 80 x 80 voxels and its image 30 x 101 x 122 of the same size"),
        ("label_same_shape_other_spacing", "voxels of 5 x 3 x 3 mm and its image"),
        (
            "label_flipped_axis_same_physical",
            "is stored along SAR and its image along SAL|is stored along SAL and its image along SAR",
        ),
    ],
)
def test_real_labels_on_other_grids(
    shared_file: Callable[[str], Path], recipe: Recipe, tmp_path: Path, label: str, part: str | None
) -> None:
    source = shared_file(f"grid-mismatch/{label}.nii.gz")
    values = [
        int(value)
        for value in np.unique(formats.read_labels(shared_file("grid-mismatch/label_same_grid.nii.gz")).array)
        if value
    ]
    real_case(tmp_path, shared_file("grid-mismatch/ct.nii.gz"), source, values)
    if part is None:
        assert passed(recipe, tmp_path) == ()
        return
    with pytest.raises(RecipeError, match=part) as caught:
        passed(recipe, tmp_path)
    assert ("dataset.json" if label == "label_empty" else source.name) in str(caught.value)


@pytest.mark.parametrize(
    ("label", "part"),
    [
        (
            "hippocampus_010_label",
            "has 31 x 50 x 36 voxels and its image 33 x 52 x 37 of the same size (z, y, x); resample it",
        ),
        ("hippocampus_281_label", "does not overlap its image hippocampus_118_image.nii.gz"),
    ],
)
def test_a_real_label_of_another_patient(
    shared_file: Callable[[str], Path], tmp_path: Path, label: str, part: str
) -> None:
    source = shared_file(f"grid-mismatch/{label}.nii.gz")
    real_case(tmp_path, shared_file("grid-mismatch/hippocampus_118_image.nii.gz"), source, [1, 2])
    recipe = load_recipe(
        "scn-segment-small",
        [*TINY_SCN, "modality=MR", "data.intensity={statistics: zscore}", "sampling.mode=roi"],
    )
    message = refused(recipe, tmp_path)
    assert message.startswith(str(tmp_path / "labelsTr" / source.name)) and part in message


def real_case(folder: Path, image: Path, label: Path, values: list[int]) -> None:
    for kind, path in (("imagesTr", image), ("labelsTr", label)):
        (folder / kind).mkdir()
        (folder / kind / path.name).symlink_to(path)
    fields = {
        "labels": {str(value): f"organ {value}" for value in values},
        "training": [{"image": f"imagesTr/{image.name}", "label": f"labelsTr/{label.name}"}],
    }
    (folder / "dataset.json").write_text(json.dumps(fields))


def test_files_that_cannot_be_read(recipe: Recipe, folder: Path) -> None:
    (broken := folder / "labelsTr" / "case_1.nii.gz").write_bytes(b"\x1f\x8bnonsense")
    dataset = open_dataset(folder)
    (gone := folder / "labelsTr" / "case_0.nii.gz").unlink()
    with pytest.raises(RecipeError, match=r"case_0\.nii\.gz: does not exist") as caught:
        finish(check(recipe, dataset, dataset.training))
    assert str(gone) in str(caught.value) and f"{broken}: the gzip stream is damaged" in str(caught.value)


def test_several_faults_are_counted_after_the_third(recipe: Recipe, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "many", count=5)
    for case in range(5):
        change_label(folder, case, lambda found: replace(found, array=found.array * 7, labels=Labels()))
    message = refused(recipe, folder)
    assert message.count("which dataset.json does not name") == 3 and message.endswith(" And 2 more.")
    assert (
        "case_0.nii.gz: has the values 7, 14, 21, which" in message
        and "case_2" in message
        and "case_3" not in message
    )


def test_labels_that_are_listed_as_not_contoured(recipe: Recipe, folder: Path) -> None:
    change_dataset(folder, labels_present={"case_2": ["right", "left"]})
    message = refused(recipe, folder)
    assert (
        message.startswith(str(folder / "labelsTr" / "case_2.nii.gz"))
        and "voxels of value 3" in message
        and "labels_present" in message
    )


def test_a_class_without_a_voxel(recipe: Recipe, folder: Path) -> None:
    change_dataset(
        folder, labels={"1": "right", "2": "left", "3": "middle", "4": "spleen"}, labels_present=None
    )
    assert "'spleen' occurs in no training case, so it cannot be learnt" in refused(recipe, folder)
    change_dataset(folder, labels_present={f"case_{n}": list(NAMES.values()) for n in range(3)})
    assert "'spleen' was contoured in no training case" in refused(recipe, folder)
    assert passed(recipe, folder, fine_tuning=True) == (
        "'spleen' was contoured in no training case; the model may forget part of what it has learned "
        "about it.",
    )
    assert passed(load_recipe("scn-localise-small", TINY_UNET), folder) == ()  # to it all classes are one


def test_a_class_of_held_out_cases_only(recipe: Recipe, folder: Path) -> None:
    for case in (0, 1):
        change_label(
            folder,
            case,
            lambda found: replace(found, array=np.where(found.array == 3, 0, found.array).astype(np.uint8)),
        )
    dataset = open_dataset(folder)
    with pytest.raises(
        RecipeError, match="'middle' occurs in no training case, only in one that is held out"
    ):
        finish(check(recipe, dataset, dataset.training[:2], held_out=dataset.training[2:]))


def test_no_labels_at_all(recipe: Recipe, folder: Path) -> None:
    def emptied(found: LabelMap) -> LabelMap:
        return replace(found, array=np.zeros_like(found.array))

    change_label(folder, 1, emptied)
    assert passed(recipe, folder) == ("1 of 3 training cases (case_1) is without a labelled voxel.",)
    change_label(folder, 0, emptied)
    change_label(folder, 2, emptied)
    for one in (recipe, load_recipe("scn-localise-small", TINY_UNET)):
        assert "the labels of all 3 training cases are empty" in refused(one, folder)


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (
            lambda array: np.where(np.arange(array.shape[2]) == 5, np.nan, array),
            f"has {SHAPE[0] * SHAPE[1]} voxels that are infinite or not",
        ),
        (
            lambda array: np.where(np.arange(array.shape[2]) == 5, np.inf, array),
            f"has {SHAPE[0] * SHAPE[1]} voxels that are infinite or not",
        ),
        (lambda array: np.full_like(array, 40), "has the value 40 everywhere"),
        (lambda array: array * 0.01 + 5000, "lie outside of the recipe's data.intensity"),
    ],
)
def test_values_that_cannot_be_learnt_from(
    recipe: Recipe, folder: Path, spoil: Callable[[np.ndarray], np.ndarray], part: str
) -> None:  # type: ignore[type-arg]
    path = change_image(
        folder,
        1,
        lambda volume: replace(volume, array=spoil(volume.array.astype(np.float32)).astype(np.float32)),
    )
    message = refused(recipe, folder)
    assert message.startswith(f"{path}: ") and part in message


def test_a_recipe_for_another_modality_is_noticed(recipe: Recipe, folder: Path) -> None:
    change_image(folder, 2, lambda volume: replace(volume, array=(volume.array / 1000).astype(np.float32)))
    (note,) = passed(recipe, folder)
    assert note.startswith("case_2: data.intensity leaves it nearly without contrast")


def test_channels(recipe: Recipe, folder: Path) -> None:
    two = load_recipe(
        "scn-segment-small", [*TINY_SCN, "data.more_channels=[{source: 1, clip_low: 0, clip_high: 400}]"]
    )
    assert "case_0.nii.gz: has 1 channel and the recipe takes 2" in refused(two, folder)
    path = folder / "imagesTr" / "case_1.nii.gz"
    import nibabel

    stored = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.stack([stored.get_fdata()] * 2, axis=-1), stored.affine), path)
    assert f"{path}: holds several volumes" in refused(recipe, folder)


def one_slice(folder: Path, shape: tuple[int, int, int] = (1, 34, 38)) -> None:
    grid = Geometry.from_parts(shape, (3, 2.5, 2))
    rng = np.random.default_rng(2)
    for kind, make in (
        ("imagesTr", lambda: Volume(rng.normal(0, 90, shape).astype(np.float32), grid)),
        ("labelsTr", lambda: LabelMap(rng.integers(0, 4, shape).astype(np.uint8), grid)),
    ):
        formats.write(folder / kind / "case_0.nii.gz", make(), overwrite=True)


def test_a_single_slice_is_for_2d_networks(recipe: Recipe, folder: Path) -> None:
    one_slice(folder)
    message = refused(recipe, folder)
    assert (
        "case_0.nii.gz: is a single slice (1 x 34 x 38 voxels, z, y, x), and the recipe's network is 3D"
        in message
    )
    flat = load_recipe(
        "scn-segment-small", [*TINY_2D, "sampling={mode: slices, size: [16, 24, 24], empty_slices: true}"]
    )
    assert passed(flat, folder) == (
        "1 of 3 training cases (case_0) is of fewer than 16 slices of 3 mm, so a sample contains some of "
        "them twice.",
    )
    one_slice(folder, (30, 34, 1))
    assert "its axial slices have 34 x 1 voxels (y, x)" in refused(flat, folder)


@pytest.mark.parametrize(("size", "noticed"), [([16, 40, 24], False), ([24, 56, 40], True)])
def test_samples_much_larger_than_a_case_are_noticed(folder: Path, size: list[int], noticed: bool) -> None:
    """The cases have 30 x 28 x 25 voxels of 3 mm: they fill 28 / 40 of the first size and 28 / 56 * 25 /
    40 of the second.
    """
    recipe = load_recipe("scn-segment-small", [*TINY_SCN, f"sampling.size={size}"])
    assert passed(recipe, folder) == noticed * (
        "3 of 3 training cases (case_0, case_1, case_2) are less than half as large as a sample of 24 x 56 x "
        "40 voxels of 3 x 3 x 3 mm "
        "(z, y, x), and the rest is filled with -1024; a smaller sampling.size would suit.",
    )


def test_too_little_memory_is_reported_with_the_numbers(
    recipe: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = refused(recipe, folder, available_mb=0.5)
    assert (
        "training on 1 x 16 x 16 x 16 voxels (batch, z, y, x) needs about " in message
        and "0 MB are free; lower batch" in message
    )
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 500_000})())
    assert "needs about" in refused(recipe, folder)
    assert passed(recipe, folder, available_mb=4000) == ()


def test_the_memory_of_a_gpu_is_another_one(
    recipe: Recipe, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (500_000, 80_000_000_000))
    assert "MB on cuda:0" in refused(recipe, folder, device="cuda:0")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (60_000_000_000, 80_000_000_000))
    assert passed(recipe, folder, device="cuda:0") == ()
    monkeypatch.undo()
    assert passed(recipe, folder, device="cuda:99") == ()  # refused elsewhere, in its own words


def test_the_memory_of_a_network_whose_maps_can_be_counted_by_hand() -> None:
    """Two levels, no dropout: what autograd keeps of each layer is written out here."""
    recipe = load_recipe(
        "scn-localise-small",
        [
            *TINY_UNET,
            "network={kind: unet, levels: 1, filters: 6, dropout: 0}",
            "precision=fp32",
            "losses=[{kind: soft_dice}]",
            "sampling={mode: patch, size: [64, 64, 32]}",
        ],
    )
    need = memory_need(recipe, stage_of(recipe, Labels.from_names(NAMES)), (64, 64, 32), 25)
    voxels, filters = 64 * 64 * 32, 6
    kept = voxels * 4 * (1 + 4 * filters)  # the image, and the activated output of each of four convolutions
    slack = voxels * 4 * (3 * filters + 6 * 2)  # the backward pass next to it, and the loss on two outputs
    assert need.activations == pytest.approx((kept + slack) / 1e6, rel=0.02)
    weights = (27 * 1 * filters + filters) + 3 * (27 * filters * filters + filters) + (filters * 2 + 2)
    assert need.network == pytest.approx(5 * 4 * weights / 1e6)
    assert need.reading == 25


def test_counting_leaves_the_random_state_alone(recipe: Recipe) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    memory_need(recipe, stage_of(recipe, Labels.from_names(NAMES)), (16, 16, 16), 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_fingerprint_changes_with_the_files_and_with_their_description(folder: Path) -> None:
    def now(dataset: Decathlon) -> str:
        return fingerprint(dataset.training)

    dataset = open_dataset(folder)
    first = now(dataset)
    assert first == now(open_dataset(folder)) and len(first) == 64
    touched = folder / "labelsTr" / "case_1.nii.gz"
    os.utime(touched, ns=(1, 1))
    assert (second := now(dataset)) != first
    change_dataset(folder, labels_present={"case_0": ["right"]})
    assert (third := now(open_dataset(folder))) not in (first, second)
    touched.unlink()
    assert now(dataset) not in (first, second, third)
