"""Uncertainty of a voxel: the entropy of its probabilities, or the share of members with another label."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ctseg_models.inference.labels.confidence import values_in


class Entropy:
    """Normalised entropy, 0 (certain) to 1, of probabilities that come one class at a time, each (n, y, x).

    The probabilities need not add up to 1 (a mean over the members that know a label does not); each is
    divided by their sum. The entropy is divided by its largest value, log K.
    """

    def __init__(self) -> None:
        self._classes = 0
        self._sum = self._sum_p_log_p = torch.zeros(())

    def add(self, probability: Tensor) -> None:
        """Add one class: (n, y, x)."""
        self._classes += 1
        self._sum = self._sum + probability
        self._sum_p_log_p = self._sum_p_log_p + torch.special.xlogy(probability, probability)

    def value(self) -> Tensor:
        """(n, y, x): with q = p / S, -sum q log q = log S - (sum p log p) / S; 0 where all p are 0."""
        entropy = (self._sum.log() - self._sum_p_log_p / self._sum).nan_to_num_(0.0)
        return (entropy / math.log(max(2, self._classes))).clamp_(0, 1)


def share_that_differs(
    opinions: Sequence[Tensor], common: Tensor, weights: Sequence[float], known: Sequence[frozenset[int]]
) -> Tensor:
    """(n, y, x) 0..1: the share of members, by weight, whose label is not the common one.

    known : the values of each member. A member that does not know the common label and predicts background
    does not contradict it and is not counted there.
    """
    differing, counted = torch.zeros(common.shape), torch.zeros(common.shape)
    for opinion, weight, values in zip(opinions, weights, known, strict=True):
        other = opinion != common
        speaks = torch.ones(common.shape, dtype=torch.bool)
        if unknown := [value for value in values_in(common) if value not in values]:
            speaks = ~torch.isin(common, torch.tensor(unknown, dtype=common.dtype)) | (opinion != 0)
        differing += weight * (other & speaks)
        counted += weight * speaks
    return differing / counted
