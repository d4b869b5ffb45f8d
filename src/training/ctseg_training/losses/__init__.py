"""Losses: pure functions of a network's output, the true label map and which labels the case was contoured
for.
"""

from ctseg_training.losses.cross_entropy import cross_entropy, sigmoid_cross_entropy
from ctseg_training.losses.dice import generalised_dice, soft_dice, squared_dice
from ctseg_training.losses.edges import (
    balanced_cross_entropy,
    consistency,
    edge_dice,
    edge_loss,
    edge_truth,
    sobel_magnitude,
)
from ctseg_training.losses.mumford_shah import mumford_shah_image, mumford_shah_label
from ctseg_training.losses.partial import merge_absent
from ctseg_training.losses.tanimoto import tanimoto, tanimoto_cross_entropy
from ctseg_training.losses.tversky import tversky

__all__ = [
    "balanced_cross_entropy",
    "consistency",
    "cross_entropy",
    "edge_dice",
    "edge_loss",
    "edge_truth",
    "generalised_dice",
    "merge_absent",
    "mumford_shah_image",
    "mumford_shah_label",
    "sigmoid_cross_entropy",
    "sobel_magnitude",
    "soft_dice",
    "squared_dice",
    "tanimoto",
    "tanimoto_cross_entropy",
    "tversky",
]
