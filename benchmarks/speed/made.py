"""A synthetic CT of 512 x 512 x 300, and a two-stage bundle of paper 5's sizes whose random networks segment
it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Labels, Volume
from ctseg_models.bundles.own.bundle import OwnBundle, build_network
from ctseg_models.bundles.own.metadata import Stage
from ctseg_models.bundles.own.writing import write_bundle
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.plan import AllowedSizes, Intensity
from ctseg_models.inference.network.scn_slab_runner import unet_steps
from ctseg_models.networks.scn import SCN
from ctseg_models.networks.unet import UNet

SHAPE = (300, 512, 512)
SPACING_MM = (1.5, 0.8, 0.8)
AIR_HU, BODY_HU, NOISE_HU = -1000, 0, 15
BODY_MM = (270, 205, 270)  # diameters of a torso in a field of view of 450 x 410 x 410 mm
# Centre as a share of the field of view, diameters in mm and HU of four organs.
ORGANS = (
    ((0.45, 0.50, 0.35), (120, 90, 100), 400),
    ((0.55, 0.50, 0.66), (90, 70, 80), -500),
    ((0.65, 0.42, 0.45), (70, 60, 60), 900),
    ((0.38, 0.60, 0.60), (60, 50, 70), 200),
)
SHARPNESS = 6.0  # logits that the fitted last layers aim at: + inside, - outside
SEGMENTER_MM = 2.0
SAMPLE = 200_000  # voxels that the last layers are fitted to


def regions(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Classes over the whole field of view in `shape` voxels: 0 air, 1 body, 2 and up organs."""
    extent = [n * s for n, s in zip(SHAPE, SPACING_MM, strict=True)]
    found = np.zeros(shape, np.uint8)
    for value, (middle, size, _) in enumerate((((0.5, 0.5, 0.5), BODY_MM, BODY_HU), *ORGANS), start=1):
        axes = [
            ((np.arange(n) + 0.5) / n - m) * e / (d / 2)
            for n, m, e, d in zip(shape, middle, extent, size, strict=True)
        ]
        z, y, x = (np.square(axis).astype(np.float32) for axis in axes)
        found[z[:, None, None] + y[:, None] + x < 1] = value
    return found


def made_ct(shape: tuple[int, int, int] = SHAPE) -> Volume:
    """An ellipsoid with four organs and noise, in air; the field of view is the same for every `shape`."""
    noise = np.random.default_rng(0).normal(0, NOISE_HU, shape[1:])
    values = np.array([AIR_HU, BODY_HU, *(hu for _, _, hu in ORGANS)], np.int16)
    array = values[regions(shape)]
    for z, plane in enumerate(array):
        plane += np.roll(noise, 37 * z, axis=(0, 1)).astype(np.int16)
    spacing = [s * full / n for s, full, n in zip(SPACING_MM, SHAPE, shape, strict=True)]
    return Volume(array, Geometry.from_parts(shape, (spacing[0], spacing[1], spacing[2])), modality="CT")


def two_stage(folder: Path, norm: str = "instance") -> OwnBundle:
    """Localiser and SCN of paper 5 with random weights, their last layers fitted to the synthetic CT.

    So the box and the labels are those of a body and its organs, not of noise.
    """
    torch.manual_seed(0)
    localise = Stage(
        name="localise",
        network="unet",
        config={"norm": norm},
        spacing_mm=(8, 8, 8),
        outputs=2,
        sizes=AllowedSizes(min=(32, 32, 32), max=(96, 96, 96), step=(16, 16, 16)),
        intensity=Intensity(clip_low=-1024, clip_high=1024, scale=1024),
    )
    segment = Stage(
        name="segment",
        network="scn",
        config={"norm": norm},
        spacing_mm=(SEGMENTER_MM,) * 3,
        outputs=1 + len(ORGANS),
        sizes=AllowedSizes(min=(32, 32, 32), max=(160, 128, 160), step=(16, 16, 16)),
        intensity=Intensity(clip_low=-1024, clip_high=1024, scale=512),
    )
    localiser, segmenter = build_network(localise), build_network(segment)
    assert isinstance(localiser, UNet)
    assert isinstance(segmenter, SCN)
    for module in (*localiser.modules(), *segmenter.modules()):
        if isinstance(module, nn.InstanceNorm3d):
            nn.init.normal_(
                module.bias
            )  # without noise, every unit bends at the mean, and the features separate few values
    image, truth = _example((56, 52, 52), (64, 64, 64))
    _fit(localiser, image / 1024, (truth > 0).long())
    image, truth = _example((225, 205, 205), (160, 128, 160))
    _fit(segmenter.local, image / 512, (truth - 1).clamp_min(0))
    for part in segmenter.spatial:
        assert isinstance(part, UNet)
        part.prediction.weight.data *= 0.05  # the organs are at the local part's resolution
    weights = {"localise": localiser.state_dict(), "segment": segmenter.state_dict()}
    return write_bundle(
        folder / "two-stage",
        name="two-stage",
        stages=[localise, segment],
        weights=weights,
        labels=Labels.from_names({k: f"organ {k}" for k in range(1, 1 + len(ORGANS))}),
        card="# Made\n",
        precision="fp32",
    )


def _example(shape: tuple[int, int, int], size: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """The middle `size` of the CT in coarser voxels, (1, 1, z, y, x) HU clipped as in the bundle, and its
    regions.

    The regions are (z, y, x).
    """

    def middle(whole: NDArray[np.generic], outside: float) -> Tensor:
        sides = [
            side
            for n, wanted in reversed(list(zip(shape, size, strict=True)))
            for side in ((wanted - n) // 2, wanted - n - (wanted - n) // 2)
        ]
        return F.pad(torch.from_numpy(whole.astype(np.float32)), sides, value=outside)

    return middle(made_ct(shape).array, AIR_HU).clamp_(-1024, 1024)[None, None], middle(
        regions(shape), 0
    ).long()


def _fit(network: UNet, image: Tensor, truth: Tensor) -> None:
    """Least squares of the last layer on the random features of one image. truth : (z, y, x) class of each
    voxel.
    """
    config = network.config
    features_only = UNet(replace(config, outputs=config.filters))
    weights = {
        **network.state_dict(),
        "prediction.weight": torch.eye(config.filters).reshape(config.filters, config.filters, 1, 1, 1),
        "prediction.bias": torch.zeros(config.filters),
    }
    features_only.load_state_dict(weights)
    features_only.requires_grad_(False)
    features = finish(unet_steps(features_only, Tensor.clone, image, Arithmetic())).flatten(1)
    some = torch.randperm(features.shape[1])[:SAMPLE]
    columns = F.pad(features[:, some].T.double(), (0, 1), value=1.0)  # (voxels, C + 1)
    one_hot = F.one_hot(truth.flatten()[some], config.outputs).double()
    # so a small organ counts too
    share = (one_hot / one_hot.sum(dim=0).sqrt()).sum(dim=1, keepdim=True).sqrt()
    solved = torch.linalg.lstsq(columns * share, SHARPNESS * (2 * one_hot - 1) * share).solution
    with torch.no_grad():
        network.prediction.weight.copy_(solved[:-1].T.reshape(network.prediction.weight.shape))
        network.prediction.bias.copy_(solved[-1])  # type: ignore[union-attr]
