"""The weights of paper 5's authors in our network and through our preprocessing: a third-party oracle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from ctseg_imaging import formats
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Labels, Volume
from ctseg_models.bundles.own.bundle import OwnBundle
from ctseg_models.bundles.own.metadata import Stage
from ctseg_models.bundles.own.writing import write_bundle
from ctseg_models.contract.plan import AllowedSizes, Intensity
from ctseg_models.contract.prediction import Prediction
from ctseg_models.inference import InferenceSettings, run
from tests.models.making import dice

ORGANS = (1, 2, 3, 5, 7)  # TotalSegmentator: spleen, both kidneys, liver, pancreas


@pytest.fixture(scope="module")
def ct(shared_file: Callable[[str], Path]) -> Volume:
    return formats.read(shared_file("torso-ct/example_ct.nii.gz"))


@pytest.fixture(scope="module")
def bundle(shared_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> OwnBundle:
    stage = Stage(
        name="localise",
        network="unet",
        config={},
        spacing_mm=(6, 6, 6),
        outputs=2,
        margin_mm=10,
        sizes=AllowedSizes(min=(32, 32, 32), max=(256, 80, 80), step=(16, 16, 16)),
        intensity=Intensity(clip_low=-2048, clip_high=2048, scale=2048),
    )
    weights = load_file(shared_file("flare21-localiser/localiser.safetensors"))
    return write_bundle(
        tmp_path_factory.mktemp("bundles") / "authors",
        name="authors",
        stages=[stage],
        weights={"localise": weights},
        labels=Labels.from_names({1: "liver, kidneys, spleen, pancreas"}),
        card="# The authors' own",
        precision="fp32",
    )


@pytest.fixture(scope="module")
def prediction(bundle: OwnBundle, ct: Volume) -> Prediction:
    return finish(run(bundle, ct, settings=InferenceSettings(precision="fp32", probabilities=True)))


def test_it_gives_the_expected_foreground(prediction: Prediction, shared_file: Callable[[str], Path]) -> None:
    expected = formats.read_labels(shared_file("flare21-localiser/expected_foreground_6mm.nii.gz"))
    assert prediction.probabilities is not None
    foreground = prediction.probabilities.array[1] > prediction.probabilities.array[0]
    points = prediction.probabilities.geometry.index_to_lps(np.argwhere(foreground))
    index = expected.geometry.lps_to_index(points)
    assert np.abs(index - np.rint(index)).max() < 1e-3  # the same lattice
    ours = np.zeros(expected.array.shape, bool)
    ours[tuple(np.rint(index).astype(int).T)] = True
    assert dice(ours, expected.array > 0) >= 0.98


def test_it_finds_the_organs_that_totalsegmentator_finds(
    prediction: Prediction, shared_file: Callable[[str], Path]
) -> None:
    organs = np.isin(
        formats.read_labels(shared_file("torso-ct/example_seg_fast_force_split.nii.gz")).array, ORGANS
    )
    assert dice(prediction.labels.array > 0, organs) >= 0.90


def test_the_roi_holds_the_four_organs(prediction: Prediction, shared_file: Callable[[str], Path]) -> None:
    organs = np.isin(
        formats.read_labels(shared_file("torso-ct/example_seg_fast_force_split.nii.gz")).array, ORGANS
    )
    (box,) = prediction.roi_boxes
    where = np.argwhere(organs)
    assert (where.min(axis=0) >= box.start).all()
    assert (where.max(axis=0) < box.stop).all()
    assert np.prod(np.subtract(box.stop, box.start)) < 0.6 * organs.size


def test_half_precision_in_the_file_and_bf16_change_next_to_nothing(
    bundle: OwnBundle, ct: Volume, prediction: Prediction, tmp_path: Path
) -> None:
    half = write_bundle(
        tmp_path / "half",
        name="half",
        stages=list(bundle.stages),
        weights={"localise": bundle.weights("localise")},
        labels=bundle.labels,
        card="# Half",
        precision="fp16",
    )
    labels = finish(run(half, ct, settings=InferenceSettings(precision="auto"))).labels.array
    assert dice(labels > 0, prediction.labels.array > 0) > 0.998
