"""The edge-gated network: the paper's gate worked by hand, the stream's inputs, and an unchanged backbone."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctseg_models.networks.backbone_parts import Architecture, BackboneConfig, Features
from ctseg_models.networks.backbones import Backbone, build_backbone
from ctseg_models.networks.edge_gated import EdgeGate, EdgeGated, EdgeGatedConfig

KINDS: tuple[Architecture, ...] = ("unet", "vnet", "segnet")
SMALL = {"levels": 4, "filters": 8}


def gate(edge_weights: list[float], main_weights: list[float], bias: float) -> EdgeGate:
    """A 2D gate with these 1x1 kernels."""
    made = EdgeGate(2, len(edge_weights), len(main_weights))
    with torch.no_grad():
        made.of_edge.weight.copy_(torch.tensor(edge_weights).view(1, -1, 1, 1))
        made.of_main.weight.copy_(torch.tensor(main_weights).view(1, -1, 1, 1))
        made.of_edge.bias.fill_(bias)  # type: ignore[union-attr]
        made.of_main.bias.fill_(0.0)  # type: ignore[union-attr]
    return made


def test_a_gate_worked_by_hand() -> None:
    """One voxel, edge (2, -1), main (3,): 0.5 * 2 + 1 * -1 + 0.25 * 3 - 0.05 = 0.7, alpha = 1 / (1 +
    exp(-0.7)).
    """
    gated = gate([0.5, 1.0], [0.25], -0.05).gated(
        torch.tensor([2.0, -1.0]).view(1, 2, 1, 1), torch.tensor([3.0]).view(1, 1, 1, 1)
    )
    alpha = 1 / (1 + math.exp(-0.7))
    assert gated.flatten().tolist() == pytest.approx([2 * (1 + alpha), -1 * (1 + alpha)])


def test_a_closed_gate_gives_one_and_a_half_times_the_edge() -> None:
    edge, main = torch.randn(2, 3, 4, 5), torch.rand(2, 2, 4, 5)
    closed = gate([0.0, 0.0, 0.0], [-1.0, -2.0], -0.1)  # never above 0
    torch.testing.assert_close(closed.gated(edge, main), 1.5 * edge, rtol=0, atol=0)
    nn.init.zeros_(closed.residual.layers[-1].weight)  # type: ignore[arg-type]
    torch.testing.assert_close(closed(edge, main), 1.5 * edge, rtol=0, atol=0)


def test_the_gates_output_passes_the_residual_layer() -> None:
    edge, main = torch.randn(1, 8, 4, 5), torch.randn(1, 2, 4, 5)
    made = gate([0.3] * 8, [1.0, -1.0], 0.2)
    x = made.gated(edge, main)
    w0, w1 = made.residual.layers[2].weight, made.residual.layers[5].weight
    inner = F.conv2d(F.relu(F.group_norm(x, 8)), w0, padding=1)  # type: ignore[arg-type]
    inner = F.conv2d(F.relu(F.group_norm(inner, 8)), w1, padding=1)  # type: ignore[arg-type]
    torch.testing.assert_close(made(edge, main), x + inner)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("dimensions", "levels", "shape"),
    [(2, 3, (2, 2, 12, 20)), (3, 4, (1, 2, 8, 24, 16)), (3, 3, (1, 2, 4, 12, 8))],
)
@pytest.mark.parametrize("shared", [False, True])
def test_logits_and_edges_have_the_images_size(
    kind: Architecture, dimensions: int, levels: int, shape: tuple[int, ...], shared: bool
) -> None:
    config = EdgeGatedConfig(
        kind, in_channels=2, outputs=4, dimensions=dimensions, levels=levels, filters=8, shared_edge=shared
    )
    out = EdgeGated(config)(torch.randn(shape))
    assert out.logits.shape == (shape[0], 4, *shape[2:])
    assert out.edges.shape == (shape[0], 1 if shared else 3, *shape[2:])
    assert config.divisor == 2 ** (levels - 1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_backbone_stays_as_it_was(kind: Architecture) -> None:
    config = BackboneConfig(kind, outputs=3, **SMALL)
    alone = Backbone(config).backbone
    before = {name: value.clone() for name, value in alone.state_dict().items()}
    image = torch.randn(1, 1, 8, 24, 16)
    features = alone.forward_features(image)
    wrapped = EdgeGated(EdgeGatedConfig(kind, outputs=3, **SMALL), backbone=alone)  # type: ignore[arg-type]
    wrapped(image)
    inside = {
        name.removeprefix("backbone."): value
        for name, value in wrapped.state_dict().items()
        if name.startswith("backbone.")
    }
    assert list(inside) == list(before)
    assert all(torch.equal(inside[name], before[name]) for name in before)
    after = wrapped.backbone.forward_features(image)
    for was, now in zip([*features.encoder, *features[1:]], [*after.encoder, *after[1:]], strict=True):
        assert torch.equal(was, now)


def test_parameters_of_the_stream_by_hand() -> None:
    """4 levels of 8, 16, 32 and 64 channels, U-Net: the stream starts with 64 channels and is gated at 16
    and at 8.
    """

    def residual_block(channels: int) -> int:
        return 2 * (27 * channels**2 + 2 * channels)

    steps = ((64, 16), (16, 8))
    stream = sum(residual_block(a) + (a * b + b) + 2 * (b + 1) + residual_block(b) for a, b in steps)
    network = EdgeGated(EdgeGatedConfig(outputs=3, **SMALL))  # type: ignore[arg-type]
    heads = (8 * 2 + 2) + (16 * 3 + 3)
    backbone = sum(p.numel() for p in build_backbone(network.config).parameters())
    assert sum(p.numel() for p in network.parameters()) == backbone + stream + heads


@pytest.mark.parametrize("kind", KINDS)
def test_an_edge_loss_reaches_the_encoder_and_not_the_finer_decoder(kind: Architecture) -> None:
    network = EdgeGated(EdgeGatedConfig(kind, outputs=3, **SMALL))  # type: ignore[arg-type]
    network(torch.randn(1, 1, 8, 24, 16)).edges.square().sum().backward()
    reached = {
        name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0
    }
    encoder = ("backbone.convInit", "backbone.down_layers") if kind == "segnet" else ("backbone.contracting",)
    first = "backbone.up_samples.0" if kind == "segnet" else "backbone.expanding2.up"
    assert any(name.startswith(encoder) for name in reached)
    assert {
        name for name, _ in network.named_parameters() if "conv" in name and name.startswith(encoder)
    } <= reached
    decoder = {name for name in reached if name.startswith("backbone.") and not name.startswith(encoder)}
    assert decoder and all(name.startswith(first) for name in decoder)
    assert not any(name.startswith("prediction") for name in reached)


def test_a_semantic_loss_passes_through_the_edge_features() -> None:
    network = EdgeGated(EdgeGatedConfig(outputs=3, **SMALL))  # type: ignore[arg-type]
    with torch.no_grad():
        network.prediction.weight[:, :8] = 0.0  # the backbone's own part of the concatenation
    network(torch.randn(1, 1, 8, 24, 16)).logits.square().sum().backward()
    stream = {
        name: p.grad
        for name, p in network.expanding_edges.named_parameters()
        if not name.startswith("prediction")
    }
    assert stream and all(gradient is not None for gradient in stream.values())
    assert network.expanding_edges.prediction.weight.grad is None


class Foreign(nn.Module):
    """A third-party backbone: widths that do not double, levels not a power of two apart."""

    dimensions, divisor = 2, 1
    encoder_channels: tuple[int, ...] = (5, 6, 7)
    first_decoder_channels, decoder_channels = 3, 4

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.randn(1, 25, 1, 1))

    def forward_features(self, image: Tensor) -> Features:
        full, sizes = image * self.maps, [(13, 11), (9, 7), (4, 3)]
        encoder = [
            F.adaptive_avg_pool2d(full[:, :width], size)
            for width, size in zip(self.encoder_channels, sizes, strict=True)
        ]
        return Features(encoder, F.adaptive_avg_pool2d(full[:, 18:21], (9, 7)), full[:, 21:25])


def test_any_backbone_that_keeps_the_protocol_will_do() -> None:
    out = EdgeGated(EdgeGatedConfig(outputs=2, dimensions=2), backbone=Foreign())(torch.randn(2, 1, 13, 11))
    assert out.logits.shape == (2, 2, 13, 11) and out.edges.shape == (2, 1, 13, 11)


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_under_autocast(kind: Architecture) -> None:
    torch.manual_seed(2)
    network = EdgeGated(EdgeGatedConfig(kind, outputs=3, **SMALL))  # type: ignore[arg-type]
    image = torch.randn(1, 1, 16, 24, 16)
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            out = network(image)
        loss = out.logits.float().square().mean() + out.edges.float().square().mean()
        gradients.append(
            torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))])
        )
    assert torch.linalg.norm(gradients[1] - gradients[0]) < 0.25 * torch.linalg.norm(gradients[0])


def test_two_levels_leave_nothing_to_gate() -> None:
    with pytest.raises(ValueError, match="levels"):
        EdgeGated(EdgeGatedConfig(levels=2))
