"""From a recipe to a network, and slices to a 2D one."""

from __future__ import annotations

from torch import Tensor, nn

from ctseg_models.networks.catalogue import build as build_kind
from ctseg_training.losses.objective import LossInput
from ctseg_training.recipes.network_settings import NetworkSettings


def build(settings: NetworkSettings, in_channels: int, outputs: int) -> nn.Module:
    """The network of a recipe, freshly initialised by torch's current seed.

    outputs : labels, background included.
    """
    return build_kind(settings.kind, settings.options(), in_channels=in_channels, outputs=outputs)


def as_seen(image: Tensor, target: Tensor, present: Tensor, dimensions: int) -> LossInput:
    """A batch in the form that a network of 2 or 3 dimensions takes: for 2, every slice is a sample of its
    own.

    image : (B, C, Z, Y, X). target : (B, Z, Y, X). present : (B, K).
    """
    if dimensions == 3:
        return LossInput(image, target, present)
    return LossInput(
        image.transpose(1, 2).flatten(0, 1),
        target.flatten(0, 1),
        present.repeat_interleave(image.shape[2], dim=0),
    )


def as_volumes(maps: Tensor, samples: int, dimensions: int) -> Tensor:
    """(B Z, K, Y, X) back to (B, K, Z, Y, X); maps of a 3D network as they are. samples : B."""
    return maps if dimensions == 3 else maps.reshape(samples, -1, *maps.shape[1:]).transpose(1, 2)
