"""Dice losses on probabilities. All sums run in float32 or more, independent of the network's precision."""

from __future__ import annotations

import torch
from torch import Tensor

from ctseg_training.losses.partial import mean_where, merge_absent, one_hot
from ctseg_training.losses.precision import widened


def generalised_dice(
    probabilities: Tensor, target: Tensor, present: Tensor, *, smooth: float = 1e-5, softness: float = 0.0
) -> Tensor:
    """One minus the generalised Dice overlap, labels weighted by their inverse squared volume; mean over the
    batch.

    probabilities : (B, K, ...) summing to 1 over K, background first. target : (B, ...) int64. present : (B,
    K) bool, absent labels are merged into the background. A label without a voxel takes the largest weight of
    those that have some, so a false alarm for it costs something and the loss stays finite. softness : see
    `one_hot`. Source: Sudre et al. 2017, arXiv:1707.03237; the loss L_GD of paper 5, eq. 1 and 2.
    """
    p = merge_absent(widened(probabilities), present).flatten(2)
    t = one_hot(target, p.shape[1], softness=softness).flatten(2)
    volume = t.sum(2)
    inverse = torch.where(volume > 0, volume.clamp_min(1).square().reciprocal(), torch.zeros_like(volume))
    weight = torch.where(volume > 0, inverse, inverse.amax(1, keepdim=True)) * present
    overlap = (weight * (p * t).sum(2)).sum(1)
    total = (weight * (p.sum(2) + volume)).sum(1)
    return (1 - (2 * overlap + smooth) / (total + smooth)).mean()


def soft_dice(probabilities: Tensor, target: Tensor, present: Tensor, *, smooth: float = 1.0) -> Tensor:
    """One minus the soft Dice overlap, mean over the foreground labels that occur in the sample; 0 if none
    does.

    Arguments as `generalised_dice`. Labels that are absent or without a voxel take no part: their false
    alarms are left to the cross-entropy. Source: V-Net (Milletari et al. 2016), section 3, with plain sums in
    the denominator.
    """
    p = merge_absent(widened(probabilities), present).flatten(2)[:, 1:]
    t = one_hot(target, probabilities.shape[1]).flatten(2)[:, 1:]
    volume = t.sum(2)
    counted = (volume > 0) & present[:, 1:].bool()
    loss = 1 - (2 * (p * t).sum(2) + smooth) / (p.sum(2) + volume + smooth)
    return mean_where(loss, counted)


def squared_dice(
    probabilities: Tensor, target: Tensor, present: Tensor, *, smooth: float = 1e-8, softness: float = 0.0
) -> Tensor:
    """One minus the Dice overlap with squares in the denominator, mean over the contoured foreground labels
    of the batch.

    Arguments as `generalised_dice`. Unlike `soft_dice` it counts a contoured label that has no voxel in the
    sample: it costs nearly 1 as soon as it is predicted anywhere, and 0 where it is not. Without a contoured
    label the loss is 0. Source: V-Net (Milletari et al. 2016), section 3; the Dice of paper 1 (smooth 1e-8),
    of paper 2, eq. 4, and with smooth 1 and softness 0.1 the benchmark of paper 4, section 3.2.4.
    """
    p = merge_absent(widened(probabilities), present)[:, 1:]
    truth = one_hot(target, probabilities.shape[1], softness=softness)[:, 1:]
    return squared_dice_of_maps(p, truth, present[:, 1:], smooth=smooth)


def squared_dice_of_maps(p: Tensor, truth: Tensor, counted: Tensor, *, smooth: float) -> Tensor:
    """`squared_dice` of maps (B, K, ...) in [0, 1] that need not sum to 1, mean over those that are counted,
    (B, K) bool.
    """
    p, truth = p.flatten(2), truth.flatten(2).to(p)
    overlap = (p * truth).sum(2)
    total = p.square().sum(2) + truth.square().sum(2)
    return mean_where(1 - (2 * overlap + smooth) / (total + smooth), counted)
