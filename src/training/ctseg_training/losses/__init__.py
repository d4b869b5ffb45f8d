"""Losses: pure functions of a network's output, the true label map and which labels the case was contoured for."""

from ctseg_training.losses.cross_entropy import cross_entropy, sigmoid_cross_entropy
from ctseg_training.losses.dice import generalised_dice, soft_dice
from ctseg_training.losses.partial import merge_absent

__all__ = ["cross_entropy", "generalised_dice", "merge_absent", "sigmoid_cross_entropy", "soft_dice"]
