"""Reading and sampling cases, with inference's own resampling as an oracle."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from ctseg_imaging.errors import CtsegError, RecipeError
from ctseg_imaging.geometry import Geometry
from ctseg_models.contract.lattice import Lattice, ViewBox
from ctseg_models.contract.plan import Intensity
from ctseg_models.inference.input.intensities import settle
from ctseg_models.inference.input.preprocess import network_input
from ctseg_training.data import cases as case_module
from ctseg_training.data.cases import Case, CaseStore, load_case, make_case
from ctseg_training.data.decathlon import open_dataset
from ctseg_training.data.feeding import Batches, fed
from ctseg_training.data.heldout import split_cases
from ctseg_training.data.sampling import PatchSampler
from ctseg_training.data.spatial import SpatialDraw, identity
from ctseg_training.data.statistics import with_statistics
from ctseg_training.recipes import Recipe, load_recipe
from ctseg_training.recipes.data_settings import Augmentation
from ctseg_training.recipes.stages import stage_of
from tests.training.conftest import NAMES, SHAPE, SPACING, TINY_SCN, TINY_UNET, anatomy, write_dataset

UPRIGHT = Geometry.from_parts(SHAPE, SPACING)
EVERY = (True, True, True, True)
PLAIN = (Intensity(),)


def case_of(
    image: np.ndarray, labels: np.ndarray | None = None, channels: tuple[Intensity, ...] = PLAIN
) -> Case:  # type: ignore[type-arg]
    labels = np.zeros(SHAPE, np.uint8) if labels is None else labels
    return make_case(
        "x", image[None], labels, UPRIGHT, tuple(settle(channel, image) for channel in channels), EVERY
    )


def sampler_of(folder: Path, recipe: Recipe) -> PatchSampler:
    dataset = open_dataset(folder)
    return PatchSampler.of(recipe, stage_of(recipe, dataset.labels).plan, dataset)


def test_a_case_is_upright_whatever_way_it_is_stored(dataset_folder: Path) -> None:
    dataset = open_dataset(dataset_folder)
    case = load_case(dataset.training[2], PLAIN)
    image, labels = anatomy(2)
    assert np.array_equal(case.image.numpy(), image[None]) and np.array_equal(case.labels.numpy(), labels)
    assert case.image.dtype == torch.int16 and case.spacing_mm == pytest.approx(SPACING)
    voxels = np.argwhere(labels > 0)
    assert case.box.low == pytest.approx(tuple(voxels.min(0) * SPACING))
    assert case.box.high == pytest.approx(tuple((voxels.max(0) + 1) * SPACING))
    assert all((labels[tuple(points.T)] == value).all() for value, points in case.points.items()) and set(
        case.points
    ) == {1, 2, 3}
    assert dataset.training[1].present == (True, True, True, False)


@pytest.mark.parametrize("spacing", [(3.0, 2.5, 2.0), (2.0, 2.5, 1.3), (9.0, 5.0, 6.0)])
def test_without_augmentation_the_network_sees_what_inference_shows_it(
    spacing: tuple[float, float, float],
) -> None:
    """Finer voxels are interpolated and whole multiples averaged alike; also beyond the volume, and after
    clipping.
    """
    recipe = load_recipe("scn-segment-small", [*TINY_SCN, f"data.spacing_mm={list(spacing)}"])
    plan = stage_of(recipe, open_labels()).plan
    case = case_of(ndimage.gaussian_filter(anatomy(3)[0].astype(np.float32), 1.5), channels=plan.channels)
    shape = (16, 24, 16)
    lattice = Lattice((-2 * spacing[0], 0.0, 2 * spacing[2]), spacing, shape)
    work = network_input(case.image.numpy(), SPACING, lattice, plan)
    try:
        while True:
            next(work)
    except StopIteration as end:
        reference = end.value[0, 0].numpy()
    still = recipe.model_copy(update={"augmentation": Augmentation()})
    ours = (
        PatchSampler(still, plan, (1.0, 1.0, 1.0), ())
        .take(case, lattice, identity(), np.random.default_rng(0))
        .image[0]
        .numpy()
    )
    assert ours.shape == reference.shape and ours[0].mean() == pytest.approx(-1)  # air above the volume
    assert np.abs(ours - reference).max() < 2e-3


def open_labels():  # type: ignore[no-untyped-def]
    from ctseg_imaging.volume import Labels

    return Labels.from_names(NAMES)


def test_a_mirrored_sample_swaps_the_pair_and_what_was_contoured(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", 1, absent={"case_0": ["left"]})
    recipe = load_recipe(
        "scn-segment-small", [*TINY_SCN, "augmentation={mirror: 1, mirror_pairs: [[right, left]]}"]
    )
    sampler = sampler_of(folder, recipe)
    case = load_case(open_dataset(folder).training[0], PLAIN)
    lattice = Lattice((0.0, 0.0, 0.0), SPACING, SHAPE)
    sample = sampler.take(
        case, lattice, SpatialDraw(np.eye(3), np.zeros(3), mirror=True), np.random.default_rng(0)
    )
    flipped = case.labels.numpy()[:, :, ::-1]
    assert np.array_equal(sample.target.numpy(), np.select([flipped == 1, flipped == 3], [2, 3], 0))
    assert sample.present.tolist() == [True, False, True, True]


def test_patches_go_near_labels_by_weight(dataset_folder: Path) -> None:
    recipe = load_recipe(
        "scn-segment-small",
        [
            *TINY_SCN,
            "augmentation={}",
            "sampling.near_label=1",
            "sampling.label_weights={middle: 1000}",
            "sampling.near_distance_mm=[0, 0, 0]",
            "sampling.size=[8, 8, 8]",
        ],
    )
    sampler = sampler_of(dataset_folder, recipe)
    case = load_case(open_dataset(dataset_folder).training[0], PLAIN)
    rng = np.random.default_rng(2)
    middle = [bool((sampler.sample(case, rng).target[3:5, 3:5, 3:5] == 3).any()) for _ in range(30)]
    assert sum(middle) >= 28


def test_a_patch_stays_within_the_labels_box_and_margin(dataset_folder: Path) -> None:
    recipe = load_recipe("scn-segment-small", [*TINY_SCN, "sampling.near_label=0.5"])
    sampler = sampler_of(dataset_folder, recipe)
    case = load_case(open_dataset(dataset_folder).training[0], PLAIN)
    bounds = case.box.grown(6).cut(ViewBox.whole(case.geometry))
    rng = np.random.default_rng(3)
    for _ in range(50):
        box = sampler.lattice(case, rng)[0].box
        for axis in range(3):
            if bounds.extent[axis] >= 48:
                assert bounds.low[axis] - 1e-6 <= box.low[axis] and box.high[axis] <= bounds.high[axis] + 1e-6
            else:
                assert box.low[axis] + box.high[axis] == pytest.approx(bounds.low[axis] + bounds.high[axis])


def test_a_roi_has_an_allowed_size_and_holds_all_labels(dataset_folder: Path) -> None:
    recipe = load_recipe(
        "scn-segment-small", [*TINY_SCN, "sampling={mode: roi, margin_mm: 8}", "augmentation={}"]
    )
    sampler = sampler_of(dataset_folder, recipe)
    case = load_case(open_dataset(dataset_folder).training[2], PLAIN)
    sample = sampler.sample(case, np.random.default_rng(0))
    assert all(n % 8 == 0 and 16 <= n <= 48 for n in sample.target.shape)
    volume_mm3 = np.bincount(sample.target.flatten().numpy(), minlength=4) * 27.0
    true_mm3 = np.bincount(case.labels.flatten().numpy(), minlength=4) * np.prod(SPACING)
    assert volume_mm3[1:] == pytest.approx(true_mm3[1:], rel=0.2)
    assert (
        not sample.target[[0, -1]].any()
        and not sample.target[:, [0, -1]].any()
        and not sample.target[:, :, [0, -1]].any()
    )


def test_the_localiser_sees_one_foreground_in_the_whole_volume(dataset_folder: Path) -> None:
    recipe = load_recipe("scn-localise-small", [*TINY_UNET, "augmentation={}", "data.spacing_mm=[6, 5, 4]"])
    case = load_case(open_dataset(dataset_folder).training[1], PLAIN)
    sample = sampler_of(dataset_folder, recipe).sample(case, np.random.default_rng(0))
    assert set(sample.target.unique().tolist()) == {0, 1} and sample.present.tolist() == [True, True]
    assert float(sample.target.sum()) * 120 == pytest.approx(
        int((case.labels > 0).sum()) * float(np.prod(SPACING)), rel=0.1
    )


def batches_of(folder: Path, recipe: Recipe, kept_in: Path) -> Batches:
    dataset, sampler = open_dataset(folder), sampler_of(folder, recipe)
    return Batches(dataset.training, CaseStore(kept_in, sampler.plan.channels), sampler)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_are_a_function_of_their_number(
    tiny: Recipe, dataset_folder: Path, tmp_path: Path, workers: int
) -> None:
    with fed(batches_of(dataset_folder, tiny, tmp_path / "a"), 3, workers=workers) as feed:
        third, fourth = next(feed), next(feed)
    alone = batches_of(dataset_folder, tiny, tmp_path / "b")[4]
    assert all(torch.equal(a, b) for a, b in zip(fourth, alone, strict=True))
    assert not torch.equal(third[0], fourth[0])


def test_every_case_is_seen_once_a_turn(tiny: Recipe, dataset_folder: Path, tmp_path: Path) -> None:
    source = batches_of(dataset_folder, tiny, tmp_path)
    seen: list[str] = []

    class Watched(CaseStore):
        def get(self, entry):  # type: ignore[no-untyped-def]
            seen.append(entry.name)
            return super().get(entry)

    watched = Batches(source.entries, Watched(tmp_path, source.sampler.plan.channels), source.sampler)
    for number in range(8):
        watched[number]
    assert sorted(seen[:4]) == sorted(seen[4:]) == [f"case_{n}" for n in range(4)]


def test_fixed_versions_come_again_as_they_were(dataset_folder: Path, tmp_path: Path) -> None:
    recipe = load_recipe("scn-segment-small", [*TINY_SCN, "sampling.versions=3", "batch=2"])
    source = batches_of(dataset_folder, recipe, tmp_path)
    known: dict[int, torch.Tensor] = {}
    for number in range(12):  # two rounds of 4 cases x 3 versions
        batch = source[number]
        for item, image in zip(batch.items.tolist(), batch.image, strict=True):
            assert torch.equal(known.setdefault(item, image), image)
    assert sorted(known) == list(range(12))
    versions = [known[item] for item in (0, 1, 2)]
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(versions))


def test_random_slices_are_in_order_and_hold_a_label(dataset_folder: Path) -> None:
    recipe = load_recipe(
        "scn-segment-small",
        [
            *TINY_SCN,
            "data.spacing_mm=[3, 2, 3]",
            "sampling={mode: slices, size: [5, 24, 16]}",
            "augmentation={}",
        ],
    )
    sampler, case = (
        sampler_of(dataset_folder, recipe),
        load_case(open_dataset(dataset_folder).training[0], PLAIN),
    )
    labelled = np.flatnonzero((case.labels > 0).any(dim=(1, 2)).numpy())
    drawn = set()
    for seed in range(20):
        lattice, chosen = sampler.lattice(case, np.random.default_rng(seed))
        assert chosen is not None and list(chosen) == sorted(set(chosen.tolist())) and len(chosen) == 5
        assert lattice.shape == (30, 24, 16) and np.isin(chosen, labelled).all()
        drawn |= set(chosen.tolist())
        sample = sampler.sample(case, np.random.default_rng(seed))
        assert sample.target.shape == (5, 24, 16) and (sample.target > 0).any(dim=(1, 2)).all()
        plane = case.labels[int(chosen[2])].numpy()
        assert set(sample.target[2].unique().tolist()) <= {0, *np.unique(plane).tolist()}
    assert len(drawn) > 12


def test_more_slices_than_there_are_come_twice(dataset_folder: Path) -> None:
    recipe = load_recipe(
        "scn-segment-small", [*TINY_SCN, "sampling={mode: slices, size: [40, 8, 8], empty_slices: true}"]
    )
    lattice, chosen = sampler_of(dataset_folder, recipe).lattice(
        load_case(open_dataset(dataset_folder).training[0], PLAIN), np.random.default_rng(0)
    )
    assert (
        chosen is not None and len(chosen) == 40 and (np.diff(chosen) >= 0).all() and lattice.shape[0] == 30
    )


def test_two_windows_of_one_image_are_two_channels(dataset_folder: Path) -> None:
    recipe = load_recipe(
        "scn-segment-small",
        [
            *TINY_SCN,
            "data.more_channels=[{clip_low: -50, clip_high: 250, shift: 100, scale: 150}]",
            "augmentation={}",
        ],
    )
    sampler = sampler_of(dataset_folder, recipe)
    case = load_case(open_dataset(dataset_folder).training[0], sampler.plan.channels)
    image = sampler.sample(case, np.random.default_rng(0)).image
    assert image.shape[0] == 2
    first = recipe.data.intensity
    hu = image[0] * first.scale + first.shift
    inside = (hu > first.clip_low + 1) & (hu < first.clip_high - 1)  # type: ignore[operator]
    assert torch.allclose(image[1][inside], ((hu.clamp(-50, 250) - 100) / 150)[inside], atol=1e-4)


def test_statistics_of_a_sample_of_the_cases(dataset_folder: Path) -> None:
    recipe = load_recipe(
        "scn-segment-small",
        [
            *TINY_SCN,
            "data.intensity={clip_low: -100, clip_high: 300}",
            "data.zscore_sample={cases: 3, seed: 1}",
        ],
    )
    entries = open_dataset(dataset_folder).training
    found = with_statistics(recipe, entries).data.intensity
    means = [np.clip(anatomy(n)[0].astype(float), -100, 300).mean() for n in range(4)]
    triples = [np.mean(means[:n] + means[n + 1 :]) for n in range(4)]
    assert min(abs(found.shift - mean) for mean in triples) < 1e-3
    assert found.scale > 1 and found.clip_low == -100
    assert with_statistics(load_recipe("scn-segment-small"), entries) == load_recipe("scn-segment-small")


def test_an_error_in_the_process_is_raised_in_the_training_loop(tiny: Recipe, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", 1)
    source = batches_of(folder, tiny, tmp_path / "cases")
    next((folder / "imagesTr").iterdir()).write_bytes(b"no image")
    with pytest.raises(CtsegError, match="case_0"), fed(source, 0, workers=1) as feed:
        next(feed)


def test_a_case_is_read_once_and_then_mapped(
    dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = open_dataset(dataset_folder).training
    first = CaseStore(tmp_path, PLAIN).get(entries[1])
    monkeypatch.setattr(case_module, "load_case", lambda entry, channels: pytest.fail("was read again"))
    again = CaseStore(tmp_path, PLAIN).get(entries[1])
    assert torch.equal(first.image, again.image) and torch.equal(first.labels, again.labels)
    assert again.geometry.affine_lps == pytest.approx(first.geometry.affine_lps) and again.box == first.box
    assert (
        again.present == first.present == (True, True, True, False) and again.intensities == first.intensities
    )
    assert all(np.array_equal(again.points[value], first.points[value]) for value in first.points)


def test_another_window_is_another_case(dataset_folder: Path, tmp_path: Path) -> None:
    entry = open_dataset(dataset_folder).training[0]
    CaseStore(tmp_path, PLAIN).get(entry)
    CaseStore(tmp_path, (Intensity(statistics="zscore"),)).get(entry)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_written_is_a_sentence(dataset_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RecipeError, match="cannot be written"):
        CaseStore(tmp_path / "file" / "cases", PLAIN).get(open_dataset(dataset_folder).training[0])


def test_held_out_cases_are_seeded_and_named(dataset_folder: Path, tiny: Recipe) -> None:
    dataset = open_dataset(dataset_folder)
    split = split_cases(dataset, tiny)
    assert (
        len(split.held_out) == 1
        and len(split.training) == 3
        and not set(split.training) & set(split.held_out)
    )
    assert split_cases(dataset, tiny) == split
    named = split_cases(
        dataset, load_recipe("scn-segment-small", [*TINY_SCN, "validation.cases=[case_3, case_1]"])
    )
    assert [entry.name for entry in named.held_out] == ["case_3", "case_1"] and len(named.training) == 2
    required = split_cases(dataset, load_recipe("scn-segment-small", [*TINY_SCN, "data.require=[middle]"]))
    assert (
        "case_1" not in {entry.name for entry in (*required.training, *required.held_out)}
        and "1 cases" in required.notes[0]
    )
    for override, message in (
        ("validation.cases=[case_9]", "no case 'case_9'"),
        ("data.require=[spleen]", "no label 'spleen'"),
        ("validation.split=validation", "no validation cases"),
        ("validation.cases=[case_0, case_1, case_2, case_3]", "none is left"),
    ):
        with pytest.raises(RecipeError, match=message):
            split_cases(dataset, load_recipe("scn-segment-small", [*TINY_SCN, override]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": {"1": "a", "2": "a"}}, "a name of its own"),
        ({"labels": [1]}, "labels must map"),
        ({"training": []}, "no training case"),
        ({"training": [{"image": "x.nii.gz"}]}, 'needs an "image" and a "label"'),
        ({"training": [{"image": "./x.nii.gz", "label": "./x.nii.gz"}]}, "does not exist"),
        ({"training": [{"image": "x" * 5000, "label": "./x.nii.gz"}]}, "does not exist"),
        ({"labels_present": {"case_0": ["spleen"]}}, "'spleen'"),
        ({"labels_present": []}, None),
        ({"labels_present": [1]}, "labels_present must map"),
    ],
)
def test_a_damaged_dataset_json_is_refused_in_a_sentence(
    tmp_path: Path, change: dict[str, object], message: str | None
) -> None:
    folder = write_dataset(tmp_path / "data", 1)
    fields = json.loads((folder / "dataset.json").read_text()) | change
    (folder / "dataset.json").write_text(json.dumps(fields))
    if message is None:
        assert open_dataset(folder).training[0].present == EVERY
        return
    with pytest.raises(RecipeError, match=message):
        open_dataset(folder)


def test_a_label_that_was_not_contoured_but_is_there_is_refused(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "data", 1)
    fields = json.loads((folder / "dataset.json").read_text())
    fields["labels_present"] = {"case_0": ["right", "left"]}
    (folder / "dataset.json").write_text(json.dumps(fields))
    with pytest.raises(RecipeError, match="not contoured"):
        load_case(open_dataset(folder).training[0], PLAIN)
    fields["labels"] = {"1": "right", "2": "left"}
    (folder / "dataset.json").write_text(json.dumps(fields))
    with pytest.raises(RecipeError, match="value 3"):
        load_case(open_dataset(folder).training[0], PLAIN)
