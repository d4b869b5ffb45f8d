"""Builds the network that nnU-Net's plans describe, with a fold's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles.nnunet.plan import NNUNetPlan
from ctseg_models.networks.nnunet_blocks import ConvStyle, UNetShape, own_names
from ctseg_models.networks.plain_conv_unet import PlainConvUNet
from ctseg_models.networks.residual_encoder_unet import ResidualEncoderUNet
from ctseg_models.vetting.checkpoint import check_room

if TYPE_CHECKING:
    from torch import Tensor, nn

CLASSES = {"PlainConvUNet": PlainConvUNet, "ResidualEncoderUNet": ResidualEncoderUNet}
CONVS = {"PlainConvUNet": "n_conv_per_stage", "ResidualEncoderUNet": "n_blocks_per_stage"}
ARGUMENTS = (
    "n_stages",
    "features_per_stage",
    "conv_op",
    "kernel_sizes",
    "strides",
    "n_conv_per_stage_decoder",
    "conv_bias",
    "norm_op",
    "norm_op_kwargs",
    "nonlin",
    "nonlin_kwargs",
)
UNUSED = ("dropout_op", "dropout_op_kwargs", "deep_supervision")  # at inference
MOST_STAGES, MOST_CONVOLUTIONS = 16, 64  # so plans made to fill the memory are refused
MOST_WEIGHTS = 2_000_000_000  # the largest of nnU-Net's own presets has a tenth of that


def unet_shape(plan: NNUNetPlan) -> UNetShape:
    """The configuration of the network. Raises BundleError when it cannot be built from the plans."""
    _refuse_unknown_arguments(plan)
    try:
        shape = _shape(plan)
    except KeyError as error:
        raise BundleError(
            f"{plan.source}: the network's argument {error.args[0]} is missing; get the model again."
        ) from error
    except (TypeError, ValueError, OverflowError) as error:
        raise BundleError(
            f"{plan.source}: the network cannot be built ({error}); get the model again."
        ) from error
    steps = [prod(stride[axis] for stride in shape.strides) for axis in range(len(plan.patch))]
    if any(n % step for n, step in zip(plan.patch, steps, strict=True)):
        raise BundleError(
            f"{plan.source}: patch_size {list(plan.patch)} is not a multiple of the strides {steps}; get the "
            "model again."
        )
    return shape


def _refuse_unknown_arguments(plan: NNUNetPlan) -> None:
    known = {*ARGUMENTS, CONVS[plan.network], *UNUSED}
    if plan.network == "PlainConvUNet":
        known.add("nonlin_first")
    for name, value in plan.architecture.items():
        if name not in known and value is not None:
            raise BundleError(
                f"{plan.source}: the network's argument {name} is not known here; run this model with "
                "nnU-Net itself."
            )


def _shape(plan: NNUNetPlan) -> UNetShape:
    """Raises KeyError for a missing argument, ValueError for an impossible one."""
    given, dimensions = dict(plan.architecture), len(plan.patch)
    if (stages := int(given["n_stages"])) > MOST_STAGES:
        raise ValueError(f"it has {stages} stages")
    shape = UNetShape(
        plan.inputs,
        len(plan.heads.values),
        _per_stage(given["features_per_stage"], stages),
        _sizes(given["kernel_sizes"], stages, dimensions),
        _sizes(given["strides"], stages, dimensions),
        _per_stage(given[CONVS[plan.network]], stages),
        _per_stage(given["n_conv_per_stage_decoder"], stages - 1),
        _style(given, dimensions, plan.source),
    )
    if any(min(size, default=0) < 1 for size in (*shape.strides, *shape.kernels)):
        raise ValueError("a kernel or a stride is below 1")
    if len(shape.features) != stages:
        raise ValueError(f"it has {stages} stages and widths for {len(shape.features)}")
    if max(*shape.convs, *shape.decoder_convs) > MOST_CONVOLUTIONS:
        raise ValueError(f"a stage has more than {MOST_CONVOLUTIONS} convolutions")
    return shape


def empty_network(plan: NNUNetPlan) -> nn.Module:
    """The network on the meta device: names, shapes and operations, no numbers.

    Raises BundleError as `unet_shape`.
    """
    import torch

    shape = unet_shape(plan)
    if (
        max(shape.features) * max(shape.features) * max(map(prod, shape.kernels)) * sum(shape.convs)
        > MOST_WEIGHTS
    ):
        raise BundleError(f"{plan.source}: the network would have billions of weights; get the model again.")
    with torch.device("meta"):
        return CLASSES[plan.network](shape).eval().requires_grad_(False)


def network_with(
    weights: Mapping[str, Tensor], plan: NNUNetPlan, device: str, *, path: Path, trainer: str
) -> nn.Module:
    """The network in float32 on `device`, in evaluation mode. path, trainer : of the weights, for messages.

    Raises BundleError when the weights are not those of the network that the plans describe.
    """
    import torch

    network = empty_network(plan)
    own = own_names(weights)
    wanted = network.state_dict()
    if {name: tensor.shape for name, tensor in own.items()} != {
        name: tensor.shape for name, tensor in wanted.items()
    }:
        raise BundleError(
            f"{path}: the weights are not those of the {plan.network} that {plan.source.name} describes (the "
            "trainer "
            f'"{trainer}" may build another one); run this model with nnU-Net itself.'
        )
    check_room(network, path)
    copies = {
        name: tensor.to(device, torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)
        for name, tensor in own.items()
    }
    network.load_state_dict(copies, assign=True)
    layout = torch.channels_last if plan.flat else torch.channels_last_3d
    return network.requires_grad_(False).to(memory_format=layout)  # type: ignore[call-overload, no-any-return]


def network_flops(network: nn.Module, plan: NNUNetPlan) -> float:
    """Operations in convolutions for one window, two per multiply-add. network : on the meta device."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, plan.inputs, *plan.patch, device="meta"))
    return float(counter.get_total_flops())


def _style(given: Mapping[str, Any], dimensions: int, source: Path) -> ConvStyle:
    """The style of all convolutions.

    Raises BundleError for an unsupported operation, KeyError and ValueError for missing or impossible
    arguments.
    """
    conv, norm, nonlin = (
        str(given.get(name) or "").rpartition(".")[2] for name in ("conv_op", "norm_op", "nonlin")
    )
    norms: dict[str, Literal["instance", "batch", "none"]] = {
        f"InstanceNorm{dimensions}d": "instance",
        f"BatchNorm{dimensions}d": "batch",
        "": "none",
    }
    norm_arguments, nonlin_arguments = given.get("norm_op_kwargs") or {}, given.get("nonlin_kwargs") or {}
    for name, known in (
        ("conv_op " + conv, conv == f"Conv{dimensions}d"),
        ("norm_op " + norm, norm in norms),
        ("nonlin " + nonlin, nonlin in ("LeakyReLU", "ReLU", "")),
        ("norm_op_kwargs", set(norm_arguments) <= {"eps", "affine", "momentum"}),
        ("nonlin_kwargs", set(nonlin_arguments) <= {"inplace", "negative_slope"}),
    ):
        if not known:
            raise BundleError(
                f"{source}: the network's {name} is not known here; run this model with nnU-Net itself."
            )
    slopes = {"LeakyReLU": float(nonlin_arguments.get("negative_slope", 0.01)), "ReLU": 0.0, "": None}
    return ConvStyle(
        dimensions,
        bool(given.get("conv_bias", False)),
        norms[norm],
        float(norm_arguments.get("eps", 1e-5)),
        bool(norm_arguments.get("affine", norm.startswith("BatchNorm"))),
        slopes[nonlin],
        bool(given.get("nonlin_first", False)),
    )


def _per_stage(given: int | Sequence[int], stages: int) -> tuple[int, ...]:
    """One number a stage; a single one is repeated."""
    return (given,) * stages if isinstance(given, int) else tuple(int(number) for number in given)


def _sizes(
    given: int | Sequence[int | Sequence[int]], stages: int, dimensions: int
) -> tuple[tuple[int, ...], ...]:
    """One size a stage; a number stands for a cube, a single size is repeated."""
    each = [given] * stages if isinstance(given, int) else given
    return tuple(
        (size,) * dimensions if isinstance(size, int) else tuple(int(n) for n in size) for size in each
    )
