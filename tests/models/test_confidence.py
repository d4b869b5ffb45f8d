"""Confidence of labels, entropy and disagreement: worked by hand and beside scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from ctseg_imaging.volume import Labels
from ctseg_models.confidence import Tally, chance_of
from ctseg_models.disagreement import Entropy, share_that_differs

LABELS = Labels.from_names({3: "liver", 7: "spleen", 9: "never found"})


def slices(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows)[None]


def test_a_table_by_hand_over_two_slabs() -> None:
    tally = Tally(9)
    tally.add(slices([3, 3, 0], [0, 7, 3]).int(), slices([0.95, 0.5, 0.0], [0.0, 0.8, 0.92]),
              slices([0.0, 0.5, 1.0], [1.0, 0.25, 0.1]))
    tally.add(slices([7, 0, 0], [0, 0, 0]).int(), slices([1.0, 0, 0], [0, 0, 0]), slices([0.75, 0, 0], [0, 0, 0]))
    tally.add(torch.zeros(1, 2, 3, dtype=torch.int32), torch.zeros(1, 2, 3), torch.zeros(1, 2, 3))
    assert tally.table(LABELS, 0.002) == [
        {"value": 3, "name": "liver", "volume_ml": 0.006, "mean_probability": 0.79, "share_above_0.9": 0.6667, "mean_disagreement": 0.2},
        {"value": 7, "name": "spleen", "volume_ml": 0.004, "mean_probability": 0.9, "share_above_0.9": 0.5, "mean_disagreement": 0.5},
    ]


def test_the_probability_of_what_was_found() -> None:
    class Made:
        def slab(self, value: int, a: int, b: int) -> torch.Tensor | None:
            return {3: torch.full((b - a, 1, 3), 0.6), 7: torch.full((b - a, 1, 3), 0.9)}.get(value)

    found = chance_of(Made(), torch.tensor([[[0, 3, 7]], [[9, 7, 0]]], dtype=torch.int32), 4, 6)
    assert found.tolist() == [[[0.0, pytest.approx(0.6), pytest.approx(0.9)]], [[0.0, pytest.approx(0.9), 0.0]]]


@pytest.mark.parametrize("classes", [2, 5])
def test_entropy_is_scipys(classes: int) -> None:
    chances = np.random.default_rng(5).random((classes, 2, 3, 4)).astype(np.float32)  # of any sum
    chances[:, 0, 0, 0] = 0
    chances[1, 0, 0, 0] = 1
    chances[:, 1, 2, 3] = 0.3
    ours = Entropy()
    for chance in chances:
        ours.add(torch.from_numpy(chance))
    assert ours.value().numpy() == pytest.approx(entropy(chances.astype(np.float64), axis=0, base=classes), abs=2e-6)
    assert ours.value()[0, 0, 0] == 0 and ours.value()[1, 2, 3] == pytest.approx(1)


def test_who_differs_by_hand() -> None:
    # Three members of weights 2, 1, 1; the last one does not know label 3.
    common = slices([3, 3, 0, 7]).int()
    opinions = [slices([3, 0, 0, 7]).int(), slices([7, 3, 7, 3]).int(), slices([0, 7, 0, 7]).int()]
    known = [frozenset({0, 3, 7}), frozenset({0, 3, 7}), frozenset({0, 7})]
    shares = share_that_differs(opinions, common, (2, 1, 1), known)
    # Voxel 0: 1 of 2 + 1 (the last has no say). Voxel 1: 2 + 1 of 4. Voxel 2: 1 of 4. Voxel 3: 1 of 4.
    assert shares.ravel().tolist() == pytest.approx([1 / 3, 3 / 4, 1 / 4, 1 / 4])
