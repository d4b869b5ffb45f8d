"""The SpatialConfiguration-Net of paper 5 (Thaler et al. 2021), in the authors' form: one spatial U-Net per
label.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctseg_models.networks.unet import Norm, UNet, UNetConfig

MERGE_EPSILON = 1e-8
POOLING = 4


@dataclass(frozen=True)
class SCNConfig:
    """outputs counts the background. With 5 outputs the defaults have 1,270,090 parameters, the paper's
    figure.
    """

    in_channels: int = 1
    outputs: int = 5
    levels: int = 5
    filters: int = 32
    spatial_levels: int = 4
    spatial_filters: int = 16
    dropout: float = 0.1
    negative_slope: float = 0.1
    norm: Norm = "none"
    label_dropout: float = 0.25
    image_dropout: float = 0.5
    salt_and_pepper: float = 0.01


class SCNOutput(NamedTuple):
    """probabilities sum to 1 over the labels; local and spatial are logits. All (B, outputs, Z, Y, X)."""

    probabilities: Tensor
    local: Tensor
    spatial: Tensor


class SCN(nn.Module):
    """(B, C, Z, Y, X) image to SCNOutput.

    local : a U-Net with one output per label, background included. spatial : per label a U-Net on the
    pooled (by 4) local probabilities of the *other* foreground labels and the image; it has no gradient
    into the local part. Source: paper 5, section 2.2; the spatial part's form, the merge by certainty and
    the training-time noise after the authors' published program.
    """

    def __init__(self, config: SCNConfig) -> None:
        super().__init__()
        self.config = config
        local = UNetConfig(
            config.in_channels,
            config.outputs,
            config.levels,
            config.filters,
            config.dropout,
            config.negative_slope,
            config.norm,
        )
        self.local = UNet(local)
        part = replace(local, outputs=1, levels=config.spatial_levels, filters=config.spatial_filters)
        foreground = config.outputs - 1
        self.spatial = nn.ModuleList(
            UNet(
                replace(part, in_channels=config.in_channels + (foreground if label == 0 else foreground - 1))
            )
            for label in range(config.outputs)
        )

    def forward(self, image: Tensor) -> SCNOutput:
        local = self.local(image)
        labels = F.avg_pool3d(torch.sigmoid(local[:, 1:]).detach(), POOLING)
        pooled = F.avg_pool3d(image, POOLING)
        if self.training:
            labels, pooled = self._perturb(labels, pooled)
        coarse = torch.cat(
            [
                part(torch.cat([_without(labels, label), pooled.to(labels.dtype)], dim=1))
                for label, part in enumerate(self.spatial)
            ],
            dim=1,
        )
        with torch.autocast(image.device.type, enabled=False):
            spatial = upsample_cubic(coarse.float(), image.shape[2:])
        return SCNOutput(merge_by_certainty(local, spatial), local, spatial)

    def _perturb(self, labels: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """In training: channel dropout (labels twice), and salt and pepper on the labels at scales 1, 2, 4,
        8.
        """
        for _ in range(2):
            labels = F.dropout3d(labels, self.config.label_dropout)
        for scale in (1, 2, 4, 8):
            labels = salt_and_pepper(labels, self.config.salt_and_pepper, scale)
        return labels, F.dropout3d(image, self.config.image_dropout)


def _without(labels: Tensor, label: int) -> Tensor:
    """The foreground maps (B, K, ...) without that of `label` (1..K); all of them for the background."""
    if label == 0:
        return labels
    return torch.cat([labels[:, : label - 1], labels[:, label:]], dim=1)


def salt_and_pepper(maps: Tensor, ratio: float, scale: int) -> Tensor:
    """Cubes of `scale` voxels of (B, K, Z, Y, X) set to 0 or 1, each with probability ratio / 2."""
    if ratio == 0:
        return maps
    small = [max(1, math.ceil(n / scale)) for n in maps.shape[2:]]
    draw = torch.rand(*maps.shape[:2], *small, device=maps.device)
    draw = F.interpolate(draw, size=maps.shape[2:], mode="nearest")
    return maps.masked_fill(draw < ratio / 2, 0.0).masked_fill(draw > 1 - ratio / 2, 1.0)


def merge_by_certainty(local: Tensor, spatial: Tensor) -> Tensor:
    """Local and spatial logits to probabilities that sum to 1 over axis 1.

    H = binary entropy of sigmoid(spatial) / ln 2; p = sigmoid(local) H + sigmoid(spatial) (1 - H), then
    normalised.
    """
    s = torch.sigmoid(spatial.float())
    entropy = (F.softplus(spatial.float()) - s * spatial.float()) / math.log(2.0)  # stable for large logits
    p = torch.lerp(s, torch.sigmoid(local.float()), entropy)
    return p / (p.sum(dim=1, keepdim=True) + MERGE_EPSILON)


def upsample_cubic(maps: Tensor, size: torch.Size) -> Tensor:
    """(B, K, z, y, x) to (B, K, Z, Y, X) with the cubic convolution kernel (Keys 1981), one axis at a time.

    Half-pixel centres.
    """
    for axis in range(3):
        matrix = _cubic_matrix(maps.shape[2 + axis], size[axis], maps.device, maps.dtype)
        maps = torch.movedim(torch.movedim(maps, 2 + axis, -1) @ matrix.T, -1, 2 + axis)
    return maps


def _cubic_matrix(small: int, large: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Interpolation weights (large, small) along one axis, repeating the border."""
    identity = torch.eye(small, device=device, dtype=torch.float32)[None]
    rows = F.interpolate(identity[:, None], size=(large, small), mode="bicubic", align_corners=False)[0, 0]
    return rows.to(dtype)
