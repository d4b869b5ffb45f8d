"""U-Net, V-Net and Seg-Net: the papers' parameter counts, MONAI's forward pass, features by the protocol."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import SegResNet
from torch import nn
from torch.nn import functional as F

from ctseg_models.networks.backbone_parts import Architecture, BackboneConfig
from ctseg_models.networks.backbones import Backbone, build_backbone

KINDS: tuple[Architecture, ...] = ("unet", "vnet", "segnet")


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_u_net_has_the_papers_parameters() -> None:
    """Çiçek et al. 2016 print 19,069,955 for 3 channels, 3 labels and 64 filters: convolutions with,
    up-convolutions without a bias.
    """
    with torch.device("meta"):
        network = Backbone(BackboneConfig("unet", in_channels=3, outputs=3, levels=4, filters=64))
    norms = sum(parameters(module) for module in network.modules() if isinstance(module, nn.GroupNorm))
    assert parameters(network) - norms == 19_069_955
    assert norms == 2 * (32 + 64 + 64 + 128 + 128 + 256 + 256 + 512 + 2 * 256 + 2 * 128 + 2 * 64)


def test_the_v_nets_parameters_by_hand() -> None:
    """Milletari et al. 2016, figure 2 with 16 filters and 5 levels: each line is width, convolutions,
    channels of the first one.
    """
    stages = [
        (16, 1, 1),
        (32, 2, 32),
        (64, 3, 64),
        (128, 3, 128),
        (256, 3, 256),  # down
        (256, 3, 256),
        (128, 3, 128),
        (64, 2, 64),
        (32, 1, 32),
    ]  # up
    convolutions = sum(125 * width * (first + (number - 1) * width) for width, number, first in stages)
    each = sum(width * number for width, number, _ in stages)  # a bias, a scale, an offset and a slope
    steps = [(16, 32), (32, 64), (64, 128), (128, 256), (256, 128), (256, 64), (128, 32), (64, 16)]
    strided = sum(8 * before * after + 4 * after for before, after in steps)
    head = 32 * 2 + 2
    with torch.device("meta"):
        network = Backbone(BackboneConfig("vnet", levels=5, filters=16))
    assert parameters(network) == convolutions + 4 * each + strided + head


@pytest.mark.parametrize(("dimensions", "shape"), [(2, (2, 2, 24, 32)), (3, (1, 2, 8, 24, 16))])
def test_seg_net_alone_is_monais_seg_res_net(dimensions: int, shape: tuple[int, ...]) -> None:
    reference = SegResNet(
        spatial_dims=dimensions,
        init_filters=8,
        in_channels=2,
        out_channels=3,
        blocks_down=(1, 2, 2, 4),
        blocks_up=(1, 1, 1),
    )
    network = Backbone(BackboneConfig("segnet", in_channels=2, outputs=3, dimensions=dimensions, filters=8))
    classifier = "conv_final.2.conv."
    state = reference.state_dict()
    network.prediction.load_state_dict(
        {name.removeprefix(classifier): value for name, value in state.items() if classifier in name}
    )
    network.backbone.load_state_dict(
        {name: value for name, value in state.items() if classifier not in name}, strict=True
    )
    image = torch.randn(shape)
    torch.testing.assert_close(network(image), reference(image))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("dimensions", "levels", "shape"), [(2, 3, (2, 2, 12, 20)), (3, 4, (1, 2, 8, 24, 16))]
)
def test_features_have_the_sizes_and_channels_they_announce(
    kind: Architecture, dimensions: int, levels: int, shape: tuple[int, ...]
) -> None:
    config = BackboneConfig(kind, in_channels=2, outputs=3, dimensions=dimensions, levels=levels, filters=8)
    network = Backbone(config)
    backbone, space = network.backbone, shape[2:]
    features = backbone.forward_features(torch.randn(shape))
    assert (
        [maps.shape[1] for maps in features.encoder]
        == list(backbone.encoder_channels)
        == [8, 16, 32, 64][:levels]
    )
    assert [tuple(maps.shape[2:]) for maps in features.encoder] == [
        tuple(n // 2**level for n in space) for level in range(levels)
    ]
    assert features.first_decoder.shape[1] == backbone.first_decoder_channels
    assert features.first_decoder.shape[2:] == features.encoder[-2].shape[2:]
    assert features.decoder.shape == (shape[0], backbone.decoder_channels, *space)
    assert network(torch.randn(shape)).shape == (shape[0], 3, *space)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_decoder_map_comes_from_the_deepest_map_alone(kind: Architecture) -> None:
    backbone = build_backbone(BackboneConfig(kind, filters=8, levels=3))
    features = backbone.forward_features(torch.randn(1, 1, 8, 12, 16))
    names = [name for name, _ in backbone.named_parameters()]
    gradients = torch.autograd.grad(
        features.first_decoder.sum(), list(backbone.parameters()), allow_unused=True
    )
    reached = {name for name, gradient in zip(names, gradients, strict=True) if gradient is not None}
    up, encoder = {"segnet": ("up_samples.0.", ("convInit", "down_layers"))}.get(
        kind, ("expanding1.up.", ("contracting",))
    )
    assert reached == {name for name in names if name.startswith((up, *encoder))}


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_the_classifier_on_the_decoder_features(kind: Architecture) -> None:
    network = Backbone(BackboneConfig(kind, filters=8, levels=3, dimensions=2))
    image = torch.randn(1, 1, 12, 16)
    weight, bias = network.prediction.weight, network.prediction.bias
    by_hand = torch.einsum(
        "oc,bcyx->boyx", weight[:, :, 0, 0], network.backbone.forward_features(image).decoder
    )
    torch.testing.assert_close(network(image), by_hand + bias[:, None, None])  # type: ignore[index]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [8, 16])  # both have a level of 2 slices, the first one of 1 too
def test_gradients_under_autocast_are_those_of_float32(kind: Architecture, depth: int) -> None:
    torch.manual_seed(5)
    network = Backbone(BackboneConfig(kind, filters=8, outputs=3))
    image, target = torch.randn(1, 1, depth, 24, 16), torch.randint(3, (1, depth, 24, 16))
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            logits = network(image)
        loss = F.cross_entropy(logits.float(), target)
        gradients.append(
            torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))])
        )
    exact, rounded = gradients
    assert torch.linalg.norm(rounded - exact) < 0.25 * torch.linalg.norm(exact)


def test_what_does_not_fit_is_an_error_with_the_reason() -> None:
    with pytest.raises(ValueError, match="divide by 8"):
        Backbone(BackboneConfig())(torch.zeros(1, 1, 8, 12, 16))
    with pytest.raises(ValueError, match="filters"):
        BackboneConfig(filters=12)
