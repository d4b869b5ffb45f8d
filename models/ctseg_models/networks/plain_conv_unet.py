"""nnU-Net's PlainConvUNet, 2D and 3D, with the names of nnU-Net's checkpoints."""

from __future__ import annotations

from torch import Tensor, nn

from ctseg_models.networks.nnunet_blocks import StackedConvs, StagedEncoder, UNetDecoder, UNetShape


class PlainConvEncoder(StagedEncoder):
    """Stages of stacked convolutions; the first of each has the stage's stride."""

    def __init__(self, shape: UNetShape) -> None:
        super().__init__()
        stages = []
        channels = shape.in_channels
        for features, kernel, stride, count in zip(
            shape.features, shape.kernels, shape.strides, shape.convs, strict=True
        ):
            stages.append(nn.Sequential(StackedConvs(shape.style, count, channels, features, kernel, stride)))
            channels = features
        self.stages = nn.Sequential(*stages)


class PlainConvUNet(nn.Module):
    """(B, C, [Z,] Y, X) image to (B, outputs, [Z,] Y, X) logits.

    Sides have to be multiples of the product of the strides. Source: dynamic_network_architectures,
    `architectures/unet.py`; Isensee et al., Nature Methods 2021.
    """

    def __init__(self, shape: UNetShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = PlainConvEncoder(shape)
        self.decoder = UNetDecoder(shape)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.encoder(image))
        return logits
