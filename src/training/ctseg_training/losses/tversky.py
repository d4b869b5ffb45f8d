"""The Tversky loss: a Dice whose false positives and false negatives have weights of their own."""

from __future__ import annotations

from torch import Tensor

from ctseg_training.losses.partial import mean_where, merge_absent, one_hot
from ctseg_training.losses.precision import widened


def tversky(
    probabilities: Tensor,
    target: Tensor,
    present: Tensor,
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 1.0,
    softness: float = 0.0,
) -> Tensor:
    """One minus the Tversky index TP / (TP + alpha FP + beta FN), mean over the contoured foreground labels
    of the batch.

    probabilities : (B, K, ...) summing to 1 over K, background first. target : (B, ...) int64. present : (B,
    K) bool, absent labels are merged into the background. alpha weighs false positives and beta false
    negatives, as paper 4, section 3.2.4 has it: 0.3 and 0.7 favour sensitivity; 0.5 and 0.5 are the Dice with
    plain sums and twice `smooth`. softness : see `one_hot`. `smooth` stands in numerator and denominator: a
    contoured label without a voxel costs its false alarms, 0 where there are none; without a contoured label
    the loss is 0. Source: Salehi et al. 2017, arXiv:1706.05721, eq. 1 and 3.
    """
    p = merge_absent(widened(probabilities), present).flatten(2)[:, 1:]
    t = one_hot(target, probabilities.shape[1], softness=softness).flatten(2)[:, 1:]
    true_positive = (p * t).sum(2)
    false_positive = (p * (1 - t)).sum(2)
    false_negative = ((1 - p) * t).sum(2)
    index = (true_positive + smooth) / (
        true_positive + alpha * false_positive + beta * false_negative + smooth
    )
    return mean_where(1 - index, present[:, 1:])
