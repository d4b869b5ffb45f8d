"""Temperature calibration against brute force, hand-worked values and a temperature known by construction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import AxisView
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Labels, Volume
from ctseg_models.bundles.own.bundle import OwnBundle
from ctseg_models.bundles.own.writing import write_bundle
from ctseg_models.calibration.fitting import KnownCase, calibrate, with_calibration
from ctseg_models.calibration.temperature import (
    COLDEST,
    HOTTEST,
    Calibration,
    CalibrationSamples,
    ece,
    fit,
    nll,
)
from ctseg_models.ensembles.ensemble import run_ensemble
from ctseg_models.inference import InferenceSettings, run
from tests.models.making import (
    body_with_organ,
    oblique_geometry,
    threshold_bundle,
    threshold_stage,
    threshold_weights,
)


def drawn(temperature: float, n: int = 40_000, classes: int = 4) -> CalibrationSamples:
    """Truth drawn from softmax(logits / temperature), which is the temperature to find."""
    generator = torch.Generator().manual_seed(7)
    logits = 3 * torch.randn(n, classes, generator=generator)
    truth = torch.multinomial(torch.softmax(logits / temperature, 1), 1, generator=generator)[:, 0]
    return CalibrationSamples(logits, truth)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found(temperature: float) -> None:
    found = fit(drawn(temperature))
    assert found.temperature == pytest.approx(temperature, rel=0.03)
    assert found.ece_after < 0.01
    assert found.nll_after <= found.nll_before
    assert found.voxels == 40_000


def test_it_is_the_minimum_that_defines_it() -> None:
    samples = drawn(1.7, n=3000)
    tried = np.geomspace(0.5, 6, 400)
    logits, truth = samples.logits.double().numpy(), samples.truth.numpy()
    costs = []
    for temperature in tried:  # the definition, in numpy
        scaled = logits / temperature
        costs.append((np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(truth)), truth]).mean())
    assert fit(samples).temperature == pytest.approx(tried[int(np.argmin(costs))], rel=0.01)
    assert nll(samples, tried[100]) == pytest.approx(costs[100], rel=1e-5)


def test_expected_calibration_error_by_hand() -> None:
    # Confidences .9 (right), .9 (wrong), .6 (right): bins 13, 13, 9 of 15; |1 - 1.8| / 3 + |1 - .6| / 3
    chances = torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.4, 0.6]])
    assert ece(CalibrationSamples(chances.log(), torch.tensor([0, 0, 1])), 1.0) == pytest.approx(
        (0.8 + 0.4) / 3, abs=1e-6
    )


def test_always_right_and_always_wrong_end_at_the_bounds() -> None:
    logits = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
    assert fit(CalibrationSamples(logits, torch.tensor([0, 1]))).temperature == pytest.approx(
        COLDEST, rel=1e-3
    )
    assert fit(CalibrationSamples(logits, torch.tensor([1, 0]))).temperature == pytest.approx(
        HOTTEST, rel=1e-3
    )
    with pytest.raises(ValueError, match="No voxels"):
        fit(CalibrationSamples(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)))


SHAPE, SPACING = (23, 31, 38), (3.0, 2.0, 1.5)


def soft_bundle(folder: Path) -> OwnBundle:
    """The log odds of label 5 are (HU - 200) / 50, on a grid of SPACING."""
    stage = threshold_stage("segment", 200, SPACING)
    weights = threshold_weights(stage)
    weights["prediction.weight"][1, 0] = 1.0
    return write_bundle(
        folder,
        name="soft",
        stages=[stage],
        weights={"segment": weights},
        labels=Labels.from_names({5: "organ"}),
        card="# soft",
        precision="fp32",
    )


def noisy_case(temperature: float, seed: int = 1) -> KnownCase:
    """Random HU in an oblique, flipped volume, and a truth drawn with odds at `temperature`."""
    draw = np.random.default_rng(seed)
    hu = draw.normal(200, 150, SHAPE).astype(np.float32)
    truth = np.where(draw.random(SHAPE) < 1 / (1 + np.exp(-(hu - 200) / 50 / temperature)), 5, 0).astype(
        np.uint8
    )
    geometry = oblique_geometry(SHAPE, SPACING)
    return KnownCase(Volume(hu[:, ::-1].copy(), geometry, modality="CT"), truth[:, ::-1].copy())


@pytest.mark.parametrize("temperature", [0.6, 2.0])
def test_a_bundle_gets_the_temperature_its_truth_was_drawn_with(temperature: float, tmp_path: Path) -> None:
    bundle = soft_bundle(tmp_path / "soft")
    cases = [lambda seed=seed: noisy_case(temperature, seed) for seed in (1, 2)]
    found = finish(calibrate(bundle, cases, InferenceSettings(precision="fp32")))
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    assert found.ece_after < 0.02 < found.ece_before
    assert 0.9 * 2 * np.prod(SHAPE) < found.voxels <= 2 * np.prod(SHAPE)


def test_a_truth_on_swapped_axes_is_not_fitted_to(tmp_path: Path) -> None:
    case = noisy_case(1.0)
    wrong = KnownCase(case.volume, case.truth[:, ::-1].copy())
    assert finish(calibrate(soft_bundle(tmp_path / "soft"), [lambda: wrong])).temperature == pytest.approx(
        HOTTEST, rel=0.01
    )
    with pytest.raises(BundleError, match="both must lie on one grid"):
        finish(calibrate(soft_bundle(tmp_path / "again"), [lambda: KnownCase(case.volume, case.truth[1:])]))


def test_labels_that_were_not_contoured_are_left_out(tmp_path: Path) -> None:
    case = noisy_case(2.0)
    bundle = soft_bundle(tmp_path / "soft")
    found = finish(
        calibrate(bundle, [lambda: replace(case, absent=(5,))], InferenceSettings(precision="fp32"))
    )
    background = AxisView.of(case.volume.geometry).apply(case.volume.array) <= 200
    assert found.voxels == pytest.approx(background.sum(), rel=0.01)


def stored(bundle: OwnBundle, temperature: float) -> OwnBundle:
    return with_calibration(
        bundle, Calibration(temperature, 0.5, 0.4, 0.1, 0.01, 1000), {"name": "made", "cases": 2}
    )


def test_a_stored_temperature_changes_probabilities_and_no_label(tmp_path: Path) -> None:
    case = noisy_case(1.0)
    settings = InferenceSettings(precision="fp32", probabilities=True, edge_map=True)
    bundle = soft_bundle(tmp_path / "soft")
    weights, before = (
        (bundle.path / "models/segment.safetensors").read_bytes(),
        finish(run(bundle, case.volume, settings=settings)),
    )
    after_bundle = stored(bundle, 2.5)
    after_bundle.verify()
    assert (after_bundle.path / "models/segment.safetensors").read_bytes() == weights
    assert after_bundle.sha256 != bundle.sha256 and [path.name for path in tmp_path.iterdir()] == ["soft"]
    assert after_bundle.stages[-1].temperature == 2.5 and after_bundle.stages[-1].calibration["data"] == {
        "name": "made",
        "cases": 2,
    }
    after = finish(run(after_bundle, case.volume, settings=settings))
    assert np.array_equal(after.labels.array, before.labels.array) and before.labels.array.any()
    assert before.probabilities is not None and after.probabilities is not None
    cold = np.clip(before.probabilities.array, 1e-7, None) ** (1 / 2.5)
    assert after.probabilities.array == pytest.approx(cold / cold.sum(axis=0), abs=1e-5)
    rows = [one.provenance["confidence"][0] for one in (before, after)]
    assert (
        rows[0]["volume_ml"] == rows[1]["volume_ml"]
        and rows[0]["mean_probability"] > rows[1]["mean_probability"] + 0.05
    )


def test_an_ensemble_means_calibrated_probabilities(tmp_path: Path) -> None:
    case = noisy_case(1.0)
    settings = InferenceSettings(precision="fp32", probabilities=True)
    sure, unsure = soft_bundle(tmp_path / "sure"), stored(soft_bundle(tmp_path / "unsure"), 8.0)
    both = finish(run_ensemble([sure, unsure], case.volume, settings=settings)).provenance["confidence"][0]
    alone = [
        finish(run(one, case.volume, settings=settings)).provenance["confidence"][0] for one in (sure, unsure)
    ]
    assert both["mean_probability"] == pytest.approx(
        np.mean([row["mean_probability"] for row in alone]), abs=1e-3
    )


def test_a_damaged_bundle_and_a_localiser_are_refused(tmp_path: Path) -> None:
    bundle = threshold_bundle(tmp_path / "b")
    stage = threshold_stage("localise", 200, (6.0, 6.0, 6.0))
    localiser = write_bundle(
        tmp_path / "l",
        name="l",
        stages=[stage],
        weights={"localise": threshold_weights(stage)},
        labels=Labels.from_names({1: "region"}),
        card="# l",
    )
    volume, organ = body_with_organ()
    with pytest.raises(BundleError, match="only localises"):
        finish(calibrate(localiser, [lambda: KnownCase(volume, organ.astype(np.uint8))]))
    (bundle.path / "models/segment.safetensors").write_bytes(b"")
    with pytest.raises(BundleError, match="damaged or changed"):
        stored(bundle, 2.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "l"]
