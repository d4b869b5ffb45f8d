"""Small bundles and volumes whose result is known by construction: no training, no third-party files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Labels, Volume
from ctseg_models.bundles.own.bundle import OwnBundle, build_network
from ctseg_models.bundles.own.metadata import Stage
from ctseg_models.bundles.own.writing import write_bundle
from ctseg_models.contract.plan import AllowedSizes, Intensity

AIR, TISSUE, ORGAN = -1000, 40, 300


def threshold_stage(
    name: str, threshold_hu: float, spacing_mm: tuple[float, float, float], **more: object
) -> Stage:
    """A one-level U-Net that gives 1 where the resampled image is above `threshold_hu` (see
    threshold_weights).
    """
    entries: dict[str, object] = {
        "name": name,
        "network": "unet",
        "config": {"levels": 1, "filters": 2, "negative_slope": 1.0},
        "spacing_mm": spacing_mm,
        "outputs": 2,
        "sizes": AllowedSizes(min=(8, 8, 8), max=(96, 96, 96), step=(8, 8, 8)),
        "intensity": Intensity(clip_low=-2000, clip_high=2000, shift=threshold_hu, scale=500),
        **more,
    }
    return Stage.model_validate(entries)


def threshold_weights(stage: Stage) -> dict[str, Tensor]:
    """Every convolution passes filter 0 on (a leaky ReLU of slope 1 is the identity); class 1 wins where it
    is positive.
    """
    weights = {key: torch.zeros_like(tensor) for key, tensor in build_network(stage).state_dict().items()}
    for key, tensor in weights.items():
        if key.endswith("weight") and "conv" in key:
            tensor[0, 0, 1, 1, 1] = 10.0 if "expanding0.conv1" in key else 1.0
    weights["prediction.weight"][1, 0] = 200.0
    return weights


def threshold_bundle(
    folder: Path,
    *,
    two_stages: bool = True,
    threshold_hu: float = 170,
    localise_hu: float = 200,
    margin_mm: float = 6.0,
    **segment: object,
) -> OwnBundle:
    """Labels 5 "organ" above `threshold_hu`; its localiser looks for `localise_hu` at 6 mm."""
    stages = (
        [threshold_stage("localise", localise_hu, (6.0, 6.0, 6.0), margin_mm=margin_mm)] if two_stages else []
    )
    stages.append(threshold_stage("segment", threshold_hu, (2.0, 2.5, 2.5), **segment))
    weights = {stage.name: threshold_weights(stage) for stage in stages}
    return write_bundle(
        folder,
        name=folder.name,
        stages=stages,
        weights=weights,
        labels=Labels.from_names({5: "organ"}),
        card="# A threshold\n\nFor tests.",
    )


def oblique_geometry(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], degrees: float = 8
) -> Geometry:
    """Turned about two axes, with an origin away from 0."""
    a, b = np.radians(degrees), np.radians(degrees / 2)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return Geometry.from_parts(shape, spacing_mm, (-70.5, 33.0, 210.25), about_z @ about_x)


def body_with_organ(
    shape: tuple[int, int, int] = (37, 48, 59),
    spacing_mm: tuple[float, float, float] = (3.0, 2.0, 1.7),
) -> tuple[Volume, np.ndarray]:
    """An oblique int16 CT of an ellipsoid organ in an ellipsoid body in air, and where the organ is."""
    z, y, x = np.meshgrid(
        *((np.arange(n) + 0.5) * s for n, s in zip(shape, spacing_mm, strict=True)), indexing="ij"
    )
    centre = [n * s / 2 for n, s in zip(shape, spacing_mm, strict=True)]
    body = ((z - centre[0]) / 54) ** 2 + ((y - centre[1]) / 46) ** 2 + ((x - centre[2]) / 48) ** 2 < 1
    organ = ((z - centre[0] - 12) / 21) ** 2 + ((y - centre[1] + 9) / 15) ** 2 + (
        (x - centre[2] - 7) / 24
    ) ** 2 < 1
    array = np.where(organ, ORGAN, np.where(body, TISSUE, AIR)).astype(np.int16)
    return Volume(array, oblique_geometry(shape, spacing_mm), modality="CT"), organ


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Of two masks."""
    return float(2 * np.logical_and(a, b).sum() / (a.sum() + b.sum()))
