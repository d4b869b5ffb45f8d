"""Labels that a bundle's own postprocessing writes are kept under their numbers: a lost label is a lost
tumour.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Labels
from ctseg_models.bundles.monai.bundle import MonaiBundle, read_monai
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.lattice import ViewBox
from ctseg_models.contract.stage import LoadedStage, Model, Prepared
from ctseg_models.contract.upright import Upright
from ctseg_models.ensembles.ensemble import run_ensemble
from ctseg_models.inference import InferenceSettings, pipeline, run
from ctseg_models.vetting import trust
from tests.models.monai_making import ARGMAX, INVERT, SOFTMAX, monai_bundle, smooth_ct

FP32 = InferenceSettings(precision="fp32")
SIGMOID = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
HALF = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}
BRATS = "$lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, torch.where(x[[1]] > 0, 2, 0)))"


def mapping(old: list[int], new: list[int]) -> dict[str, Any]:
    return {"_target_": "MapLabelValued", "keys": "pred", "orig_labels": old, "target_labels": new}


def own_code(function: str) -> dict[str, Any]:
    return {"_target_": "Lambdad", "keys": "pred", "func": function}


def names(labels: Labels) -> dict[int, str]:
    return {label.value: label.name for label in labels}


@pytest.fixture
def plain(tmp_path: Path) -> MonaiBundle:
    """Background, liver and spleen by an argmax; run by MONAI."""
    return replace(read_monai(monai_bundle(tmp_path / "plain")), way="by MONAI")


def allowed(folder: Path) -> MonaiBundle:
    """A bundle whose own code the user allowed."""
    bundle = read_monai(folder)
    trust.trust(bundle, trust.content_hash(folder))
    return bundle


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ([0, 1, 40], {1: "liver", 40: "spleen"}),
        ([0, 2, 1], {1: "spleen", 2: "liver"}),
        ([0, 3, 3], {3: "liver, spleen"}),
        ([0, 0, 2], {2: "spleen"}),
    ],
)
def test_names_go_with_the_numbers_that_they_are_mapped_to(
    new: list[int], expected: dict[int, str], plain: MonaiBundle, tmp_path: Path
) -> None:
    bundle = read_monai(
        monai_bundle(tmp_path / "mapped", after=(SOFTMAX, INVERT, ARGMAX, mapping([0, 1, 2], new)))
    )
    assert (bundle.way, bundle.needs_trust, names(bundle.labels)) == ("by MONAI", (), expected)
    before = finish(run(plain, smooth_ct(), settings=FP32)).labels.array
    got = finish(run(bundle, smooth_ct(), settings=FP32))
    assert (got.labels.array == np.array(new)[before]).all()
    assert names(got.labels.labels) == expected
    assert not any("wrote the labels" in text for text in got.provenance["warnings"])


def test_a_label_without_a_name_is_kept_and_reported(plain: MonaiBundle, tmp_path: Path) -> None:
    after = (SOFTMAX, INVERT, ARGMAX, own_code("$lambda x: torch.where(x == 2, 7, x)"))
    bundle = allowed(monai_bundle(tmp_path / "own", after=after))
    got = finish(run(bundle, smooth_ct(), settings=FP32))
    assert (
        got.labels.array == np.array([0, 1, 7])[finish(run(plain, smooth_ct(), settings=FP32)).labels.array]
    ).all()
    assert names(got.labels.labels) == {1: "label 1", 7: "label 7"}
    assert any(
        "wrote the labels 1, 7 and not those that its metadata names" in text
        for text in got.provenance["warnings"]
    )
    assert [row["name"] for row in got.provenance["confidence"]] == ["label 1", "label 7"]
    with pytest.raises(
        BundleError, match=r"own: wrote labels that its metadata does not name, .*; run it alone"
    ):
        finish(run_ensemble([bundle, plain], smooth_ct(), settings=FP32))


def test_regions_that_own_code_made_one_mask_of_have_no_names(tmp_path: Path) -> None:
    """brats_mri_segmentation: the channels are regions, and its lambda makes the labels 1, 2 and 4 of
    them.
    """
    regions = read_monai(monai_bundle(tmp_path / "regions", after=(SIGMOID, INVERT, HALF)))
    bundle = allowed(monai_bundle(tmp_path / "brats", after=(SIGMOID, INVERT, HALF, own_code(BRATS))))
    assert (bundle.way, len(bundle.needs_trust)) == (
        "by its own code",
        5,
    )  # the transform, its lambda, three imports
    found = finish(run(bundle, smooth_ct(), settings=FP32))
    assert set(np.unique(found.labels.array)) == {0, 1, 2, 4}
    assert names(found.labels.labels) == {1: "label 1", 2: "label 2", 4: "label 4"}
    third = (
        finish(run(replace(regions, way="by MONAI"), smooth_ct(), settings=FP32)).labels.array == 3
    )  # painted last, so never covered
    assert ((found.labels.array == 4) == third).all()


def test_regions_run_by_monai_have_a_background_in_every_map(tmp_path: Path) -> None:
    filled = {"_target_": "FillHolesd", "keys": "pred"}
    bundle = read_monai(monai_bundle(tmp_path / "filled", after=(SIGMOID, INVERT, HALF, filled)))
    assert bundle.way == "by MONAI"
    found = finish(run(bundle, smooth_ct(), settings=replace(FP32, disagreement="entropy", edge_map=True)))
    assert found.disagreement is not None and found.edge_map is not None
    assert (found.labels.array == 0).any()
    assert (found.disagreement.array == 0).all() and (
        found.edge_map.array == 0
    ).all()  # it gave labels, not probabilities


@pytest.mark.parametrize("new", [[0, -1, 2], [0, 70_000, 2]])
def test_what_is_no_mask_is_refused(new: list[int], tmp_path: Path) -> None:
    bundle = read_monai(
        monai_bundle(tmp_path / "below", after=(SOFTMAX, INVERT, ARGMAX, mapping([0, 1, 2], new)))
    )
    with pytest.raises(BundleError, match="is not a mask of labels"):
        finish(run(bundle, smooth_ct(), settings=FP32))


def test_labels_survive_the_way_to_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU has too little memory, so the labels of the network on the processor count."""
    after = (SOFTMAX, INVERT, ARGMAX, own_code("$lambda x: torch.where(x == 2, 7, x)"))
    bundle = allowed(monai_bundle(tmp_path / "own", after=after))
    expected = finish(run(bundle, smooth_ct(), settings=FP32)).labels.array

    def too_large(x: Tensor, _: Arithmetic) -> Generator[float, None, Tensor]:
        yield 0.0
        raise torch.OutOfMemoryError("out of memory")

    def loaded(one: Bundle, device: str, warm: Model | None) -> Model:
        model = one.load(device)
        stage: LoadedStage = model.stages[0]

        def prepare(upright: Upright, box: ViewBox, whole: bool) -> Generator[float, None, Prepared]:
            return replace((yield from stage.prepare(upright, box, whole)), steps=too_large)

        return replace(
            model, stages=(replace(stage, prepare=prepare, on_cpu=lambda: one.load("cpu").stages[0]),)
        )

    monkeypatch.setattr(pipeline, "load_with_cpu_fallback", loaded)
    got = finish(run(bundle, smooth_ct((40, 44, 38)), settings=FP32))
    assert any("ran on the processor" in text for text in got.provenance["warnings"])
    assert not any("windows of" in text for text in got.provenance["warnings"])
    got = finish(run(bundle, smooth_ct(), settings=FP32))
    assert (got.labels.array == expected).all() and 7 in got.labels.array
