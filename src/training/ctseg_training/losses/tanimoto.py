"""The Tanimoto loss, alone and with the cross-entropy as paper 3 trains with it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ctseg_training.losses.cross_entropy import cross_entropy
from ctseg_training.losses.partial import mean_where, merge_absent, one_hot
from ctseg_training.losses.precision import widened

# below it a power of the loss has no usable gradient: at 0 the slope of x ** 0.6 is infinite
SMALLEST_BASE = 1e-7


def tanimoto(probabilities: Tensor, target: Tensor, present: Tensor, *, smooth: float = 1e-5) -> Tensor:
    """One minus the Tanimoto coefficient of each contoured label, background included, mean over the labels
    of the batch.

    probabilities : (B, K, ...) summing to 1 over K, background first. target : (B, ...) int64. present : (B,
    K) bool, absent labels are merged into the background. A label without a voxel costs nearly 1 as soon as
    it is predicted anywhere, which the paper mentions and leaves to `smooth`; it costs 0 where the prediction
    is 0 too. Source: paper 3, eq. 1.
    """
    p = merge_absent(widened(probabilities), present).flatten(2)
    t = one_hot(target, p.shape[1]).flatten(2)
    overlap = (p * t).sum(2)
    union = p.square().sum(2) + t.square().sum(2) - overlap
    return mean_where(1 - (overlap + smooth) / (union + smooth), present)


def tanimoto_cross_entropy(
    maps: Tensor,
    target: Tensor,
    present: Tensor,
    *,
    logits: bool,
    combine: Literal["weights", "power"] = "weights",
    alpha: float = 0.6,
    beta: float = 0.4,
    smooth: float = 1e-5,
) -> Tensor:
    """alpha Tanimoto + beta cross-entropy, or Tanimoto ** alpha + cross-entropy ** beta with
    `combine="power"`.

    maps : (B, K, ...) logits (softmax is taken here) or probabilities. target : (B, ...) int64. present : (B,
    K) bool. Source: paper 3, section 2.4, whose text reads "weighted by"; its algorithm 1, line 16, prints
    the weights as exponents. Raises ValueError for another `combine` and, as `cross_entropy`, for a voxel of
    a label that is absent.
    """
    p = widened(maps).softmax(1) if logits else maps
    overlap, entropy = (
        tanimoto(p, target, present, smooth=smooth),
        cross_entropy(maps, target, present, logits=logits),
    )
    if combine == "weights":
        return alpha * overlap + beta * entropy
    if combine == "power":
        return torch.pow(overlap.clamp_min(SMALLEST_BASE), alpha) + torch.pow(
            entropy.clamp_min(SMALLEST_BASE), beta
        )
    raise ValueError(f"combine is {combine!r}; it is 'weights' or 'power'.")
