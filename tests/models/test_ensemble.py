"""Ensembles, worked by hand on two voxels, and whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Labels
from ctseg_models.bundles.own import write_bundle
from ctseg_models.ensemble import combine_members, run_ensemble
from ctseg_models.inference import Settings, run
from ctseg_models.inference.assemble import ClassMaps, Sampler, Target
from ctseg_models.inference.lattice import Lattice
from tests.models.making import body_with_organ, threshold_bundle, threshold_stage, threshold_weights

LATTICE = Lattice((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1, 1, 2))
TARGET = Target((1.0, 1.0, 1.0), (0, 0, 0), (1, 1, 2))
#                 voxel 0: background, 4, 9      voxel 1
MEMBERS = [[[0.5, 0.4, 0.1], [0.1, 0.6, 0.3]],  # says 0, 4
           [[0.4, 0.5, 0.1], [0.3, 0.3, 0.4]],  # says 4, 9
           [[0.4, 0.5, 0.1], [0.2, 0.1, 0.7]]]  # says 4, 9


def samplers() -> list[Sampler]:
    found = []
    for member in MEMBERS:
        maps = torch.tensor(member).T.reshape(3, 1, 1, 2)
        found.append(Sampler(ClassMaps.of(maps, LATTICE, (0, 4, 9)), TARGET))
    return found


@pytest.mark.parametrize(("combine", "labels", "disagreement"), [
    ("mean", [4, 9], [1 / 3, 1 / 3]),  # means .433 .467 .1 and .2 .333 .467
    ("vote", [4, 9], [1 / 3, 1 / 3]),
])
def test_three_members_by_hand(combine: str, labels: list[int], disagreement: list[float]) -> None:
    out, differing = np.zeros((1, 1, 2), np.uint8), np.zeros((1, 1, 2), np.float32)
    list(combine_members(samplers(), TARGET, combine, out, differing))  # type: ignore[arg-type]
    assert out.ravel().tolist() == labels
    assert differing.ravel().tolist() == pytest.approx(disagreement)


def test_where_mean_and_vote_differ() -> None:
    # One sure member against two that hardly prefer the other: means .55 and .45, votes 1 and 2.
    members = []
    for background in (0.99, 0.49, 0.17):
        maps = torch.tensor([background, 1 - background]).reshape(2, 1, 1, 1).expand(2, 1, 1, 2)
        members.append(Sampler(ClassMaps.of(maps, LATTICE, (0, 4)), TARGET))
    results = {}
    for combine in ("mean", "vote"):
        out, differing = np.zeros((1, 1, 2), np.uint8), np.zeros((1, 1, 2), np.float32)
        list(combine_members(members, TARGET, combine, out, differing))  # type: ignore[arg-type]
        results[combine] = (int(out[0, 0, 0]), float(differing[0, 0, 0]))
    assert results["mean"] == (0, pytest.approx(2 / 3))
    assert results["vote"] == (4, pytest.approx(1 / 3))


def test_a_tied_vote_goes_to_the_lower_value() -> None:
    out, differing = np.zeros((1, 1, 2), np.uint8), np.zeros((1, 1, 2), np.float32)
    list(combine_members(samplers()[:2], TARGET, "vote", out, differing))
    assert out.ravel().tolist() == [0, 4]
    assert differing.ravel().tolist() == [0.5, 0.5]


def test_a_label_that_one_member_does_not_know_is_left_to_the_others() -> None:
    knows = Sampler(ClassMaps.of(torch.tensor([0.2, 0.8]).reshape(2, 1, 1, 1).expand(2, 1, 1, 2), LATTICE, (0, 4)), TARGET)
    does_not = Sampler(ClassMaps.of(torch.tensor([0.9, 0.1]).reshape(2, 1, 1, 1).expand(2, 1, 1, 2), LATTICE, (0, 9)), TARGET)
    out, differing = np.zeros((1, 1, 2), np.uint8), np.zeros((1, 1, 2), np.float32)
    list(combine_members([knows, does_not], TARGET, "mean", out, differing))
    assert out.ravel().tolist() == [4, 4]  # means: background .55, label 4 .8, label 9 .1


def test_two_bundles_over_a_volume(tmp_path: Path) -> None:
    volume, organ = body_with_organ()
    strict = threshold_bundle(tmp_path / "strict", threshold_hu=250)
    loose = threshold_bundle(tmp_path / "loose", threshold_hu=80)
    settings = Settings(precision="fp32")
    single = finish(run(strict, volume, settings=settings)).labels.array
    both = finish(run_ensemble([strict, strict], volume, settings=settings))
    assert np.array_equal(both.labels.array, single)
    assert both.disagreement is not None
    assert not both.disagreement.array.any()
    mixed = finish(run_ensemble([strict, loose], volume, combine="vote", settings=settings))
    assert mixed.disagreement is not None
    assert set(np.unique(mixed.disagreement.array)) == {0.0, 0.5}
    assert mixed.disagreement.geometry is volume.geometry
    assert not mixed.disagreement.array[~organ & (single == 0)].mean() > 0.1
    assert [box.name for box in mixed.roi_boxes] == ["region of interest (strict)", "region of interest (loose)"]
    assert mixed.provenance["combine"] == "vote"
    assert [bundle["name"] for bundle in mixed.provenance["bundles"]] == ["strict", "loose"]


def test_bundles_that_mean_different_things_are_refused(tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    stage = threshold_stage("segment", 200, (2.0, 2.0, 2.0))
    other = write_bundle(tmp_path / "o", name="o", stages=[stage], weights={"segment": threshold_weights(stage)},
                         labels=Labels.from_names({5: "spleen"}), card="# o")
    with pytest.raises(BundleError, match="label 5: organ and spleen"):
        finish(run_ensemble([threshold_bundle(tmp_path / "b"), other], volume))
