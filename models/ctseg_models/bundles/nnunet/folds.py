"""The trained folds of an nnU-Net folder and the mean of their logits."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Shape
from ctseg_imaging.progress import scaled
from ctseg_models.bundles.nnunet.plan import NNUNetPlan
from ctseg_models.contract.stage import NetworkSteps
from ctseg_models.vetting.checkpoint import load_checkpoint

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ctseg_models.contract.arithmetic import Arithmetic


@dataclass(frozen=True)
class Fold:
    """The content of a checkpoint. mirror_axes : of the plans' three axes."""

    weights: dict[str, Tensor]
    trainer: str
    mirror_axes: tuple[int, ...]

    @classmethod
    def read(cls, path: Path, plan: NNUNetPlan) -> Fold:
        """A checkpoint of `plan`. Raises BundleError for another configuration, or if nnU-Net v2 did not
        write it.
        """
        import torch

        content = load_checkpoint(path)
        weights, start = content.get("network_weights"), content.get("init_args")
        if not isinstance(weights, dict) or not all(
            isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in weights.items()
        ):
            raise BundleError(
                f"{path}: has no network_weights, so it is not a checkpoint of nnU-Net version 2; name its "
                "results folder."
            )
        configuration = start.get("configuration") if isinstance(start, dict) else None
        if configuration not in (
            None,
            "",
            plan.configuration,
        ):  # name, spacing and card were taken from the folder's configuration
            raise BundleError(
                f'{path}: was trained as the configuration "{_shown(configuration)}" and its folder is of '
                f'"{plan.configuration}"; give the folder the name that nnU-Net gave it.'
            )
        given = content.get("inference_allowed_mirroring_axes")
        axes = () if given is None else given
        if not isinstance(axes, tuple | list) or any(
            not isinstance(axis, int) or axis not in range(len(plan.patch)) for axis in axes
        ):
            raise BundleError(
                f"{path}: inference_allowed_mirroring_axes names no axes of the network; get the model again."
            )
        shift = 3 - len(plan.patch)
        return cls(
            weights, _shown(content.get("trainer_name", "")), tuple(int(axis) + shift for axis in axes)
        )


def _shown(value: Any) -> str:
    """A value of a checkpoint, for an error message."""
    return "".join(character for character in str(value)[:60] if character.isprintable())


def folds_mean(
    networks: Sequence[nn.Module], plan: NNUNetPlan, flops: Callable[[Shape], float]
) -> NetworkSteps:
    """NetworkSteps along the plans' axes: the mean of the logits of all folds.

    Slices of a 2D network are one batch.
    """

    def steps(x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
        each = flops((x.shape[2], x.shape[3], x.shape[4])) / len(networks)
        total: Tensor | None = None
        for network in networks:
            logits = yield from scaled(
                network_logits(network, plan.flat, each, x, arithmetic), 1 / len(networks)
            )
            total = logits if total is None else total.add_(logits)
        assert total is not None  # a bundle has a fold
        return total.div_(len(networks)) if len(networks) > 1 else total

    return steps


def network_logits(
    network: nn.Module, flat: bool, flops: float, x: Tensor, arithmetic: Arithmetic
) -> Generator[float, None, Tensor]:
    """(1, C, z, y, x) to (K, z, y, x) float32."""
    import torch

    from ctseg_models.bundles.nnunet.slab_runner import nnunet_steps, runs_in_slabs
    from ctseg_models.inference.network.interruptible import watched

    if runs_in_slabs(network):
        return (yield from nnunet_steps(network, flops, x, arithmetic))
    given = (
        x[0].movedim(1, 0).contiguous(memory_format=torch.channels_last)
        if flat
        else x.contiguous(memory_format=torch.channels_last_3d)
    )
    half = arithmetic.dtype != torch.float32

    def call() -> Tensor:
        with torch.autocast(x.device.type, dtype=arithmetic.dtype if half else torch.bfloat16, enabled=half):
            logits: Tensor = network(given)
        return logits.to(torch.float32, memory_format=torch.contiguous_format)

    logits = yield from watched(call, flops=flops, step_flops=arithmetic.step_flops)
    return logits.movedim(0, 1) if flat else logits[0]
