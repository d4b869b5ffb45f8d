"""The networks by the names that recipes and bundles use; each is imported when it is first asked for."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from ctseg_imaging.errors import BundleError

if TYPE_CHECKING:
    from torch import nn

# of a width, a count of layers or a list in a configuration: no network here comes near, and more takes
# minutes to build
LARGEST = 4096
NetworkName = Literal[
    "unet",
    "scn",
    "sunet",
    "dense_unet",
    "msd_net",
    "nnunet",
    "backbone",
    "edge_gated",
]


def classes(kind: str) -> tuple[type[Any], type[nn.Module]]:
    """The frozen configuration and the network of `kind`. Raises BundleError for an unknown name."""
    match kind:
        case "unet":
            from ctseg_models.networks.unet import UNet, UNetConfig

            return UNetConfig, UNet
        case "scn":
            from ctseg_models.networks.scn import SCN, SCNConfig

            return SCNConfig, SCN
        case "sunet":
            from ctseg_models.networks.sunet import SUNet, SUNetConfig

            return SUNetConfig, SUNet
        case "dense_unet":
            from ctseg_models.networks.dense_unet import DenseUNet, DenseUNetConfig

            return DenseUNetConfig, DenseUNet
        case "msd_net":
            from ctseg_models.networks.msd_net import MSDNet, MSDNetConfig

            return MSDNetConfig, MSDNet
        case "nnunet":
            from ctseg_models.networks.nnunet import NNUNet, NNUNetConfig

            return NNUNetConfig, NNUNet
        case "backbone":
            from ctseg_models.networks.backbone_parts import BackboneConfig
            from ctseg_models.networks.backbones import Backbone

            return BackboneConfig, Backbone
        case "edge_gated":
            from ctseg_models.networks.edge_gated import EdgeGated, EdgeGatedConfig

            return EdgeGatedConfig, EdgeGated
    raise BundleError(f"Unknown network {kind!r}; the bundle was written by a newer version of napari-ctseg.")


def build(kind: str, config: dict[str, Any], *, in_channels: int, outputs: int) -> nn.Module:
    """The network with fresh weights from torch's current seed.

    config : the other fields of its configuration; lists stand for tuples. Raises BundleError for a field
    that the network does not have, or a number above LARGEST.
    """
    from ctseg_models.networks.patched_layers import patch_layers

    configuration, network = classes(kind)
    known = {field.name for field in fields(configuration)}
    if unknown := sorted(set(config) - known):
        raise BundleError(
            f"The {kind} network has no option {', '.join(unknown)}; the bundle was written by a newer "
            "version of napari-ctseg."
        )
    if large := sorted(key for key, value in config.items() if _too_large(value)):
        raise BundleError(
            f"The {kind} network cannot be built with {', '.join(large)} above {LARGEST}; get the bundle "
            "again."
        )
    entries = {key: _tuples(value) for key, value in config.items()} | {
        "in_channels": in_channels,
        "outputs": outputs,
    }
    return patch_layers(network(configuration(**entries)))


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list | tuple) else value


def _too_large(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return len(value) > LARGEST or any(map(_too_large, value))
    return isinstance(value, int | float) and abs(value) > LARGEST
