"""Ensembles: worked by hand on two voxels, against scipy and SimpleITK on several grids, and whole runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.stats import entropy

from ctseg_imaging import formats
from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Labels, Volume
from ctseg_models.bundles import store
from ctseg_models.bundles.own.bundle import OwnBundle, build_network
from ctseg_models.bundles.own.writing import write_bundle
from ctseg_models.contract.lattice import Lattice
from ctseg_models.ensembles.common_labels import CommonLabels
from ctseg_models.ensembles.ensemble import run_ensemble
from ctseg_models.ensembles.fusion import Combine, FusionArrays, Panel, fuse
from ctseg_models.inference import InferenceSettings, LocaliserCache, run
from ctseg_models.inference.inference_settings import Disagreement
from ctseg_models.inference.labels.class_maps import ClassMaps, Target
from ctseg_models.inference.labels.confidence import Tally
from ctseg_models.inference.labels.sampler import ClassMapSampler
from tests.models.making import body_with_organ, threshold_bundle, threshold_stage, threshold_weights

LATTICE = Lattice((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1, 1, 2))
TARGET = Target((1.0, 1.0, 1.0), (0, 0, 0), (1, 1, 2))
#                 voxel 0: background, 4, 9      voxel 1
MEMBERS = [
    [[0.5, 0.4, 0.1], [0.1, 0.6, 0.3]],  # labels 0, 4
    [[0.4, 0.5, 0.1], [0.3, 0.3, 0.4]],  # labels 4, 9
    [[0.4, 0.5, 0.1], [0.2, 0.1, 0.7]],
]  # labels 4, 9
FP32 = InferenceSettings(precision="fp32")


def sampler(chances: Sequence[Sequence[float]], values: tuple[int, ...] = (0, 4, 9)) -> ClassMapSampler:
    """chances : for each voxel of LATTICE the probability of each value."""
    return ClassMapSampler(
        ClassMaps.of(torch.tensor(chances).T.reshape(len(values), 1, 1, 2), LATTICE, values), TARGET
    )


def fused(
    members: Sequence[ClassMapSampler],
    combine: Combine,
    weights: Sequence[float] | None = None,
    kind: Disagreement = "share",
    target: Target = TARGET,
    tally: Tally | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    labels, unsure = np.zeros(target.shape, np.uint8), np.zeros(target.shape, np.float32)
    panel = Panel.of([one.class_maps for one in members], weights or [1.0] * len(members), target)
    finish(fuse(panel, target, combine, FusionArrays(labels, unsure, kind, tally)))
    return labels, unsure


@pytest.mark.parametrize(
    ("combine", "weights", "labels", "disagreement"),
    [
        ("mean", (1, 1, 1), [4, 9], [1 / 3, 1 / 3]),  # means .433 .467 .1 and .2 .333 .467
        ("mean", (8, 1, 1), [0, 4], [0.2, 0.2]),  # means .48 .42 .1 and .13 .52 .35
        ("vote", (1, 1, 1), [4, 9], [1 / 3, 1 / 3]),
        ("vote", (3, 1, 1), [0, 4], [0.4, 0.4]),
        ("vote", (2, 1, 1), [0, 4], [0.5, 0.5]),  # a tie goes to the lower value
    ],
)
def test_three_members_by_hand(
    combine: Combine, weights: Sequence[float], labels: list[int], disagreement: list[float]
) -> None:
    out, differing = fused([sampler(member) for member in MEMBERS], combine, weights)
    assert out.ravel().tolist() == labels
    assert differing.ravel().tolist() == pytest.approx(disagreement)


def test_where_mean_and_vote_differ() -> None:
    # One sure member against two that hardly prefer the other: means .55 and .45, votes 1 and 2.
    members = [sampler([[background, 1 - background]] * 2, (0, 4)) for background in (0.99, 0.49, 0.17)]
    for combine, label, differing in (("mean", 0, 2 / 3), ("vote", 4, 1 / 3)):
        out, unsure = fused(members, combine)  # type: ignore[arg-type]
        assert (out[0, 0, 0], unsure[0, 0, 0]) == (label, pytest.approx(differing))


@pytest.mark.parametrize("combine", ["mean", "vote"])
def test_a_label_that_one_member_does_not_know_is_left_to_the_others(combine: Combine) -> None:
    members = [sampler([[0.2, 0.8]] * 2, (0, 4)), sampler([[0.9, 0.1]] * 2, (0, 9))]
    out, differing = fused(members, combine)  # means: background .55, label 4 .8, label 9 .1
    assert out.ravel().tolist() == [4, 4]
    assert not differing.any()  # who does not know label 4 does not contradict it


@pytest.mark.parametrize("combine", ["mean", "vote", "staple"])
def test_entropy_and_confidence_by_hand(combine: Combine) -> None:
    tally = Tally(9)
    out, unsure = fused([sampler(member) for member in MEMBERS], combine, kind="entropy", tally=tally)
    mean = np.mean(MEMBERS, axis=0)
    assert unsure.ravel().tolist() == pytest.approx(entropy(mean, axis=1, base=3).tolist(), abs=1e-5)
    rows = tally.table(Labels.from_names({4: "liver", 9: "spleen"}), 1.0)
    for row in rows:
        place = out.ravel() == row["value"]
        assert row["mean_probability"] == pytest.approx(
            mean[place, [0, 4, 9].index(row["value"])].mean(), abs=1e-4
        )
        assert row["mean_disagreement"] == pytest.approx(unsure.ravel()[place].mean(), abs=1e-4)
        assert row["share_above_0.9"] == 0
    assert rows


def on_own_grids() -> tuple[list[ClassMapSampler], Target, list[NDArray[np.float64]]]:
    """Three members with grids, spacings and labels of their own over 7 x 8 x 9 voxels, and their
    probabilities by scipy.
    """
    target = Target((3.0, 2.0, 1.5), (1, 2, 1), (8, 10, 10))
    draw = np.random.default_rng(8)
    samplers, resampled = [], []
    for spacing, shape, values in (
        ((2.0, 2.0, 2.0), (15, 13, 9), (0, 4, 9)),
        ((5.0, 3.0, 4.0), (7, 9, 6), (0, 9, 4)),
        ((3.0, 2.5, 1.0), (10, 10, 18), (0, 4)),
    ):
        maps = draw.random((len(values), *shape)).astype(np.float32) ** 3
        maps /= maps.sum(0)
        lattice = Lattice((-1.0, -0.5, -0.25), spacing, shape)
        samplers.append(ClassMapSampler(ClassMaps.of(torch.from_numpy(maps), lattice, values), target))
        centres = np.meshgrid(
            *[
                (((np.arange(a, b) + 0.5) * s) - low) / step - 0.5
                for a, b, s, low, step in zip(
                    target.start,
                    target.stop,
                    target.spacing_mm,
                    lattice.low_mm,
                    lattice.spacing_mm,
                    strict=True,
                )
            ],
            indexing="ij",
        )
        fine = np.zeros((3, *target.shape))
        for value, one in zip(values, maps, strict=True):
            fine[(0, 4, 9).index(value)] = map_coordinates(
                one.astype(np.float64), centres, order=1, mode="nearest"
            )
        resampled.append(fine)
    return samplers, target, resampled


def test_members_on_different_grids_meet_on_the_inputs_grid() -> None:
    samplers, target, fine = on_own_grids()
    out, unsure = fused(samplers, "mean", (2, 1, 1), "entropy", target)
    mean = (2 * fine[0] + fine[1] + fine[2]) / np.array([4, 4, 3])[:, None, None, None]
    assert unsure == pytest.approx(entropy(mean, axis=0, base=3), abs=1e-4)
    clear = np.diff(np.sort(mean, axis=0)[-2:], axis=0)[0] > 1e-4
    assert clear.mean() > 0.99
    assert np.array_equal(out[clear], np.array([0, 4, 9])[mean.argmax(axis=0)][clear])


def test_staple_on_different_grids_is_simpleitks() -> None:
    samplers, target, fine = on_own_grids()
    out, unsure = fused(samplers, "staple", target=target)
    opinions = [np.array([0, 4, 9], np.uint8)[one.argmax(axis=0)] for one in fine]
    reference = sitk.GetArrayFromImage(
        sitk.MultiLabelSTAPLE([sitk.GetImageFromArray(one) for one in opinions], 99)
    )
    assert (out == reference).mean() > 0.999  # a voxel on the edge of two labels may round to the other one
    assert len(np.unique(out)) == 3 and 0 < unsure.max() <= 1


def test_two_bundles_over_a_volume(tmp_path: Path) -> None:
    volume, organ = body_with_organ()
    strict = threshold_bundle(tmp_path / "strict", threshold_hu=250)
    loose = threshold_bundle(tmp_path / "loose", threshold_hu=80)
    single = finish(run(strict, volume, settings=FP32))
    both = finish(run_ensemble([strict, strict], volume, settings=FP32))
    assert np.array_equal(both.labels.array, single.labels.array)
    assert both.disagreement is not None
    assert not both.disagreement.array.any()
    assert both.provenance["confidence"] == [{**single.provenance["confidence"][0], "mean_disagreement": 0.0}]
    cache = LocaliserCache()
    mixed = finish(
        run_ensemble([strict, loose], volume, combine="vote", settings=FP32, localiser_cache=cache)
    )
    assert mixed.disagreement is not None
    assert set(np.unique(mixed.disagreement.array)) == {0.0, 0.5}
    assert mixed.disagreement.geometry is volume.geometry
    assert not mixed.disagreement.array[~organ & (single.labels.array == 0)].mean() > 0.1
    assert [box.name for box in mixed.roi_boxes] == [
        "region of interest (strict)",
        "region of interest (loose)",
    ]
    assert mixed.provenance["combine"] == "vote"
    assert [bundle["name"] for bundle in mixed.provenance["bundles"]] == ["strict", "loose"]
    assert len(cache.boxes) == 1  # one localiser, which looked once
    assert [
        stage.get("remembered", False) for stage in mixed.provenance["stages"] if stage["name"] == "localise"
    ] == [False, True]


def test_staple_of_bundles_is_simpleitks_on_the_inputs_grid(tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    bundles = [
        threshold_bundle(tmp_path / f"b{hu}", two_stages=False, threshold_hu=hu) for hu in (80, 170, 250)
    ]
    alone = [finish(run(bundle, volume, settings=FP32)).labels.array for bundle in bundles]
    found = finish(run_ensemble(bundles, volume, combine="staple", settings=FP32))
    chance = sitk.GetArrayFromImage(
        sitk.STAPLE([sitk.GetImageFromArray((one == 5).astype(np.uint8)) for one in alone], 1.0)
    )
    assert np.array_equal(found.labels.array == 5, chance > 0.5)
    assert found.labels.array.any()
    assert [row["bundle"] for row in found.provenance["staple"]] == ["b80", "b170", "b250"]
    assert set(found.provenance["staple"][0]["finds"]) == {"background", "organ"}


def threshold_torchscript(folder: Path) -> Path:
    """A network above 200 HU, in other axes, with the value 1 "ORGAN"."""

    class Above(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([torch.zeros_like(x), (x - 200) / 10], dim=1)

    path = folder / "above.ts"
    torch.jit.script(Above()).save(str(path))  # type: ignore[no-untyped-call]
    path.with_suffix(".json").write_text(
        json.dumps(
            {
                "labels": {"1": "ORGAN"},
                "channels": [{}],
                "spacing": [2, 2, 2],
                "orientation": "RAS",
                "pad": -1000,
                "modality": "CT",
                "output": {"kind": "logits", "classes": [0, 1]},
            }
        )
    )
    return path


def test_formats_meet_by_the_names_of_their_labels(tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    own = threshold_bundle(tmp_path / "own", two_stages=False, threshold_hu=200)
    other = store.find(threshold_torchscript(tmp_path))
    found = finish(run_ensemble([own, other], volume, settings=FP32))
    assert set(np.unique(found.labels.array)) == {0, 5}
    assert found.provenance["label_values"] == [{"bundle": "above", "values": {"1": 5}}]
    assert found.disagreement is not None
    assert found.disagreement.array.mean() < 0.02 < (found.labels.array == 5).mean()


def labelled(folder: Path, names: dict[int, str]) -> OwnBundle:
    stage = threshold_stage("segment", 200, (2.0, 2.0, 2.0), outputs=len(names) + 1)
    return write_bundle(
        folder,
        name=folder.name,
        stages=[stage],
        weights={"segment": threshold_weights(stage)},
        labels=Labels.from_names(names),
        card="# x",
    )


def test_labels_are_matched_by_name(tmp_path: Path) -> None:
    bundles = [
        labelled(tmp_path / "a", {1: "Liver", 2: "spleen"}),
        labelled(tmp_path / "b", {1: "spleen", 2: "liver", 3: "bladder"}),
        labelled(tmp_path / "c", {1: "pancreas"}),
    ]
    common = CommonLabels.of(bundles)
    assert {label.value: label.name for label in common.labels} == {
        1: "Liver",
        2: "spleen",
        3: "bladder",
        4: "pancreas",
    }
    assert [dict(meaning) for meaning in common.meanings] == [
        {0: 0, 1: 1, 2: 2},
        {0: 0, 1: 2, 2: 1, 3: 3},
        {0: 0, 1: 4},
    ]
    assert tuple(map(str, common.warnings)) == (
        "c uses label 1 for pancreas and another model for Liver; here pancreas is label 4.",
    )
    assert common.record(bundles) == [
        {"bundle": "b", "values": {"1": 2, "2": 1}},
        {"bundle": "c", "values": {"1": 4}},
    ]


@pytest.mark.parametrize(
    ("combine", "weights", "sentence"),
    [
        ("mean", (1.0,), "1 weights for 2 models"),
        ("vote", (1.0, 0.0), "above 0"),
        ("mean", (1.0, float("nan")), "above 0"),
        ("staple", (1.0, 2.0), "leave out the weights"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    combine: Combine, weights: Sequence[float], sentence: str, tmp_path: Path
) -> None:
    volume, _ = body_with_organ()
    bundle = threshold_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match=sentence):
        finish(run_ensemble([bundle, bundle], volume, combine=combine, weights=weights))
    with pytest.raises(BundleError, match="needs a bundle"):
        finish(run_ensemble([], volume))


def test_a_bundle_that_may_be_mirrored_gives_the_mean_over_its_mirror_images(tmp_path: Path) -> None:
    torch.manual_seed(3)
    stage = threshold_stage(
        "segment", 0, (3.0, 2.0, 1.5), config={"levels": 1, "filters": 3}, mirror_axes=(0, 2)
    )
    bundle = write_bundle(
        tmp_path / "m",
        name="m",
        stages=[stage],
        weights={"segment": build_network(stage).state_dict()},
        labels=Labels.from_names({5: "organ"}),
        card="# m",
        precision="fp32",
    )
    hu = np.random.default_rng(2).normal(0, 300, (16, 24, 32)).astype(np.float32)
    geometry = Geometry.from_parts(hu.shape, (3.0, 2.0, 1.5))

    def chances(array: NDArray[np.float32], settings: InferenceSettings) -> NDArray[np.float32]:
        found = finish(run(bundle, Volume(array, geometry, modality="CT"), settings=settings))
        assert found.probabilities is not None
        return found.probabilities.array

    plain = InferenceSettings(precision="fp32", probabilities=True)
    mean = np.mean(
        [
            np.flip(chances(np.flip(hu, axes).copy(), plain), tuple(axis + 1 for axis in axes))
            for axes in ((), (0,), (2,), (0, 2))
        ],
        axis=0,
    )
    mirrored = chances(hu, InferenceSettings(precision="fp32", probabilities=True, mirroring=True))
    assert mirrored == pytest.approx(mean, abs=1e-5)
    assert np.abs(mirrored - chances(hu, plain)).max() > 1e-3


@pytest.mark.parametrize("combine", ["mean", pytest.param("staple", marks=pytest.mark.long)])
def test_nnunets_of_two_and_three_dimensions_on_an_oblique_image(
    combine: Combine, shared_file: Callable[[str], Path]
) -> None:
    """A 2D network, a 3D one of two folds with anisotropic voxels and a residual encoder, against nnU-Net's
    probabilities.
    """
    folders = [
        shared_file(f"oracles/nnunet/{variant}") for variant in ("2d", "plain_aniso", "resenc_transposed")
    ]
    bundles = [store.read(next((folder / "Dataset999_Toy").iterdir())) for folder in folders]
    volume = formats.read(shared_file("oracles/nnunet/inputs/oblique_0000.nii.gz"))
    weights = (2.0, 1.0, 1.0) if combine == "mean" else None
    found = finish(
        run_ensemble(
            bundles,
            volume,
            combine=combine,
            weights=weights,
            settings=InferenceSettings(precision="fp32", mirroring=True),
        )
    )
    if combine == "mean":
        chances = []
        for folder in folders:
            with np.load(folder / "expected/oblique_probabilities_float32buffers.npz") as file:
                chances.append(file["probabilities"].astype(np.float64))
        mean = np.average(chances, axis=0, weights=weights)
        clear = np.diff(np.sort(mean, axis=0)[-2:], axis=0)[0] > 1e-3
        assert clear.mean() > 0.98
        assert np.array_equal(found.labels.array[clear], mean.argmax(axis=0)[clear])
        opinions = [one.argmax(axis=0) for one in chances]
        place = clear & np.all(
            [np.diff(np.sort(one, axis=0)[-2:], axis=0)[0] > 1e-3 for one in chances], axis=0
        )
        differing = (
            sum(
                weight * (one != mean.argmax(axis=0)) for weight, one in zip((2, 1, 1), opinions, strict=True)
            )
            / 4
        )
        assert found.disagreement is not None
        assert found.disagreement.array[place] == pytest.approx(differing[place])
        assert differing.max() > 0
    else:
        opinions = []
        for folder in folders:
            with np.load(folder / "expected/oblique_labels_float32buffers.npz") as file:
                opinions.append(file["labels"])
        reference = sitk.GetArrayFromImage(
            sitk.MultiLabelSTAPLE([sitk.GetImageFromArray(one.astype(np.uint8)) for one in opinions], 99)
        )
        assert (found.labels.array == reference).mean() > 0.999
        assert len(np.unique(reference)) > 2
