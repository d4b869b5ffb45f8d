"""Networks of MONAI that a config may name: an allow-list, built from plain arguments."""

from __future__ import annotations

import reprlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import BundleError, first_line
from ctseg_models.bundles.monai.config.arguments import NotHereError
from ctseg_models.bundles.monai.config.components import Component
from ctseg_models.vetting.checkpoint import check_room

if TYPE_CHECKING:
    from torch import Tensor, nn

# Segmentation networks of monai.networks.nets that take plain arguments and read no file.
NETWORKS = (
    "AHNet",
    "AttentionUnet",
    "BasicUNet",
    "BasicUnet",
    "Basicunet",
    "BasicUNetPlusPlus",
    "BasicUnetPlusPlus",
    "DynUNet",
    "DynUnet",
    "Dynunet",
    "HighResNet",
    "HighResUNet",
    "MedNeXt",
    "MedNeXtB",
    "MedNeXtL",
    "MedNeXtM",
    "MedNeXtS",
    "RegUNet",
    "SegResNet",
    "SegResNetDS",
    "SegResNetVAE",
    "SwinUNETR",
    "UNETR",
    "UNet",
    "Unet",
    "VNet",
)
# Arguments in older bundles that MONAI has removed and that did not change the network: SwinUNETR only
# checked this one.
GONE = {"SwinUNETR": ("img_size",)}
LARGEST_ARGUMENT = 8192
LONGEST_ARGUMENT = 64


def check_network(component: object) -> Component:
    """The component, when it is a network of the list with plain arguments. Raises NotHereError."""
    if not isinstance(component, Component):
        raise NotHereError("a network that is not a component")
    *modules, name = component.target.split(".")
    if name not in NETWORKS or (modules and modules[:3] != ["monai", "networks", "nets"][: len(modules)]):
        raise NotHereError(component.target)
    for argument, value in component.arguments.items():
        if not _plain(value):
            raise NotHereError(f"{component.target} with {argument} {reprlib.repr(value):.60}")
    return component


def build_network(
    component: Component, weights: dict[str, Tensor], path: Path
) -> tuple[nn.Module, nn.Module]:
    """The network with its weights in evaluation mode, float32 on the CPU, and the same without memory
    ("meta").

    path : of the weights, for messages. It is built without memory first, so a config with huge numbers
    cannot fill the memory: it has to fit the file. Raises BundleError.
    """
    import torch
    from monai.networks import nets

    arguments = {
        name: tuple(value)
        if isinstance(value, list) and not any(isinstance(one, list) for one in value)
        else value
        for name, value in component.arguments.items()
        if name not in GONE.get(component.name, ())
    }

    class RowsInMemory(torch.overrides.TorchFunctionMode):
        """The buffers of a network (SwinUNETR) whose values it reads while it is built."""

        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return function(
                *args, **{**(kwargs or {}), **({"device": "cpu"} if function is torch.linspace else {})}
            )

    try:
        with torch.device("meta"), RowsInMemory():
            outline = getattr(nets, component.name)(**arguments)
        _refuse_other_shapes(outline, weights, path)
        check_room(outline, path)
        network: nn.Module = getattr(nets, component.name)(**arguments)
    except (
        TypeError,
        ValueError,
        RuntimeError,
        NotImplementedError,
        LookupError,
        AssertionError,
        ArithmeticError,
        ImportError,
    ) as error:
        raise BundleError(
            f"{path.parent.parent}: the network {component.name} cannot be built from its config "
            f"({first_line(error)}); get the bundle again."
        ) from error
    known = network.state_dict()
    network.load_state_dict({name: weights[name] for name in known})
    return network.float().requires_grad_(False).eval(), outline.requires_grad_(False).eval()


def _refuse_other_shapes(network: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Load weights as MONAI's loader does: tensors that the network does not have are ignored; none may be
    missing.
    """
    for name, tensor in network.state_dict().items():
        if name not in weights or weights[name].shape != tensor.shape:
            found = "no tensor" if name not in weights else f"a tensor of {tuple(weights[name].shape)}"
            raise BundleError(
                f"{path}: has {found} for {name}, where the config's network has {tuple(tensor.shape)}; "
                "weights and config are not of one bundle, so get it again."
            )


def _plain(value: Any, depth: int = 0) -> bool:
    """Whether arguments are numbers, texts, and short lists and dictionaries of them."""
    if isinstance(value, list | tuple | dict):
        inside = value.values() if isinstance(value, dict) else value
        return depth < 4 and len(value) <= LONGEST_ARGUMENT and all(_plain(one, depth + 1) for one in inside)
    if isinstance(value, str):
        return len(value) <= LONGEST_ARGUMENT and "/" not in value and "\\" not in value
    return value is None or (isinstance(value, bool | int | float) and abs(value) <= LARGEST_ARGUMENT)
