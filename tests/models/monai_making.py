"""Small MONAI bundles with random weights, written as MONAI's model zoo writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks.nets import UNet

from ctseg_imaging.volume import Volume
from tests.models.making import oblique_geometry

NETWORK: dict[str, Any] = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [4, 6],
    "strides": [2],
    "norm": "batch",
}
ORIENTATION = {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"}
SPACING = {"_target_": "Spacingd", "keys": "image", "pixdim": [2.0, 2.5, 3.0], "mode": "bilinear"}
RANGE = {
    "_target_": "ScaleIntensityRanged",
    "keys": "image",
    "a_min": -100,
    "a_max": 300,
    "b_min": 0,
    "b_max": 1,
    "clip": True,
}
SOFTMAX = {"_target_": "Activationsd", "keys": "pred", "softmax": True}
ARGMAX = {"_target_": "AsDiscreted", "keys": "pred", "argmax": True}
INVERT = {
    "_target_": "Invertd",
    "keys": "pred",
    "transform": "@preprocessing",
    "orig_keys": "image",
    "nearest_interp": False,
}
INVERT_NEAREST = {**INVERT, "nearest_interp": True}
WINDOWS: dict[str, Any] = {
    "_target_": "SlidingWindowInferer",
    "roi_size": [16, 12, 8],
    "sw_batch_size": 2,
    "overlap": 0.5,
}


def monai_bundle(
    folder: Path,
    *,
    before: tuple[Any, ...] = (ORIENTATION, SPACING, RANGE),
    after: tuple[Any, ...] = (SOFTMAX, INVERT, ARGMAX),
    inferer: Any = WINDOWS,
    network: dict[str, Any] = NETWORK,
    metadata: dict[str, Any] | None = None,
    weights: bool = True,
    **entries: Any,
) -> Path:
    """Write the bundle's folder. before, after : transforms around the network. entries : more, or other,
    entries of the config.
    """
    for part in ("configs", "models"):
        (folder / part).mkdir(parents=True)
    reading = [{"_target_": name, "keys": "image"} for name in ("LoadImaged", "EnsureChannelFirstd")]
    saving = {
        "_target_": "SaveImaged",
        "keys": "pred",
        "output_dir": "$@bundle_root + '/eval'",
        "output_dtype": "$numpy.float32",
    }
    config = {
        "imports": ["$import glob", "$import numpy", "$import os"],
        "bundle_root": ".",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "datalist": "$list(sorted(glob.glob('data/*.nii.gz')))",
        "network_def": network,
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": [*reading, *before]},
        "inferer": inferer,
        "postprocessing": {"_target_": "Compose", "transforms": [*after, saving]},
        "checkpointloader": {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
        },
        "initialize": ["$monai.utils.set_determinism(seed=123)", "$@checkpointloader(@evaluator)"],
        "run": ["$@evaluator.run()"],
        **entries,
    }
    names = ["background", "liver", "spleen", "kidney"][: network.get("out_channels", 3)]
    written = {
        "name": folder.name,
        "version": "0.1.0",
        "description": "Random weights.",
        "network_data_format": {
            "inputs": {"image": {"modality": "CT", "num_channels": 1, "channel_def": {"0": "image"}}},
            "outputs": {
                "pred": {
                    "num_channels": len(names),
                    "channel_def": {str(k): name for k, name in enumerate(names)},
                }
            },
        },
    }
    written.update(metadata or {})
    (folder / "configs/inference.json").write_text(json.dumps(config))
    (folder / "configs/metadata.json").write_text(json.dumps(written))
    if weights:
        torch.save(random_weights(network), folder / "models/model.pt")
    return folder


def rewritten(folder: Path, **entries: Any) -> Path:
    """Other entries in a bundle's config; None: without it."""
    path = folder / "configs/inference.json"
    config = {**json.loads(path.read_text()), **entries}
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))
    return folder


def random_weights(network: dict[str, Any] = NETWORK) -> dict[str, torch.Tensor]:
    """Of a UNet: large enough for every class to occur."""
    torch.manual_seed(11)
    state = UNet(**{name: value for name, value in network.items() if name != "_target_"}).state_dict()
    return {
        name: tensor * 3 if tensor.is_floating_point() and "running" not in name else tensor
        for name, tensor in state.items()
    }


def smooth_ct(
    shape: tuple[int, int, int] = (13, 22, 19), spacing_mm: tuple[float, float, float] = (3.7, 2.3, 1.9)
) -> Volume:
    """An oblique int16 CT of soft random shapes, three unequal sides and spacings."""
    from scipy import ndimage

    noise = np.random.default_rng(5).normal(size=shape)
    values = ndimage.gaussian_filter(noise, 1.2)
    return Volume(
        (values / values.std() * 150 + 60).astype(np.int16),
        oblique_geometry(shape, spacing_mm),
        modality="CT",
    )
