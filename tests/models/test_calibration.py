"""Temperature calibration beside brute force, hand-worked numbers and a temperature known by construction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ctseg_models.calibration import COLDEST, HOTTEST, Samples, ece, fit, nll


def drawn(temperature: float, n: int = 40_000, classes: int = 4) -> Samples:
    """Truth drawn from softmax(logits / temperature): that is the temperature to be found."""
    generator = torch.Generator().manual_seed(7)
    logits = 3 * torch.randn(n, classes, generator=generator)
    truth = torch.multinomial(torch.softmax(logits / temperature, 1), 1, generator=generator)[:, 0]
    return Samples(logits, truth)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found(temperature: float) -> None:
    found = fit(drawn(temperature))
    assert found.temperature == pytest.approx(temperature, rel=0.03)
    assert found.ece_after < 0.01
    assert found.nll_after <= found.nll_before
    assert found.voxels == 40_000


def test_it_is_the_minimum_that_defines_it() -> None:
    samples = drawn(1.7, n=3000)
    tried = np.geomspace(0.5, 6, 400)
    logits, truth = samples.logits.double().numpy(), samples.truth.numpy()
    costs = []
    for temperature in tried:  # the definition, in numpy
        scaled = logits / temperature
        costs.append((np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(truth)), truth]).mean())
    assert fit(samples).temperature == pytest.approx(tried[int(np.argmin(costs))], rel=0.01)
    assert nll(samples, tried[100]) == pytest.approx(costs[100], rel=1e-5)


def test_expected_calibration_error_by_hand() -> None:
    # Confidences .9 (right), .9 (wrong), .6 (right): bins 13, 13, 9 of 15; |1 - 1.8| / 3 + |1 - .6| / 3
    chances = torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.4, 0.6]])
    assert ece(Samples(chances.log(), torch.tensor([0, 0, 1])), 1.0) == pytest.approx((0.8 + 0.4) / 3, abs=1e-6)


def test_always_right_and_always_wrong_end_at_the_bounds() -> None:
    logits = torch.tensor([[4.0, 0.0], [0.0, 4.0]])
    assert fit(Samples(logits, torch.tensor([0, 1]))).temperature == pytest.approx(COLDEST, rel=1e-3)
    assert fit(Samples(logits, torch.tensor([1, 0]))).temperature == pytest.approx(HOTTEST, rel=1e-3)
    with pytest.raises(ValueError, match="no voxel"):
        fit(Samples(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)))
