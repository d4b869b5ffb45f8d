"""MONAI metadata with gaps: missing names of sigmoids, older transforms, the estimate of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import finish
from ctseg_models.bundles.monai.bundle import read_monai
from ctseg_models.inference import InferenceSettings, estimate, run
from tests.models.monai_making import (
    ARGMAX,
    INVERT,
    NETWORK,
    SOFTMAX,
    monai_bundle,
    random_weights,
    smooth_ct,
)

SIGMOID = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
HALF = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}
LARGEST = {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [1, 2]}
FP32 = InferenceSettings(precision="fp32", threads=1)
REGIONS, CLASSES = (SIGMOID, INVERT, HALF), (SOFTMAX, INVERT, ARGMAX)


def described(outputs: int, names: dict[str, str] | None) -> dict[str, Any]:
    pred: dict[str, Any] = {"num_channels": outputs}
    if names is not None:
        pred["channel_def"] = names
    return {
        "network_data_format": {
            "inputs": {"image": {"modality": "CT", "num_channels": 1}},
            "outputs": {"pred": pred},
        }
    }


@pytest.mark.parametrize(
    ("after", "names", "outputs", "expected"),
    [
        (REGIONS, None, 1, {1: "class 1"}),
        (REGIONS, {"0": "lesion"}, 1, {1: "lesion"}),
        (REGIONS, {"0": "background", "1": "lesion"}, 1, {1: "lesion"}),
        (REGIONS, None, 3, {1: "class 1", 2: "class 2", 3: "class 3"}),
        (REGIONS, {"0": "background", "1": "lesion"}, 2, {2: "lesion"}),
        ((INVERT, HALF), None, 1, {1: "class 1"}),  # the network has its sigmoid inside
        (CLASSES, None, 3, {1: "class 1", 2: "class 2"}),
        (CLASSES, {"0": "", "1": "liver"}, 2, {1: "liver"}),
    ],
)
def test_names_of_the_outputs(
    after: tuple[Any, ...],
    names: dict[str, str] | None,
    outputs: int,
    expected: dict[int, str],
    tmp_path: Path,
) -> None:
    network = {**NETWORK, "out_channels": outputs}
    bundle = read_monai(
        monai_bundle(tmp_path / "made", after=after, network=network, metadata=described(outputs, names))
    )
    assert {label.value: label.name for label in bundle.labels} == expected


@pytest.mark.parametrize(
    ("after", "names"), [(CLASSES, None), (CLASSES, {"0": "lesion"}), (REGIONS, {"0": "background"})]
)
def test_a_bundle_that_could_find_nothing_is_refused(
    after: tuple[Any, ...], names: dict[str, str] | None, tmp_path: Path
) -> None:
    network = {**NETWORK, "out_channels": 1}
    folder = monai_bundle(tmp_path / "made", after=after, network=network, metadata=described(1, names))
    with pytest.raises(BundleError, match="no class besides the background"):
        read_monai(folder)


@pytest.mark.parametrize(
    "after", [REGIONS, (*REGIONS, {**LARGEST, "applied_labels": [1]})], ids=["interpreted", "by MONAI"]
)
def test_what_one_sigmoid_finds_becomes_label_1(after: tuple[Any, ...], tmp_path: Path) -> None:
    network = {**NETWORK, "out_channels": 1}
    folder = monai_bundle(
        tmp_path / "made", after=after, network=network, metadata=described(1, None), weights=False
    )
    weights = random_weights(network)
    for name, tensor in weights.items():
        if tensor.is_floating_point() and "running" not in name:
            tensor.add_(0.5)  # foreground nearly everywhere
    torch.save(weights, folder / "models/model.pt")
    labels = finish(run(read_monai(folder), smooth_ct(), settings=FP32)).labels.array
    assert set(np.unique(labels)) <= {0, 1}
    assert (labels == 1).mean() > 0.2


def test_transforms_of_older_versions_that_do_nothing_here(tmp_path: Path) -> None:
    old = [{"_target_": name, "keys": "image"} for name in ("LoadImaged", "AddChanneld")]
    moved = {"_target_": "ToDeviced", "keys": "image", "device": "cuda"}
    plain, aged = (monai_bundle(tmp_path / name, after=(*CLASSES, LARGEST)) for name in ("plain", "aged"))
    config = aged / "configs/inference.json"
    content = json.loads(config.read_text())
    content["preprocessing"]["transforms"][:2] = [*old, moved]
    config.write_text(json.dumps(content))
    ours, theirs = read_monai(aged), read_monai(plain)
    assert (ours.way, ours.needs_trust, theirs.way) == ("by MONAI", (), "by MONAI")
    first, second = (
        finish(run(bundle, smooth_ct(), settings=FP32)).labels.array for bundle in (ours, theirs)
    )
    assert first.any()
    assert np.array_equal(first, second)


def test_a_transform_that_adds_a_channel_later_is_a_sentence(tmp_path: Path) -> None:
    folder = monai_bundle(tmp_path / "made", after=(*CLASSES, {"_target_": "AddChanneld", "keys": "pred"}))
    with pytest.raises(BundleError, match="needs AddChanneld, which cannot be run here"):
        read_monai(folder).load()


def test_what_monai_runs_is_estimated_too(tmp_path: Path) -> None:
    bundle = read_monai(monai_bundle(tmp_path / "made", after=(*CLASSES, LARGEST)))
    assert bundle.way == "by MONAI"
    expected = estimate(bundle, smooth_ct(), settings=FP32)
    assert expected.seconds > 0
    assert expected.bytes > 0
