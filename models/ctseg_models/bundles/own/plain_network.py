"""Networks of this project in standard layers, for export: the same numbers, without anything that only
training or this machine needs.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctseg_models.networks.msd_net import NORM_EPSILON, MSDNet
from ctseg_models.networks.patched_layers import SOUND, InstanceNorm2d, InstanceNorm3d
from ctseg_models.networks.probabilities import Probabilities
from ctseg_models.networks.scn import POOLING, SCN, SCNOutput, merge_by_certainty


def instance_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """torch's own. `F.instance_norm` is equal, but refuses a map of one voxel, which a U-Net's deepest level
    may be.
    """
    return torch.instance_norm(x, weight, bias, None, None, True, 0.0, eps, False)


class PlainInstanceNorm3d(nn.InstanceNorm3d):
    """(B, C, Z, Y, X)."""

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(x, self.weight, self.bias, self.eps)


class PlainInstanceNorm2d(nn.InstanceNorm2d):
    """(B, C, Y, X)."""

    def forward(self, x: Tensor) -> Tensor:
        return instance_norm(x, self.weight, self.bias, self.eps)


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    **{sound: plain for plain, sound in SOUND.items()},
    InstanceNorm3d: PlainInstanceNorm3d,
    InstanceNorm2d: PlainInstanceNorm2d,
}


class PlainMSDNet(nn.Module):
    """MSD-Net as convolutions of padded maps, one layer after the other.

    Sides must be longer than the largest dilation.
    """

    def __init__(self, network: MSDNet) -> None:
        super().__init__()
        self.config, self.prediction = network.config, network.prediction
        self.kernels, self.scales, self.offsets = network.kernels, network.scales, network.offsets

    def forward(self, image: Tensor) -> Tensor:
        maps = image
        flat = self.config.dimensions == 2
        for layer, (kernel, scale, offset) in enumerate(
            zip(self.kernels, self.scales, self.offsets, strict=True)
        ):
            dilation = 1 + layer % self.config.dilations
            padded = F.pad(maps, [dilation] * (4 if flat else 6), mode="reflect")
            convolved = (
                F.conv2d(padded, kernel, dilation=dilation)
                if flat
                else F.conv3d(padded, kernel, dilation=dilation)
            )
            normalised = instance_norm(convolved, scale, offset, NORM_EPSILON)
            maps = torch.cat([maps, F.leaky_relu(normalised, self.config.negative_slope)], dim=1)
        return self.prediction(maps)  # type: ignore[no-any-return]


class PlainSCN(nn.Module):
    """The SpatialConfiguration-Net in evaluation mode; the coarse maps are enlarged by a 2D resize, twice."""

    def __init__(self, network: SCN) -> None:
        super().__init__()
        self.config, self.local, self.spatial = network.config, network.local, network.spatial

    def forward(self, image: Tensor) -> SCNOutput:
        local = self.local(image)
        labels = F.avg_pool3d(torch.sigmoid(local[:, 1:]), POOLING)
        pooled = F.avg_pool3d(image, POOLING)
        coarse = torch.cat(
            [
                part(torch.cat([_without(labels, label), pooled], dim=1))
                for label, part in enumerate(self.spatial)
            ],
            dim=1,
        )
        depth, height, width = image.shape[2:]
        count, few = coarse.shape[1], coarse.shape[2]
        planes = F.interpolate(
            coarse.flatten(1, 2), size=(height, width), mode="bicubic", align_corners=False
        )
        columns = planes.reshape(-1, count, few, height * width)
        spatial = F.interpolate(columns, size=(depth, height * width), mode="bicubic", align_corners=False)
        spatial = spatial.reshape(-1, count, depth, height, width)
        return SCNOutput(merge_by_certainty(local, spatial), local, spatial)


def _without(labels: Tensor, label: int) -> Tensor:
    """The foreground maps (B, K, ...) without that of `label` (1..K); all of them for the background."""
    others = [number for number in range(labels.shape[1]) if number != label - 1]
    return torch.cat([labels[:, number : number + 1] for number in others], dim=1)


def plain(network: nn.Module) -> nn.Module:
    """A copy of any network of the catalogue: (B, C, [Z,] Y, X) to (B, K, [Z,] Y, X) probabilities.

    Frozen, in float32.
    """
    network = copy.deepcopy(network)
    if isinstance(network, MSDNet):
        network = PlainMSDNet(network)
    elif isinstance(network, SCN):
        network = PlainSCN(network)
    for module in network.modules():
        if (simple := PLAIN.get(type(module))) is not None:
            module.__class__ = simple
    return Probabilities(network).float().eval().requires_grad_(False)
