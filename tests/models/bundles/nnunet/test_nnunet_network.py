"""nnU-Net's U-Net against MONAI's own DynUNet, and its planning against nnU-Net's program."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import DynUNet
from torch.nn import functional as F

from ctseg_models.networks.nnunet import DeeplySupervised, NNUNet, NNUNetConfig

ANISOTROPIC = NNUNetConfig(
    in_channels=2,
    outputs=4,
    dimensions=3,
    strides=((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 1)),
    kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    filters=(6, 8, 10, 12),
    deep_supervision=2,
)
FLAT = NNUNetConfig(
    in_channels=1,
    outputs=3,
    dimensions=2,
    strides=((1, 1), (2, 2), (2, 2)),
    kernels=((3, 3),) * 3,
    filters=(4, 8, 8),
)


def monai(config: NNUNetConfig) -> DynUNet:
    """DynUNet with the options written out again."""
    return DynUNet(
        spatial_dims=config.dimensions,
        in_channels=config.in_channels,
        out_channels=config.outputs,
        kernel_size=config.kernels,
        strides=config.strides,
        upsample_kernel_size=config.strides[1:],
        filters=config.filters,
        norm_name=("INSTANCE", {"affine": True, "eps": 1e-5}),
        act_name=("leakyrelu", {"negative_slope": 1e-2}),
        deep_supervision=config.deep_supervision > 0,
        deep_supr_num=max(1, config.deep_supervision),
    )


@pytest.mark.parametrize(
    ("config", "shape"), [(ANISOTROPIC, (2, 2, 8, 24, 16)), (FLAT, (3, 1, 20, 28))], ids=["3d", "2d"]
)
@pytest.mark.parametrize("training", [False, True])
def test_weights_and_output_are_monais(config: NNUNetConfig, shape: tuple[int, ...], training: bool) -> None:
    torch.manual_seed(1)
    reference = monai(config).train(training)
    own_names = {
        name: value for name, value in reference.state_dict().items() if not name.startswith("skip_layers")
    }
    network = NNUNet(config).train(training)
    network.load_state_dict(own_names, strict=True)
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in reference.parameters())
    image = torch.randn(shape)
    ours, theirs = network(image), reference(image)
    if isinstance(ours, DeeplySupervised):  # MONAI stretches the coarser maps and stacks them
        assert training and config.deep_supervision == len(ours.coarser)
        assert ours.coarser[0].shape[2:] == (8, 12, 8) and ours.coarser[1].shape[2:] == (4, 6, 4)
        ours = torch.stack([ours.logits, *(F.interpolate(maps, shape[2:]) for maps in ours.coarser)], dim=1)
    torch.testing.assert_close(ours, theirs)


def test_no_weight_is_listed_twice() -> None:
    state = NNUNet(ANISOTROPIC).state_dict()
    assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)


def stages(*entries: tuple[int, str]) -> tuple[tuple[int, ...], ...]:
    """(2, "122") is two stages of (1, 2, 2)."""
    return tuple(tuple(int(digit) for digit in digits) for count, digits in entries for _ in range(count))


# What get_pool_and_conv_props of nnU-Net v2 answers for patches and spacings of ACDC, BraTS and prostate in
# 3D, ACDC in 2D.
ANSWERS = [
    (
        (20, 256, 224),
        (5.0, 1.56, 1.56),
        stages((1, "111"), (1, "122"), (2, "222"), (2, "122")),
        stages((1, "133"), (5, "333")),
        320,
    ),
    ((128, 128, 128), (1.0, 1.0, 1.0), stages((1, "111"), (5, "222")), stages((6, "333")), 320),
    (
        (20, 320, 256),
        (3.6, 0.62, 0.62),
        stages((1, "111"), (2, "122"), (2, "222"), (2, "122")),
        stages((2, "133"), (5, "333")),
        320,
    ),
    ((256, 224), (1.56, 1.56), stages((1, "11"), (5, "22")), stages((6, "33")), 512),
]


@pytest.mark.parametrize(
    ("patch", "spacing_mm", "strides", "kernels", "widest"),
    ANSWERS,
    ids=["acdc", "brats", "prostate", "acdc2d"],
)
def test_plans_are_nnunets(
    patch: tuple[int, ...],
    spacing_mm: tuple[float, ...],
    strides: tuple[tuple[int, ...], ...],
    kernels: tuple[tuple[int, ...], ...],
    widest: int,
) -> None:
    config = NNUNetConfig.planned(patch, spacing_mm, in_channels=2, outputs=3, deep_supervision=1)
    assert config.strides == strides
    assert config.kernels == kernels
    assert (
        config.filters
        == tuple(min(filters, widest) for filters in (32, 64, 128, 256, 512, 1024, 2048))[: len(strides)]
    )
    assert (config.in_channels, config.outputs, config.dimensions, config.deep_supervision) == (
        2,
        3,
        len(patch),
        1,
    )
    assert config.divisor == (64 if len(strides) == 7 else 32)


def test_one_short_axis_alone_adds_no_stage() -> None:
    """After two halvings 8 voxels of y could become 4, but no other axis is halved with it: nnU-Net stops;
    with 12 it does not.
    """
    assert NNUNetConfig.planned((16, 32, 16), (1.0, 1.0, 1.0)).strides == stages((1, "111"), (2, "222"))
    assert NNUNetConfig.planned((16, 48, 16), (1.0, 1.0, 1.0)).strides == stages(
        (1, "111"), (2, "222"), (1, "121")
    )


def test_what_cannot_be_built_is_an_error_with_the_reason() -> None:
    with pytest.raises(ValueError, match="stages"):
        NNUNetConfig.planned((8, 8, 8), (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="pad"):
        NNUNet(FLAT)(torch.zeros(1, 1, 20, 30))
    with pytest.raises(ValueError, match="coarser"):
        NNUNetConfig(1, 2, 2, FLAT.strides, FLAT.kernels, FLAT.filters, deep_supervision=2)
