"""What stands in the configs of MONAI's model zoo and in none of the other tests' bundles."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import SwinUNETR

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import finish
from ctseg_models.bundles.monai import read_monai
from ctseg_models.ensemble import run_ensemble
from ctseg_models.inference import Settings, run
from ctseg_models.inference.stepwise import Arithmetic
from tests.models.monai_making import (
    ARGMAX,
    INVERT,
    NETWORK,
    ORIENTATION,
    RANGE,
    SOFTMAX,
    SPACING,
    WINDOWS,
    monai_bundle,
    random_weights,
    smooth_ct,
)

FP32 = Settings(precision="fp32")
IMAGE = "$monai.utils.CommonKeys.IMAGE"


def rewritten(folder: Path, **entries: Any) -> Path:
    """Other entries in a bundle's config; None: without it."""
    path = folder / "configs/inference.json"
    config = {**json.loads(path.read_text()), **entries}
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
    return folder


def test_a_swin_unetr_of_before_monai_1_5(tmp_path: Path) -> None:
    """swin_unetr_btcv_segmentation: MONAI has no img_size any more, and reads numbers while it lays the network out."""
    arguments = {"in_channels": 1, "out_channels": 3, "feature_size": 12, "depths": [1, 2, 1, 1]}
    torch.manual_seed(3)
    network = SwinUNETR(**arguments).eval()
    folder = monai_bundle(tmp_path / "swin", network={"_target_": "SwinUNETR", "img_size": 96, **arguments}, weights=False,
                          inferer={**WINDOWS, "roi_size": [64, 32, 64]})
    torch.save({"state_dict": network.state_dict()}, folder / "models/model.pt")
    bundle = read_monai(folder)
    assert (bundle.way, bundle.needs_trust) == ("interpreted", ())
    stage = bundle.load().stages[0]
    x = torch.randn(1, 1, 32, 32, 64, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        assert torch.allclose(finish(stage.steps(x, Arithmetic())), network(x)[0], atol=1e-5)
    assert stage.flops((32, 32, 64)) > 1e8


def test_lists_of_transforms_under_names_of_their_own(tmp_path: Path) -> None:
    """segmentation_template: `$@transforms`, CommonKeys, the checkpoint among the handlers, and no inversion."""
    reading = [{"_target_": name, "keys": "@image"} for name in ("LoadImaged", "EnsureChannelFirstd")]
    folder = rewritten(
        monai_bundle(tmp_path / "template"), image=IMAGE, pred="$monai.utils.CommonKeys.PRED", first=[*reading, ORIENTATION],
        second=[{**SPACING, "keys": "@image"}, {**RANGE, "keys": "@image"}], checkpointloader=None, ckpt_path="models/renamed.pt",
        preprocessing={"_target_": "Compose", "transforms": "$@first + @second"},
        handlers=[{"_target_": "StatsHandler", "output_transform": "$lambda x: None"},
                  {"_target_": "CheckpointLoader", "_disabled_": "$not os.path.exists(@ckpt_path)",
                   "load_path": "$@bundle_root + '/' + @ckpt_path", "load_dict": {"model": "@network"}}])
    (folder / "models/model.pt").rename(folder / "models/renamed.pt")
    bundle = read_monai(folder)
    assert (bundle.way, bundle.needs_trust) == ("interpreted", ())
    plain = finish(run(read_monai(monai_bundle(tmp_path / "plain")), smooth_ct(), settings=FP32)).labels.array
    assert len(np.unique(plain)) == 3
    assert (finish(run(bundle, smooth_ct(), settings=FP32)).labels.array == plain).all()


def test_a_network_that_cannot_take_the_array_is_told_in_a_sentence(tmp_path: Path) -> None:
    network = {**NETWORK, "channels": [4, 6, 8], "strides": [2, 2]}
    folder = monai_bundle(tmp_path / "whole", before=(ORIENTATION, RANGE), inferer={"_target_": "SimpleInferer"}, network=network,
                          weights=False)
    torch.save(random_weights(network), folder / "models/model.pt")
    with pytest.raises(BundleError, match=r"whole: the network cannot compute an array of 19 x 22 x 13 voxels .* draw a region"):
        finish(run(read_monai(folder), smooth_ct(), settings=FP32))
    even = smooth_ct((16, 20, 24))
    assert finish(run(read_monai(folder), even, settings=FP32)).labels.array.shape == (16, 20, 24)


def test_labels_that_a_bundle_writes_beside_its_metadatas_are_kept_and_told(tmp_path: Path) -> None:
    """A lost label is a lost tumour: MapLabelValued writes 40 where the metadata speaks of 2."""
    mapped = {"_target_": "MapLabelValued", "keys": "pred", "orig_labels": [0, 1, 2], "target_labels": [0, 1, 40]}
    plain = read_monai(monai_bundle(tmp_path / "plain"))
    bundle = read_monai(monai_bundle(tmp_path / "mapped", after=(SOFTMAX, INVERT, ARGMAX, mapped)))
    assert (bundle.way, bundle.needs_trust) == ("by MONAI", ())
    expected = finish(run(replace(plain, way="by MONAI"), smooth_ct(), settings=FP32)).labels.array
    got = finish(run(bundle, smooth_ct(), settings=FP32))
    assert (got.labels.array == np.array([0, 1, 40])[expected]).all()
    assert [(label.value, label.name) for label in got.labels.labels] == [(1, "liver"), (2, "spleen"), (40, "label 40")]
    assert any("wrote the labels 40, which its metadata does not name" in said for said in got.provenance["warnings"])
    assert [row["name"] for row in got.provenance["confidence"]] == ["liver", "label 40"]
    with pytest.raises(BundleError, match=r"mapped: wrote the labels 40, .*; run it alone"):
        finish(run_ensemble([bundle, plain], smooth_ct(), settings=FP32))


def test_regions_that_own_code_made_one_mask_of_have_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """brats_mri_segmentation: the channels are regions, and its lambda makes the labels 1, 2 and 4 of them."""
    monkeypatch.setattr("ctseg_models.bundles.monai.require_trust", lambda _: None)
    painting = {"_target_": "Lambdad", "keys": "pred",
                "func": "$lambda x: torch.where(x[[2]] > 0, 4, torch.where(x[[0]] > 0, 1, torch.where(x[[1]] > 0, 2, 0)))"}
    sigmoid = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
    half = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}
    regions = read_monai(monai_bundle(tmp_path / "regions", after=(sigmoid, INVERT, half)))
    bundle = read_monai(monai_bundle(tmp_path / "brats", after=(sigmoid, INVERT, half, painting)))
    assert (bundle.way, len(bundle.needs_trust)) == ("by its own code", 2)
    found = finish(run(bundle, smooth_ct(), settings=FP32))
    assert set(np.unique(found.labels.array)) == {0, 1, 2, 4}
    assert [found.labels.labels.name(value) for value in (1, 2, 4)] == ["label 1", "label 2", "label 4"]
    third = finish(run(replace(regions, way="by MONAI"), smooth_ct(), settings=FP32)).labels.array == 3  # painted last, so never covered
    assert ((found.labels.array == 4) == third).all()


def test_what_is_no_mask_is_refused(tmp_path: Path) -> None:
    mapped = {"_target_": "MapLabelValued", "keys": "pred", "orig_labels": [0, 1, 2], "target_labels": [0, -1, 2]}
    bundle = read_monai(monai_bundle(tmp_path / "below", after=(SOFTMAX, INVERT, ARGMAX, mapped)))
    with pytest.raises(BundleError, match="is no mask of labels"):
        finish(run(bundle, smooth_ct(), settings=FP32))
