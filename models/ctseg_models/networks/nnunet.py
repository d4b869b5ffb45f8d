"""nnU-Net's plain U-Net, 2D and 3D, of MONAI's DynUNet blocks, and nnU-Net's rule for strides, kernels and
widths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Self

from monai.networks.nets import DynUNet
from torch import Tensor

from ctseg_models.networks.patched_layers import patch_layers

SHORTEST_SIDE = 4  # voxels at the bottom
FIRST_FILTERS = 32
MOST_FILTERS = {2: 512, 3: 320}
FEWEST_STAGES = 3  # what DynUNet can build

AxisSizes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class NNUNetConfig:
    """strides, kernels and filters have one entry a stage, finest first; sizes are ([z,] y, x).

    The first stride is all 1. outputs counts the background. deep_supervision : how many coarser decoder
    stages have a head of their own; 0 is none.
    """

    in_channels: int
    outputs: int
    dimensions: int
    strides: AxisSizes
    kernels: AxisSizes
    filters: tuple[int, ...]
    deep_supervision: int = 0

    def __post_init__(self) -> None:
        stages = len(self.strides)
        if stages < FEWEST_STAGES or len(self.kernels) != stages or len(self.filters) != stages:
            raise ValueError(
                f"An nnU-Net has {FEWEST_STAGES} or more stages, each with a stride, a kernel and a width; "
                f"here are {stages} strides, {len(self.kernels)} kernels and {len(self.filters)} widths."
            )
        if any(len(size) != self.dimensions for size in (*self.strides, *self.kernels)):
            raise ValueError(
                f"Strides and kernels need {self.dimensions} numbers each: {self.strides}, {self.kernels}."
            )
        if any(step != 1 for step in self.strides[0]):
            raise ValueError(
                f"The first stage works at full resolution: its stride is all 1, not {self.strides[0]}."
            )
        if not 0 <= self.deep_supervision <= stages - 2:
            raise ValueError(
                f"{stages} stages have room for 0 to {stages - 2} coarser heads, not {self.deep_supervision}."
            )

    @property
    def divisor(self) -> int:
        """The sides of an image have to be multiples of this."""
        return math.lcm(*(math.prod(steps) for steps in zip(*self.strides, strict=True)))

    @classmethod
    def planned(
        cls,
        patch_size: tuple[int, ...],
        spacing_mm: tuple[float, ...],
        *,
        in_channels: int = 1,
        outputs: int = 2,
        deep_supervision: int = 0,
    ) -> Self:
        """nnU-Net's plan for a patch ([z,] y, x) at a spacing in the same order, 2D or 3D by their length.

        Every stage halves the axes that are long enough to leave 4 voxels and within a factor of 2 of the
        finest such axis. An axis is convolved (3, not 1) from the stage on where its voxels are less than
        twice the finest; the bottom always. Widths double from 32 up to 320 (3D) or 512 (2D). Raises
        ValueError where the patch is too small for three stages. Source: Isensee et al., Nature Methods 2021,
        and nnU-Net's program, whose result this is wherever no axis drops out before it is convolved (there
        the program reads the spacing of another axis, or fails).
        """
        strides, kernels = _topology(patch_size, spacing_mm)
        dimensions = len(patch_size)
        filters = tuple(
            min(FIRST_FILTERS * 2**stage, MOST_FILTERS[dimensions]) for stage in range(len(strides))
        )
        return cls(in_channels, outputs, dimensions, strides, kernels, filters, deep_supervision)


def _topology(patch_size: tuple[int, ...], spacing_mm: tuple[float, ...]) -> tuple[AxisSizes, AxisSizes]:
    """Strides and kernels of all stages."""
    size, spacing = list(patch_size), list(spacing_mm)
    kernel = [1] * len(size)
    strides, kernels = [(1,) * len(size)], []
    while halved := _axes_to_halve(size, spacing):
        kernel = [3 if k == 3 or mm < 2 * min(spacing) else 1 for k, mm in zip(kernel, spacing, strict=True)]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if axis in halved else 1 for axis in range(len(size))))
        for axis in halved:
            size[axis], spacing[axis] = math.ceil(size[axis] / 2), spacing[axis] * 2
    return tuple(strides), (*kernels, (3,) * len(size))


def _axes_to_halve(size: list[int], spacing: list[float]) -> set[int]:
    long_enough = [axis for axis in range(len(size)) if size[axis] >= 2 * SHORTEST_SIDE]
    finest = min((spacing[axis] for axis in long_enough), default=0.0)
    halved = {axis for axis in long_enough if spacing[axis] < 2 * finest}
    if (
        len(halved) == 1 and size[min(halved)] < 3 * SHORTEST_SIDE
    ):  # nnU-Net adds no stage for one short axis alone
        return set()
    return halved


class DeeplySupervised(NamedTuple):
    """logits (B, outputs, ...) at full resolution; coarser : the same of the coarser stages, each at its
    resolution.
    """

    logits: Tensor
    coarser: tuple[Tensor, ...]


class NNUNet(DynUNet):  # type: ignore[misc]
    """(B, C, [Z,] Y, X) image to (B, outputs, [Z,] Y, X) logits; DeeplySupervised in training with deep
    supervision.

    Two times convolution - instance norm (affine) - leaky ReLU 1e-2 a stage, strided convolution down,
    transposed convolution up. Parameters have MONAI's names, without DynUNet's second listing under
    `skip_layers`. Raises ValueError for a side that the strides do not divide. Source: Isensee et al. 2018,
    arXiv:1809.10486; paper 3, "Network architectures".
    """

    def __init__(self, config: NNUNetConfig) -> None:
        super().__init__(
            config.dimensions,
            config.in_channels,
            config.outputs,
            config.kernels,
            config.strides,
            config.strides[1:],
            config.filters,
            deep_supervision=config.deep_supervision > 0,
            deep_supr_num=max(1, config.deep_supervision),
        )
        self.config = config
        del self.skip_layers  # the recursion that TorchScript needed; forward() does the same
        patch_layers(self)

    def forward(self, image: Tensor) -> Tensor | DeeplySupervised:
        self._refuse_odd_sides(image)
        skips = [self.input_block(image)]
        for down in self.downsamples:
            skips.append(down(skips[-1]))
        x = self.bottleneck(skips[-1])
        decoded = []  # coarse to fine
        for up in self.upsamples:
            x = up(x, skips.pop())
            decoded.append(x)
        logits: Tensor = self.output_block(decoded.pop())
        if not (self.training and self.config.deep_supervision):
            return logits
        return DeeplySupervised(logits, tuple(head(decoded.pop()) for head in self.deep_supervision_heads))

    def _refuse_odd_sides(self, image: Tensor) -> None:
        steps = [math.prod(axis) for axis in zip(*self.config.strides, strict=True)]
        if any(side % step for side, step in zip(image.shape[2:], steps, strict=True)):
            raise ValueError(
                f"An image of {tuple(image.shape[2:])} voxels does not divide by {tuple(steps)}; pad it."
            )
