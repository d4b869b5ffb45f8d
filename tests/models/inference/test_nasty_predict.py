"""Every odd file that can be read can be segmented, with the same labels in every voxel order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctseg_imaging import formats
from ctseg_imaging.geometry import AxisView, Match
from ctseg_imaging.progress import finish
from ctseg_models.bundles.own.bundle import OwnBundle
from ctseg_models.inference import InferenceSettings, run
from tests.models.making import threshold_bundle

EXACT = InferenceSettings(precision="fp32")


@pytest.fixture(scope="module")
def nasty(shared_data: Path) -> Path:
    if not (folder := shared_data / "nasty").is_dir():
        pytest.skip("the collection of nasty files is not here")
    return folder


@pytest.fixture(scope="module")
def expected(nasty: Path) -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = json.loads((nasty / "expected.json").read_text(encoding="utf-8"))
    return entries


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> OwnBundle:
    return threshold_bundle(tmp_path_factory.mktemp("bundles") / "soft", threshold_hu=60, localise_hu=60)


def test_predict_on_every_file_that_is_read(
    nasty: Path, expected: dict[str, dict[str, Any]], bundle: OwnBundle, tmp_path: Path
) -> None:
    done = 0
    for name, entry in expected.items():
        if entry.get("as_label") or (entry["expect"] != "read" and "choose" not in entry):
            continue
        volume = formats.read(nasty / name, **entry.get("choose", {}))
        prediction = finish(run(bundle, volume, settings=EXACT))
        assert prediction.labels.geometry is volume.geometry, name
        target = tmp_path / f"{done}.nii.gz"
        formats.write(target, prediction.labels, like=volume)
        again = formats.read_labels(target)
        assert np.array_equal(again.array, prediction.labels.array), name
        assert again.geometry.matches(volume.geometry) in (Match.SAME, Match.ROUNDING), name
        done += 1
    assert done > 40


def test_all_orientations_give_the_same_voxels(
    nasty: Path, expected: dict[str, dict[str, Any]], bundle: OwnBundle
) -> None:
    reference = "orientations/RAS.nii.gz"
    wanted = None
    others = (name for name, entry in expected.items() if entry.get("same_physical_volume_as") == reference)
    same = [reference, *(name for name in others if name != reference)]
    assert len(same) > 10
    for name in same:
        volume = formats.read(nasty / name, **expected[name].get("choose", {}))
        if volume.geometry.is_oblique or sorted(volume.geometry.shape) != [24, 47, 58]:
            continue
        labels = finish(run(bundle, volume, settings=EXACT)).labels
        upright = AxisView.of(volume.geometry).apply(labels.array)
        wanted = upright if wanted is None else wanted
        assert wanted.any()
        # Spacings kept as float32 differ in the last digit, so a voxel on the very border of a class may
        # go either way.
        assert (upright != wanted).sum() <= 2, name
