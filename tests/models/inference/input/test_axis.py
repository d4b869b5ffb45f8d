"""The inputs of an output and the outputs of an input, by looking at every pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctseg_models.inference.input.axis import Axis
from ctseg_models.inference.input.preprocess import axis_weights


@given(
    n_in=st.integers(1, 9),
    n_out=st.integers(1, 12),
    low=st.floats(-4, 6),
    spacing=st.floats(0.3, 3),
    interpolation=st.sampled_from(["area", "linear", "nearest"]),
    data=st.data(),
)
def test_the_spans_are_the_hull_of_the_pairs(
    n_in: int, n_out: int, low: float, spacing: float, interpolation: str, data: st.DataObject
) -> None:
    weights = axis_weights(n_in, 1.0, low, spacing, n_out, interpolation=interpolation)  # type: ignore[arg-type]
    axis = Axis(weights)
    for count, ask, rows in ((n_out, axis.inputs, weights), (n_in, axis.outputs, weights.T)):
        a = data.draw(st.integers(0, count))
        b = data.draw(st.integers(a, count))
        used = [j for j in range(rows.shape[1]) if any(rows[i, j] != 0 for i in range(a, b))]
        assert ask(a, b) == ((used[0], used[-1] + 1) if used else (0, 0))
    assert axis.within.tolist() == [bool(np.isclose(row.sum(), 1)) for row in weights]


@given(
    n_in=st.integers(1, 9),
    n_out=st.integers(1, 12),
    low=st.floats(-4, 6),
    spacing=st.floats(0.2, 3),
    interpolation=st.sampled_from(["linear", "nearest"]),
    data=st.data(),
)
def test_two_taps_are_the_matrix(
    n_in: int, n_out: int, low: float, spacing: float, interpolation: str, data: st.DataObject
) -> None:
    weights = axis_weights(n_in, 1.0, low, spacing, n_out, interpolation=interpolation)  # type: ignore[arg-type]
    axis = Axis(weights)
    a = data.draw(st.integers(0, n_out))
    b = data.draw(st.integers(a, n_out))
    x = np.random.default_rng(n_in).normal(size=(2, n_in, 3)).astype(np.float32)
    start, stop = axis.inputs(a, b)
    got = axis.taps(a, b).of(torch.from_numpy(x[:, start:stop])).numpy()
    meant = axis.within[a:b].numpy()
    assert got.shape == (2, b - a, 3)
    assert np.allclose(got[:, meant], (weights[a:b] @ x)[:, meant], atol=1e-5)


def test_a_mean_over_many_has_no_two_taps() -> None:
    with pytest.raises(ValueError, match="more than two inputs"):
        Axis(axis_weights(12, 1.0, 0.0, 4.0, 3)).taps(0, 3)
