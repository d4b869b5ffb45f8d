"""Temperature calibration: one number that makes a network's confidence match its accuracy, at the same
labels.

Source: Guo et al. 2017, arXiv:1706.04599, sections 2 and 4.2: p = softmax(logits / T), T > 0, of least
negative log-likelihood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

COLDEST, HOTTEST = 0.05, 20.0
HALVINGS = 50  # of the interval of 1 / T: to the last digit of a float64
BINS = 15  # of confidence, as in Guo et al.
SMALLEST = 1e-7  # a probability of 0 has no logarithm


@dataclass(frozen=True, eq=False)
class CalibrationSamples:
    """Voxels with known truth.

    logits : (n, K) float32, up to a constant for each voxel (so the log of probabilities will do). truth :
    (n,) int64, the index of the true class.
    """

    logits: Tensor
    truth: Tensor

    @classmethod
    def join(cls, several: Sequence[CalibrationSamples]) -> CalibrationSamples:
        """One set of samples of all of them."""
        return cls(torch.cat([one.logits for one in several]), torch.cat([one.truth for one in several]))


@dataclass(frozen=True)
class Calibration:
    """A fitted temperature.

    nll : mean negative log-likelihood of a voxel in nats. ece : expected calibration error, 0..1.
    """

    temperature: float
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float
    voxels: int


def fit(samples: CalibrationSamples) -> Calibration:
    """The temperature of least negative log-likelihood, between COLDEST and HOTTEST.

    In 1 / T the negative log-likelihood is convex with the slope mean(E[logit] - true logit); the interval is
    halved around its zero. Raises ValueError without voxels.
    """
    if not len(samples.truth):
        raise ValueError("No voxels to calibrate on; give cases with labels.")
    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if _slope(samples, middle) > 0 else (middle, high)
    temperature = 2 / (low + high)
    return Calibration(
        temperature,
        nll(samples, 1.0),
        nll(samples, temperature),
        ece(samples, 1.0),
        ece(samples, temperature),
        len(samples.truth),
    )


def nll(samples: CalibrationSamples, temperature: float) -> float:
    """Mean negative log-likelihood of the true class at this temperature, in nats."""
    log_chances = torch.log_softmax(samples.logits / temperature, dim=1)
    return -float(log_chances.gather(1, samples.truth[:, None]).double().mean())


def ece(samples: CalibrationSamples, temperature: float) -> float:
    """Expected calibration error: |accuracy - mean confidence| over BINS equal bins of confidence, weighted
    by voxels.
    """
    confidence, predicted = torch.softmax(samples.logits / temperature, dim=1).max(dim=1)
    place = (confidence * BINS).long().clamp_max(BINS - 1)
    surplus = torch.zeros(BINS, dtype=torch.float64)
    surplus.index_add_(0, place, (predicted == samples.truth).double() - confidence.double())
    return float(surplus.abs().sum() / len(samples.truth))


def _slope(samples: CalibrationSamples, inverse: float) -> float:
    """The derivative of the negative log-likelihood with respect to 1 / T."""
    expected = (torch.softmax(samples.logits * inverse, dim=1) * samples.logits).sum(dim=1)
    return float((expected - samples.logits.gather(1, samples.truth[:, None])[:, 0]).double().mean())
