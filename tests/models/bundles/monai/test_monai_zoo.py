"""Features of the model zoo's configs that the bundles of the other tests lack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.networks.nets import SwinUNETR

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import finish
from ctseg_models.bundles.monai.bundle import read_monai
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.inference import InferenceSettings, run
from tests.models.monai_making import (
    NETWORK,
    ORIENTATION,
    RANGE,
    SPACING,
    WINDOWS,
    monai_bundle,
    random_weights,
    rewritten,
    smooth_ct,
)

FP32 = InferenceSettings(precision="fp32")
IMAGE = "$monai.utils.CommonKeys.IMAGE"


def test_a_swin_unetr_of_before_monai_1_5(tmp_path: Path) -> None:
    """swin_unetr_btcv_segmentation: MONAI has removed img_size, and the network reads numbers while it is
    built.
    """
    arguments = {"in_channels": 1, "out_channels": 3, "feature_size": 12, "depths": [1, 2, 1, 1]}
    torch.manual_seed(3)
    network = SwinUNETR(**arguments).eval()
    folder = monai_bundle(
        tmp_path / "swin",
        network={"_target_": "SwinUNETR", "img_size": 96, **arguments},
        weights=False,
        inferer={**WINDOWS, "roi_size": [64, 32, 64]},
    )
    torch.save({"state_dict": network.state_dict()}, folder / "models/model.pt")
    bundle = read_monai(folder)
    assert (bundle.way, bundle.needs_trust) == ("interpreted", ())
    stage = bundle.load().stages[0]
    x = torch.randn(1, 1, 32, 32, 64, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        assert torch.allclose(finish(stage.steps(x, Arithmetic())), network(x)[0], atol=1e-5)
    assert stage.flops((32, 32, 64)) > 1e8


def test_lists_of_transforms_under_names_of_their_own(tmp_path: Path) -> None:
    """segmentation_template: `$@transforms`, CommonKeys, the checkpoint among the handlers, and no
    inversion.
    """
    reading = [{"_target_": name, "keys": "@image"} for name in ("LoadImaged", "EnsureChannelFirstd")]
    folder = rewritten(
        monai_bundle(tmp_path / "template"),
        image=IMAGE,
        pred="$monai.utils.CommonKeys.PRED",
        first=[*reading, ORIENTATION],
        second=[{**SPACING, "keys": "@image"}, {**RANGE, "keys": "@image"}],
        checkpointloader=None,
        ckpt_path="models/renamed.pt",
        preprocessing={"_target_": "Compose", "transforms": "$@first + @second"},
        handlers=[
            {"_target_": "StatsHandler", "output_transform": "$lambda x: None"},
            {
                "_target_": "CheckpointLoader",
                "_disabled_": "$not os.path.exists(@ckpt_path)",
                "load_path": "$@bundle_root + '/' + @ckpt_path",
                "load_dict": {"model": "@network"},
            },
        ],
    )
    (folder / "models/model.pt").rename(folder / "models/renamed.pt")
    bundle = read_monai(folder)
    assert (bundle.way, bundle.needs_trust) == ("interpreted", ())
    plain = finish(run(read_monai(monai_bundle(tmp_path / "plain")), smooth_ct(), settings=FP32)).labels.array
    assert len(np.unique(plain)) == 3
    assert (finish(run(bundle, smooth_ct(), settings=FP32)).labels.array == plain).all()


def test_a_network_that_cannot_take_the_array_is_reported_in_a_sentence(tmp_path: Path) -> None:
    network = {**NETWORK, "channels": [4, 6, 8], "strides": [2, 2]}
    folder = monai_bundle(
        tmp_path / "whole",
        before=(ORIENTATION, RANGE),
        inferer={"_target_": "SimpleInferer"},
        network=network,
        weights=False,
    )
    torch.save(random_weights(network), folder / "models/model.pt")
    with pytest.raises(
        BundleError,
        match=r"whole: the network cannot compute an array of 19 x 22 x 13 voxels .* draw a region",
    ):
        finish(run(read_monai(folder), smooth_ct(), settings=FP32))
    even = smooth_ct((16, 20, 24))
    assert finish(run(read_monai(folder), even, settings=FP32)).labels.array.shape == (16, 20, 24)


def test_a_checkpoint_loader_that_is_switched_off_names_no_weights(tmp_path: Path) -> None:
    best = {
        "_target_": "CheckpointLoader",
        "load_path": "$@bundle_root + '/models/best.pt'",
        "load_dict": {"model": "@network"},
    }
    off = {**best, "_disabled_": True, "load_path": "models/model.pt"}
    for name, entries in (
        ("next", {"handlers": [off], "later": best}),
        ("usual", {"handlers": [off], "ckpt_path": "models/best.pt"}),
    ):
        folder = rewritten(monai_bundle(tmp_path / name), checkpointloader=None, **entries)
        (folder / "models/best.pt").write_bytes((folder / "models/model.pt").read_bytes())
        assert read_monai(folder).weights == folder / "models/best.pt"
    told_only_by_running = {**best, "load_path": "$f(1)"}
    folder = rewritten(monai_bundle(tmp_path / "code"), checkpointloader=told_only_by_running, later=best)
    assert read_monai(folder).weights == folder / "models/model.pt"


@pytest.mark.parametrize("smoothed", [False, True])
def test_transforms_in_a_tuple(smoothed: bool, tmp_path: Path) -> None:
    """smoothed : with a transform that only MONAI can run."""
    more = [{"_target_": "MedianSmoothd", "keys": "image", "radius": 1}] if smoothed else []
    reading = [{"_target_": name, "keys": "image"} for name in ("LoadImaged", "EnsureChannelFirstd")]
    every = [*reading, ORIENTATION, SPACING, RANGE, *more]
    maps = []
    for name, given in (
        ("tuple", f"$({', '.join(f'@every[{n}]' for n in range(len(every)))})"),
        ("list", "@every"),
    ):
        bundle = read_monai(
            rewritten(
                monai_bundle(tmp_path / name),
                every=every,
                preprocessing={"_target_": "Compose", "transforms": given},
            )
        )
        assert (bundle.way, bundle.needs_trust) == ("by MONAI" if smoothed else "interpreted", ())
        maps.append(finish(run(bundle, smooth_ct(), settings=FP32)).labels.array)
    assert len(np.unique(maps[1])) > 1
    assert (maps[0] == maps[1]).all()
