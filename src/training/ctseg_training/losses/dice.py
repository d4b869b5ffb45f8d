"""Overlap losses on probabilities. All sums run in float32, whatever precision the network used."""

from __future__ import annotations

import torch
from torch import Tensor

from ctseg_training.losses.partial import merge_absent, one_hot


def generalised_dice(probabilities: Tensor, target: Tensor, present: Tensor, *, smooth: float = 1e-5) -> Tensor:
    """One minus the generalised Dice overlap, labels weighted by their inverse squared volume; mean over the batch.

    probabilities : (B, K, ...) summing to 1 over K, background first. target : (B, ...) int64. present : (B, K) bool,
    absent labels are merged into the background. A label without a voxel takes the largest weight of those that have some,
    so that a false alarm for it costs something and the loss stays finite.
    Source: Sudre et al. 2017, arXiv:1707.03237; the loss L_GD of paper 5, eq. 1 and 2.
    """
    p = merge_absent(probabilities.float(), present).flatten(2)
    t = one_hot(target, p.shape[1]).flatten(2)
    volume = t.sum(2)
    inverse = torch.where(volume > 0, volume.clamp_min(1).square().reciprocal(), torch.zeros_like(volume))
    weight = torch.where(volume > 0, inverse, inverse.amax(1, keepdim=True)) * present
    overlap = (weight * (p * t).sum(2)).sum(1)
    total = (weight * (p.sum(2) + volume)).sum(1)
    return (1 - (2 * overlap + smooth) / (total + smooth)).mean()


def soft_dice(probabilities: Tensor, target: Tensor, present: Tensor, *, smooth: float = 1.0) -> Tensor:
    """One minus the soft Dice overlap, mean over the foreground labels that occur in the sample; 0 if none does.

    Arguments as `generalised_dice`. Labels that are absent or without a voxel take no part: their false alarms are the
    cross-entropy's business. Source: V-Net (Milletari et al. 2016), section 3, with plain sums in the denominator.
    """
    p = merge_absent(probabilities.float(), present).flatten(2)[:, 1:]
    t = one_hot(target, probabilities.shape[1]).flatten(2)[:, 1:]
    volume = t.sum(2)
    counted = (volume > 0) & present[:, 1:].bool()
    loss = 1 - (2 * (p * t).sum(2) + smooth) / (p.sum(2) + volume + smooth)
    return (loss * counted).sum() / counted.sum().clamp_min(1)
