"""The piecewise constant Mumford-Shah term of paper 1, once against the image and once against the label."""

from __future__ import annotations

from torch import Tensor

from ctseg_training.losses.partial import merge_absent, one_hot
from ctseg_training.losses.precision import widened

SMALLEST_AREA = 1e-7  # voxels; a label predicted nowhere has the mean 0 and costs nothing


def mumford_shah_image(probabilities: Tensor, image: Tensor) -> Tensor:
    """How far the image is from one constant a label: sum over labels and voxels of s_c (I - m_c)^2 / N, mean
    over the batch.

    probabilities : (B, K, ...) s_c, background included. image : (B, C, ...) on the same grid, in the
    caller's units (the value is in their square); several channels are averaged. m_c = sum I s_c / sum s_c
    per sample and channel, and the gradient flows through it. It needs no truth, so labels that nobody
    contoured take part as well. Raises ValueError if the grids differ. Source: Kim and Ye 2020,
    arXiv:1904.02872, section III; the MS of paper 1; channels as Chan, Sandberg and Vese 2000.
    """
    if (probabilities.shape[0], *probabilities.shape[2:]) != (image.shape[0], *image.shape[2:]):
        raise ValueError(
            f"Probabilities {tuple(probabilities.shape)} and image {tuple(image.shape)} must share batch and "
            "grid."
        )
    s = widened(probabilities).flatten(2)
    area = s.sum(2).clamp_min(SMALLEST_AREA)
    total = s.new_zeros(())
    for channel in (
        widened(image).flatten(2).unbind(1)
    ):  # one (B, K, N) residual at a time, independent of the number of channels
        brightness = channel[:, None]
        mean = (brightness * s).sum(2) / area
        total = total + (s * (brightness - mean[:, :, None]).square()).sum((1, 2)).mean()
    return total / (image.shape[1] * s.shape[2])


def mumford_shah_label(probabilities: Tensor, target: Tensor, present: Tensor) -> Tensor:
    """(sum s (y - 1)^2 + sum (1 - s) y^2) / N over the contoured foreground labels, mean over the batch.

    probabilities : (B, K, ...) summing to 1 over K, background first. target : (B, ...) int64. present : (B,
    K) bool, absent labels add nothing. For a y of 0 and 1 it is sum |s - y| / N: the image is replaced by the
    label, the means by 1 and 0. Source: the variant that the authors of paper 1 train with.
    """
    s = merge_absent(widened(probabilities), present)[:, 1:]
    y = one_hot(target, probabilities.shape[1])[:, 1:]
    cost = s * (y - 1).square() + (1 - s) * y.square()  # of an absent label both are 0
    return cost.flatten(2).sum(1).mean()
