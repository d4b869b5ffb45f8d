"""nnU-Net's ResidualEncoderUNet, 2D and 3D, with the names of nnU-Net's checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from ctseg_models.networks.nnunet_blocks import (
    ConvNormAct,
    ConvStyle,
    StackedConvs,
    StagedEncoder,
    UNetDecoder,
    UNetShape,
    in_a_row,
)


class BasicBlockD(nn.Module):
    """Two convolutions with a shortcut of average pooling (for a stride) and 1x1x1 convolution (for a new
    width).

    Source: He et al. 2019, arXiv:1812.01187 (ResNet-D), as in dynamic_network_architectures.
    """

    def __init__(
        self,
        style: ConvStyle,
        channels_in: int,
        channels_out: int,
        kernel: Sequence[int],
        stride: Sequence[int],
    ) -> None:
        super().__init__()
        ones = (1,) * style.dimensions
        self.conv1 = ConvNormAct(style, channels_in, channels_out, kernel, stride)
        self.conv2 = ConvNormAct(style, channels_out, channels_out, kernel, ones, active=False)
        self.nonlin2 = style.nonlinearity()
        shortcut: list[nn.Module] = []
        if any(step != 1 for step in stride):
            pool: Callable[..., nn.Module] = nn.AvgPool2d if style.dimensions == 2 else nn.AvgPool3d
            shortcut.append(pool(tuple(stride), tuple(stride)))
        if channels_in != channels_out:
            shortcut.append(
                ConvNormAct(style, channels_in, channels_out, ones, ones, bias=False, active=False)
            )
        self.skip = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.skip(x)
        result: Tensor = self.nonlin2(self.conv2(self.conv1(x)).add_(residual))
        return result


class ResidualStage(nn.Module):
    """Several residual blocks in a row; the first has the stride."""

    def __init__(
        self,
        style: ConvStyle,
        count: int,
        channels_in: int,
        channels_out: int,
        kernel: Sequence[int],
        stride: Sequence[int],
    ) -> None:
        super().__init__()
        self.blocks = in_a_row(BasicBlockD, style, count, channels_in, channels_out, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.blocks(x)
        return result


class ResidualEncoder(StagedEncoder):
    """One convolution to the first width, then the stages."""

    def __init__(self, shape: UNetShape) -> None:
        super().__init__()
        style, channels = shape.style, shape.features[0]
        self.stem = StackedConvs(
            style, 1, shape.in_channels, channels, shape.kernels[0], (1,) * style.dimensions
        )
        stages = []
        for features, kernel, stride, count in zip(
            shape.features, shape.kernels, shape.strides, shape.convs, strict=True
        ):
            stages.append(ResidualStage(style, count, channels, features, kernel, stride))
            channels = features
        self.stages = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The map of every stage, finest first."""
        return super().forward(self.stem(x))


class ResidualEncoderUNet(nn.Module):
    """(B, C, [Z,] Y, X) image to (B, outputs, [Z,] Y, X) logits.

    Sides have to be multiples of the product of the strides. Source: dynamic_network_architectures,
    `architectures/unet.py`; Isensee et al. 2024, arXiv:2404.09556.
    """

    def __init__(self, shape: UNetShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = ResidualEncoder(shape)
        self.decoder = UNetDecoder(shape)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.encoder(image))
        return logits
