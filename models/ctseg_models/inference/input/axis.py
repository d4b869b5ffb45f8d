"""One axis of a separable resampling: its weights, and which inputs each output needs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Axis:
    """weights : (n_out, n_in); row i holds the share of every input in output i, and neighbouring rows use
    neighbouring inputs.
    """

    def __init__(self, weights: NDArray[np.float32]) -> None:
        self.weights = torch.from_numpy(weights)
        self.within = torch.from_numpy(weights.sum(axis=1) > 0.5)  # the outputs inside the inputs' range
        self._inputs, self._outputs = _spans(weights != 0), _spans((weights != 0).T)

    def __len__(self) -> int:
        return len(self.weights)

    def inputs(self, start: int, stop: int) -> tuple[int, int]:
        """The inputs [low, high) that the outputs [start, stop) need; (0, 0) if none."""
        return _hull(self._inputs, start, stop)

    def outputs(self, low: int, high: int) -> tuple[int, int]:
        """The outputs [start, stop) that need any of the inputs [low, high); (0, 0) if none."""
        return _hull(self._outputs, low, high)

    def taps(self, start: int, stop: int) -> Taps:
        """The outputs [start, stop) as interpolation between two inputs each.

        Raises ValueError for weights of more than two inputs.
        """
        (first, last), (low, high) = self._inputs[:, start:stop], self.inputs(start, stop)
        if (last - first > 2).any():
            raise ValueError("An output is made of more than two inputs; use the weights as a matrix.")
        one, other = (
            torch.from_numpy((rows - low).clip(0, max(0, high - low - 1))) for rows in (first, last - 1)
        )
        share = 1 - self.weights[torch.arange(start, stop), (one + low).clamp_(max=self.weights.shape[1] - 1)]
        return Taps(one, other, share[:, None])


class Taps(NamedTuple):
    """Every output as two inputs and the fraction between them; the weights as a matrix would be nearly
    empty.
    """

    one: Tensor
    other: Tensor
    share: Tensor

    def of(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """(..., inputs, n) to (..., outputs, n). Outputs outside the inputs' range are undefined."""
        if x.shape[-2] == 0:
            return x.new_zeros(*x.shape[:-2], len(self.one), x.shape[-1])
        return torch.lerp(x.index_select(-2, self.one), x.index_select(-2, self.other), self.share, out=out)


def _spans(used: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(2, rows): a row's first column and the one after its last; (columns, 0) for an empty row."""
    columns = used.shape[1]
    some = used.any(axis=1)
    first = np.where(some, used.argmax(axis=1), columns)
    return np.stack([first, np.where(some, columns - used[:, ::-1].argmax(axis=1), 0)])


def _hull(spans: NDArray[np.int64], a: int, b: int) -> tuple[int, int]:
    if a >= b:
        return 0, 0
    low, high = int(spans[0, a:b].min()), int(spans[1, a:b].max())
    return (low, high) if low < high else (0, 0)
