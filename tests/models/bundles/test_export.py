"""Exported files, run here from their side files alone, give the labels of the bundle they came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ctseg_imaging import formats
from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Labels
from ctseg_models.bundles import store
from ctseg_models.bundles.export import Format, export
from ctseg_models.bundles.own.bundle import OwnBundle, build_network
from ctseg_models.bundles.own.metadata import Stage
from ctseg_models.bundles.own.writing import write_bundle
from ctseg_models.contract.plan import AllowedSizes, Intensity
from ctseg_models.inference import InferenceSettings, Region, run
from tests.models.making import body_with_organ, dice, threshold_bundle

FP32 = InferenceSettings(precision="fp32", probabilities=True)
SIZES = {"min": (8, 8, 8), "max": (96, 96, 96), "step": (8, 8, 8)}
NNUNET = {"strides": ((1, 1, 1), (2, 2, 2), (2, 2, 2)), "kernels": ((3, 3, 3),) * 3, "filters": (4, 8, 8)}
NETWORKS: dict[str, dict[str, Any]] = {
    "unet": {"network": "unet", "config": {"levels": 3, "filters": 4, "norm": "instance"}},
    "scn": {
        "network": "scn",
        "config": {"levels": 3, "filters": 4, "spatial_levels": 2, "spatial_filters": 4},
        "sizes": AllowedSizes.model_validate({**SIZES, "step": (16, 16, 16), "min": (16, 16, 16)}),
    },
    "msd_net": {"network": "msd_net", "config": {"depth": 8, "dilations": 4}},
    "nnunet": {"network": "nnunet", "config": {"dimensions": 3, **NNUNET, "deep_supervision": 1}},
    "backbone": {"network": "backbone", "config": {"backbone": "segnet", "levels": 3, "filters": 8}},
    "edge_gated": {"network": "edge_gated", "config": {"backbone": "vnet", "levels": 3, "filters": 8}},
    "sunet": {"network": "sunet", "config": {"filters": 4}},
    "dense_unet": {
        "network": "dense_unet",
        "config": {"filters": 4, "poolings": 2},
        "more_channels": ("wide", "narrow"),
    },
    "flat msd_net": {"network": "msd_net", "config": {"depth": 8, "dilations": 4, "dimensions": 2}},
    "windows": {
        "network": "unet",
        "config": {"levels": 2, "filters": 4},
        "inferer": "sliding_window",
        "patch": (16, 24, 24),
    },
}


def bundle_of(folder: Path, which: str) -> OwnBundle:
    """A bundle of random weights with labels 5 and 9, whose input is clipped and smoothed."""
    entries = dict(NETWORKS[which])
    windows = {
        "wide": Intensity(clip_low=-1000, clip_high=1000, scale=1000),
        "narrow": Intensity(statistics="zscore"),
    }
    entries["more_channels"] = tuple(windows[name] for name in entries.get("more_channels", ()))
    stage = Stage.model_validate(
        {
            "name": "segment",
            "spacing_mm": (4.0, 5.0, 4.5),
            "outputs": 3,
            "sizes": AllowedSizes.model_validate(SIZES),
            "smoothing_sigma_mm": 1.5,
            "intensity": Intensity(clip_low=-500, clip_high=400, shift=-50, scale=300),
            **entries,
        }
    )
    torch.manual_seed(7)
    network = build_network(stage)
    with torch.no_grad():
        for (
            parameter
        ) in network.parameters():  # fresh norms and biases are 1 and 0, which would hide a missing one
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn(parameter.shape)
    return write_bundle(
        folder,
        name=folder.name,
        stages=[stage],
        weights={"segment": network.state_dict()},
        precision="fp32",
        labels=Labels.from_names({5: "organ", 9: "vessel"}),
        card="# Random\n\nFor tests.",
    )


@pytest.mark.parametrize("to", ["torchscript", "onnx"])
@pytest.mark.parametrize("which", list(NETWORKS))
def test_an_exported_network_gives_the_bundles_own_labels(which: str, to: Format, tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path / "own", which)
    volume, _ = body_with_organ((19, 31, 37), (6.0, 3.2, 2.7))
    (path,) = export(bundle, to, tmp_path / ("out.ts" if to == "torchscript" else "out.onnx"))
    own = finish(run(bundle, volume, settings=FP32))
    other = finish(run(store.find(path), volume, settings=FP32))
    assert len(np.unique(own.labels.array)) > 1  # or equality would say nothing
    assert (own.labels.array == other.labels.array).mean() >= 0.999
    for value in np.unique(own.labels.array):
        assert dice(own.labels.array == value, other.labels.array == value) >= 0.999
    assert own.probabilities is not None and other.probabilities is not None
    assert np.abs(own.probabilities.array - other.probabilities.array).mean() < 1e-4
    assert [(label.value, label.name) for label in other.labels.labels] == [(5, "organ"), (9, "vessel")]


def test_two_stages_are_two_files(tmp_path: Path) -> None:
    bundle = threshold_bundle(tmp_path / "two")
    localiser, segmenter = export(bundle, "torchscript", tmp_path / "out.ts")
    assert (localiser.name, segmenter.name) == ("out-localise.ts", "out.ts")
    assert "run that file first" in store.find(segmenter).card
    volume, _ = body_with_organ()
    own = finish(run(bundle, volume, settings=FP32))
    found = finish(run(store.find(localiser), volume, settings=FP32)).labels
    assert [label.name for label in found.labels] == ["region of interest"]
    assert found.array.any()
    box = own.roi_boxes[0]
    region = Region.from_index(volume.geometry, box.start, box.stop)
    same = finish(run(bundle, volume, region=region, settings=FP32)).labels.array
    assert np.array_equal(
        finish(run(store.find(segmenter), volume, region=region, settings=FP32)).labels.array, same
    )
    assert same.any()
    assert export(bundle, "onnx", tmp_path / "one.onnx", stage="localise") == (tmp_path / "one.onnx",)


def test_what_is_there_is_not_overwritten_and_what_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = threshold_bundle(tmp_path / "one", two_stages=False)
    (path,) = export(bundle, "torchscript", tmp_path / "out.ts")
    before = path.read_bytes()
    side = json.loads(path.with_suffix(".json").read_text())
    assert side["output"] == {"kind": "probabilities", "classes": [0, 5]}
    store.find(path).verify()
    with pytest.raises(BundleError, match="already exists"):
        export(bundle, "torchscript", path)
    with pytest.raises(BundleError, match=r"ends in \.onnx"):
        export(bundle, "onnx", tmp_path / "out.ts", overwrite=True)
    with pytest.raises(BundleError, match='has no stage "localise"'):
        export(bundle, "onnx", tmp_path / "out.onnx", stage="localise")
    with pytest.raises(BundleError, match="only bundles of this project can be exported"):
        export(store.find(path), "onnx", tmp_path / "out.onnx")
    monkeypatch.setattr(
        "ctseg_models.bundles.export._to_onnx", lambda network, small, other, path: torch.zeros(1)
    )
    with pytest.raises(BundleError, match="does not give the network's own probabilities"):
        export(bundle, "onnx", tmp_path / "other.onnx")
    assert path.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["one", "out.json", "out.ts"]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("to", ["torchscript", "onnx"])
def test_the_shipped_head_and_neck_bundle(
    to: Format, shared_file: Callable[[str], Path], tmp_path: Path
) -> None:
    bundle = store.find("headneck-ct-scn")
    volume = formats.read(shared_file("headneck-ct/imagesTr/hn_001.nii.gz"))
    segmenter = export(bundle, to, tmp_path / ("out.ts" if to == "torchscript" else "out.onnx"))[-1]
    box = finish(run(bundle, volume, settings=FP32)).roi_boxes[0]
    region = Region.from_index(volume.geometry, box.start, box.stop)
    own = finish(run(bundle, volume, region=region, settings=FP32)).labels.array
    other = finish(run(store.find(segmenter), volume, region=region, settings=FP32)).labels.array
    assert (own == other).mean() >= 0.999
    assert min(dice(own == value, other == value) for value in np.unique(own)) >= 0.999
