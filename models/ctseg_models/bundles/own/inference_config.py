"""`configs/inference.json`: how MONAI's own runner can use the last stage of a bundle."""

from __future__ import annotations

from typing import Any

from ctseg_models.bundles.own.metadata import CtsegBlock, Stage
from ctseg_models.contract.plan import Intensity
from ctseg_models.networks.catalogue import classes

_RUN: dict[str, Any] = {
    "dataset": {
        "_target_": "Dataset",
        "data": "$[{'image': i} for i in @datalist]",
        "transform": "@preprocessing",
    },
    "dataloader": {
        "_target_": "DataLoader",
        "dataset": "@dataset",
        "batch_size": 1,
        "shuffle": False,
        "num_workers": 0,
    },
}
_POSTPROCESSING: dict[str, Any] = {
    "_target_": "Compose",
    "transforms": [
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": False,
            "to_tensor": True,
        },
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {
            "_target_": "SaveImaged",
            "keys": "pred",
            "output_dir": "@output_dir",
            "output_dtype": "uint8",
        },
    ],
}
_EVALUATOR: dict[str, Any] = {
    "_target_": "SupervisedEvaluator",
    "device": "@device",
    "val_data_loader": "@dataloader",
    "network": "@network",
    "inferer": "@inferer",
    "postprocessing": "@postprocessing",
}


def inference_config(block: CtsegBlock) -> dict[str, Any] | None:
    """The config as a dict; None for what these transforms cannot express.

    That is 2D networks, several channels, statistics of the volume. Of a two-stage bundle it runs the
    segmenter alone, on the whole volume: slower, and without the region of interest.
    """
    stage = block.stages[-1]
    if (
        len(stage.channels) > 1
        or stage.intensity.statistics != "none"
        or stage.intensity.clip_quantiles is not None
        or _flat(stage)
    ):
        return None
    return {
        "imports": ["$import glob", "$from safetensors.torch import load_file"],
        "bundle_root": ".",
        "dataset_dir": "/path/to/images",
        "output_dir": "$@bundle_root + '/eval'",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        "datalist": "$list(sorted(glob.glob(@dataset_dir + '/*.nii.gz')))",
        **_network(stage),
        "preprocessing": _preprocessing(stage),
        **_RUN,
        "inferer": _inferer(stage),
        "postprocessing": _POSTPROCESSING,
        "evaluator": _EVALUATOR,
        "initialize": ["$@loaded"],
        "run": ["$@evaluator.run()"],
    }


def _network(stage: Stage) -> dict[str, Any]:
    """The network with its weights, made to give probabilities."""
    configuration, network = classes(stage.network)
    return {
        "network_config": {
            "_target_": f"{configuration.__module__}.{configuration.__name__}",
            **stage.config,
            "outputs": stage.outputs,
            "in_channels": len(stage.channels),
        },
        "bare_network": {"_target_": f"{network.__module__}.{network.__name__}", "config": "@network_config"},
        "weights": f"$load_file(@bundle_root + '/models/{stage.name}.safetensors')",
        "loaded": "$@bare_network.load_state_dict({k: v.float() for k, v in @weights.items()})",
        "network_def": {
            "_target_": "ctseg_models.networks.probabilities.Probabilities",
            "network": "@bare_network",
        },
        "network": "$@network_def.to(@device).eval()",
    }


def _preprocessing(stage: Stage) -> dict[str, Any]:
    """Axis codes SPL give MONAI's array our order (z, y, x): to superior, posterior, left."""
    spacing = list(stage.spacing_mm)
    return {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image", "ensure_channel_first": True},
            {"_target_": "Orientationd", "keys": "image", "axcodes": "SPL"},
            {"_target_": "Spacingd", "keys": "image", "pixdim": spacing, "mode": "bilinear"},
            _scaled(stage.intensity),
            {"_target_": "EnsureTyped", "keys": "image", "device": "@device"},
        ],
    }


def _scaled(channel: Intensity) -> dict[str, Any]:
    """The intensity as a ScaleIntensityRanged."""
    low = channel.clip_low if channel.clip_low is not None else channel.shift - channel.scale
    high = channel.clip_high if channel.clip_high is not None else channel.shift + channel.scale
    return {
        "_target_": "ScaleIntensityRanged",
        "keys": "image",
        "a_min": low,
        "a_max": high,
        "b_min": (low - channel.shift) / channel.scale,
        "b_max": (high - channel.shift) / channel.scale,
        "clip": channel.clip_low is not None,
    }


def _inferer(stage: Stage) -> dict[str, Any]:
    """Windows of the stage, or of about 96 voxels."""
    patch = list(stage.patch or stage.sizes.step)
    if stage.patch is None:
        patch = [
            max(low_n, min(high_n, 96)) // step * step or step
            for low_n, high_n, step in zip(stage.sizes.min, stage.sizes.max, stage.sizes.step, strict=True)
        ]
    return {
        "_target_": "SlidingWindowInferer",
        "roi_size": patch,
        "sw_batch_size": 1,
        "overlap": stage.overlap,
        "mode": "gaussian",
        "padding_mode": "constant",
        "cval": -1.0,
    }


def _flat(stage: Stage) -> bool:
    """Whether the network is two-dimensional."""
    configuration, _ = classes(stage.network)
    fields = {key: value for key, value in stage.config.items() if key not in ("in_channels", "outputs")}
    config = configuration(**fields, in_channels=1, outputs=stage.outputs)
    return bool(getattr(config, "dimensions", 3) == 2)
