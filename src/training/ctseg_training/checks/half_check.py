"""Before training in bfloat16 on a CPU: whether small maps give the outputs and gradients of float32."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import partial
from math import prod

import torch
from torch import Tensor, nn

SMALL = 4096  # voxels or pixels of a map; only maps smaller than this were ever found wrong
WRONG = 0.05  # relative error; rounding to bfloat16 gives below 0.006
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def wrong_layers(network: nn.Module, shape: Iterable[int]) -> list[str]:
    """The names of the convolutions on small maps that are wrong under autocast.

    shape : of the network's input, (B, C, [Z,] Y, X).

    Runs one forward pass of a copy of the network in float32 to find the shapes of its layers' inputs.
    """
    tried, seen = copy.deepcopy(network).float().eval().requires_grad_(True), dict[str, Tensor]()
    for name, layer in tried.named_modules():
        if isinstance(layer, CONVOLUTIONS):
            layer.register_forward_pre_hook(partial(_noted, seen, name))
    dimensions = len(tuple(shape)) - 2
    layout = torch.channels_last if dimensions == 2 else torch.channels_last_3d
    with torch.no_grad():
        tried(torch.zeros(tuple(shape)).contiguous(memory_format=layout))
    return [
        name
        for name, like in seen.items()
        if prod(like.shape[2:]) <= SMALL and not _right(tried.get_submodule(name), like)
    ]


def _right(layer: nn.Module, like: Tensor) -> bool:
    generator = torch.Generator().manual_seed(0)
    x = like.copy_(torch.randn(like.shape, generator=generator)).requires_grad_()
    results: list[list[Tensor]] = []
    back: Tensor | None = None
    for half in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            made = layer(x)
        back = torch.randn(made.shape, generator=generator).bfloat16().float() if back is None else back
        results.append(
            [made.detach(), *torch.autograd.grad(made, [x, *layer.parameters()], back.to(made.dtype))]
        )
    return all(
        float((got.float() - exact).norm()) <= WRONG * float(exact.norm()) + 1e-6
        for exact, got in zip(*results, strict=True)
    )


def _noted(seen: dict[str, Tensor], name: str, _: nn.Module, given: tuple[Tensor, ...]) -> None:
    seen.setdefault(name, torch.empty_like(given[0]))
