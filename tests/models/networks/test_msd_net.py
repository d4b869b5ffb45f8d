"""The mixed-scale dense net against a plain one with concatenation, numpy's padding and autograd."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from ctseg_models.networks.msd_net import MSDNet, MSDNetConfig


def plain(network: MSDNet, image: Tensor) -> Tensor:
    """The same function of the same weights, as the paper draws it."""
    config = network.config
    convolution = F.conv2d if config.dimensions == 2 else F.conv3d
    maps = image
    for layer in range(config.layers):
        dilation = 1 + layer % config.dilations
        padded = maps
        for axis, size in enumerate(image.shape[2:]):
            index = (
                np.pad(np.arange(size), dilation, mode="reflect")
                if size > 1
                else np.zeros(1 + 2 * dilation, int)
            )
            padded = padded.index_select(2 + axis, torch.from_numpy(index))
        new = convolution(padded, network.kernels[layer], dilation=dilation)
        new = F.instance_norm(new, weight=network.scales[layer], bias=network.offsets[layer])
        maps = torch.cat([maps, F.leaky_relu(new, config.negative_slope)], dim=1)
    return network.prediction(maps)  # type: ignore[no-any-return]


def awake(config: MSDNetConfig, dtype: torch.dtype = torch.float64) -> MSDNet:
    """A network whose norms are not identities."""
    torch.manual_seed(3)
    network = MSDNet(config).to(dtype)
    for parameter in (*network.scales, *network.offsets):
        nn.init.normal_(parameter, mean=0.5)
    return network


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        (
            MSDNetConfig(in_channels=2, outputs=3, dimensions=3, depth=12, width=1),
            (2, 2, 5, 23, 14),
        ),  # 5 < dilation 10
        (
            MSDNetConfig(in_channels=1, outputs=2, dimensions=3, depth=5, width=3, dilations=4),
            (1, 1, 7, 8, 9),
        ),
        (
            MSDNetConfig(in_channels=1, outputs=2, dimensions=3, depth=4, width=2),
            (2, 1, 1, 2, 6),
        ),  # an axis of one voxel
        (MSDNetConfig(in_channels=3, outputs=4, dimensions=2, depth=22, width=2), (3, 3, 17, 12)),
    ],
    ids=["3d", "3d-wide", "flat", "2d"],
)
def test_output_and_gradients_are_those_of_the_plain_network(
    config: MSDNetConfig, shape: tuple[int, ...]
) -> None:
    network = awake(config)
    image = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(shape[0], config.outputs, *shape[2:], dtype=torch.float64)
    leaves = [image, *network.parameters()]
    ours, reference = network(image), plain(network, image)
    torch.testing.assert_close(ours, reference, rtol=1e-9, atol=1e-9)
    expected = torch.autograd.grad((reference * weights).sum(), leaves)
    for got, want in zip(torch.autograd.grad((ours * weights).sum(), leaves), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-7, atol=1e-8)


def test_gradients_are_finite_differences() -> None:
    network = awake(MSDNetConfig(dimensions=2, depth=3, dilations=2))
    image = torch.randn(1, 1, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, *_: network(x), (image, *network.parameters()))


@pytest.mark.parametrize(("dimensions", "depth"), [(2, 100), (3, 30)])
def test_parameters_by_the_arithmetic_series(dimensions: int, depth: int) -> None:
    config = MSDNetConfig(in_channels=2, outputs=4, dimensions=dimensions)
    kernels = 3**dimensions * sum(2 + layer for layer in range(depth))
    assert config.layers == depth
    assert sum(p.numel() for p in MSDNet(config).parameters()) == kernels + 2 * depth + 4 * (2 + depth) + 4


class PeakBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The peak bytes of the tensors made inside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self.alive: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage())._cdata not in self.alive:
                self.alive.add(storage._cdata)
                self.now += storage.nbytes()
                weakref.finalize(storage, self.gone, storage._cdata, storage.nbytes())
        self.most = max(self.most, self.now)
        return result

    def gone(self, key: int, size: int) -> None:
        self.alive.discard(key)
        self.now -= size


def saved_bytes(function: Callable[[Tensor], Tensor], image: Tensor) -> int:
    """Bytes that a forward pass keeps for its backward pass; each storage counts once."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = function(image)
    assert result.requires_grad
    return sum(kept.values())


def test_memory_grows_linearly_with_depth() -> None:
    image = torch.randn(1, 1, 12, 32, 24)
    one_map = image.nbytes
    kept, most, reference = {}, {}, {}
    for depth in (10, 20, 40):
        network = MSDNet(MSDNetConfig(depth=depth))
        kept[depth] = saved_bytes(network, image) - sum(p.nbytes for p in network.parameters())
        reference[depth] = saved_bytes(lambda x, network=network: plain(network, x), image)  # type: ignore[misc]
        with PeakBytes() as peak:
            network(image).sum().backward()
        most[depth] = peak.most
    assert kept[40] <= 1.1 * 41 * one_map  # the buffer, and nothing that grows besides
    assert reference[40] - reference[20] > 3 * (
        reference[20] - reference[10]
    )  # the measure sees a square where there is one
    assert most[40] - most[20] == pytest.approx(2 * (most[20] - most[10]), rel=0.05)
    assert most[40] < 6 * 41 * one_map


def test_autocast_leaves_the_result_as_it_is() -> None:
    network, image = awake(MSDNetConfig(outputs=3, depth=11), torch.float32), torch.randn(1, 1, 7, 8, 9)
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            logits = network(image.bfloat16() if enabled else image.bfloat16().float())
            results.append([logits, *torch.autograd.grad(logits.square().sum(), list(network.parameters()))])
    for plain_result, under_autocast in zip(*results, strict=True):
        assert under_autocast.dtype == torch.float32
        assert torch.equal(plain_result, under_autocast)
