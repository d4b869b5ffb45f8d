"""An estimate of the memory that a training run will need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import prod

import torch
from torch import Tensor, nn

from ctseg_imaging.geometry import Shape
from ctseg_models.bundles.own.bundle import build_network
from ctseg_models.bundles.own.metadata import Stage
from ctseg_training.data.feeding import AHEAD
from ctseg_training.recipes.schema import Recipe

COPIES = 5  # of the weights: themselves, their gradient, the optimiser's two moments, the moving average
LARGEST_MAPS = 3  # of the largest map's size: what the backward pass holds next to the kept maps
MAPS_PER_LOSS = 6  # of the output's size: probabilities, one-hot truth, products, their gradients
BYTES_PER_VOXEL_BEING_MADE = 40  # of a sample: coordinates, neighbours, image, target
SMALL = 32  # voxels a side of the input by which the maps are counted
BF16_SHARE = 0.6  # of the maps of a network under autocast: not all become half as large


@dataclass(frozen=True)
class Need:
    """MB of each part.

    activations : kept for the backward pass, losses included. samples : made ahead. reading : the largest
    case.
    """

    network: float
    activations: float
    samples: float
    reading: float

    @property
    def computing(self) -> float:
        """MB on the network's device: the processor's memory or the GPU's."""
        return self.network + self.activations

    @property
    def data(self) -> float:
        """MB in the processor's memory, on any device."""
        return self.samples + self.reading

    def in_words(self) -> str:
        """Each part, the largest first."""
        parts = sorted(((getattr(self, field.name), field.name) for field in fields(self)), reverse=True)
        return ", ".join(f"{name} {round(megabytes)}" for megabytes, name in parts)


def memory_need(recipe: Recipe, stage: Stage, shape: Shape, reading_mb: float) -> Need:
    """shape : (z, y, x) of the largest sample.

    reading_mb : of the largest case while it is read; after that it lies on the disk.

    The maps are counted in one pass over a small input and grow with the voxels. An estimate for float32, or
    for bf16 where the recipe does not say fp32. torch's random state is left as it was.
    """
    small = _small(recipe, shape)
    with torch.random.fork_rng(devices=[]):
        network = build_network(stage).train()
        image = torch.zeros(
            1, len(stage.channels), *small[3 - recipe.network.dimensions :]
        )  # a slice is a sample to a 2D network
        kept, outputs = _maps(network, image)
    growth = recipe.batch * prod(shape) / prod(small)
    share = 1.0 if recipe.precision == "fp32" else BF16_SHARE
    activations = growth * (
        share * (sum(kept) + LARGEST_MAPS * max(kept, default=0))
        + MAPS_PER_LOSS * len(recipe.losses) * outputs
    )
    samples = (
        recipe.batch * prod(shape) * (AHEAD * (4 * len(stage.channels) + 8) + BYTES_PER_VOXEL_BEING_MADE)
    )
    weights = sum(parameter.numel() for parameter in network.parameters())
    return Need(COPIES * 4 * weights / 1e6, activations / 1e6, samples / 1e6, reading_mb)


def _small(recipe: Recipe, shape: Shape) -> Shape:
    """A size that the network accepts, about SMALL voxels a side or less; `shape` itself if there is none."""
    wanted = [min(n, SMALL) for n in shape]
    allowed = recipe.data.sizes.next_allowed(tuple(wanted)) or shape
    z, y, x = (min(n, most) for n, most in zip(shape, allowed, strict=True))
    return (1, y, x) if recipe.network.dimensions == 2 else (z, y, x)


def _maps(network: nn.Module, image: Tensor) -> tuple[list[int], int]:
    """Bytes of every map that the backward pass will want, and of all outputs together."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[
        int, Tensor
    ] = {}  # by storage, as two operations may keep one map; held, so no address is used twice

    def keep(saved: Tensor) -> Tensor:
        if (address := saved.untyped_storage().data_ptr()) not in weights:
            kept[address] = saved
        return saved

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda saved: saved):
        returned = network(image)
    return [saved.untyped_storage().nbytes() for saved in kept.values()], _bytes(returned)


def _bytes(output: Tensor | Sequence[Tensor]) -> int:
    """Of a map, or of several (an SCN's, or one a resolution with deep supervision)."""
    return output.nbytes if isinstance(output, Tensor) else sum(map(_bytes, output))
