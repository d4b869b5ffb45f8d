"""One axis of a separable resampling: its weights, and which outputs an input reaches."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Axis:
    """weights : (n_out, n_in), each row the share of every input in one output. Neighbouring rows use
    neighbouring inputs.
    """

    def __init__(self, weights: NDArray[np.float32]) -> None:
        self.weights = torch.from_numpy(weights)
        self.within = torch.from_numpy(weights.sum(axis=1) > 0.5)  # outputs that lie within the inputs
        self._inputs, self._outputs = _spans(weights != 0), _spans((weights != 0).T)

    def __len__(self) -> int:
        return len(self.weights)

    def inputs(self, start: int, stop: int) -> tuple[int, int]:
        """[low, high) of the inputs that the outputs [start, stop) are made of; (0, 0) where there are
        none.
        """
        return _hull(self._inputs, start, stop)

    def outputs(self, low: int, high: int) -> tuple[int, int]:
        """[start, stop) of the outputs to which any of the inputs [low, high) contributes; (0, 0) where
        there are none.
        """
        return _hull(self._outputs, low, high)

    def taps(self, start: int, stop: int) -> Taps:
        """The outputs [start, stop) of linear or nearest weights. Raises ValueError for weights of more
        than two inputs.
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
    """Every output as two inputs and the share of the way from one to the other: as a matrix, the weights
    are nearly empty.
    """

    one: Tensor
    other: Tensor
    share: Tensor

    def of(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """(..., outputs, n) from (..., inputs, n). Outputs that lie outside of the inputs hold no value
        that means anything.
        """
        if x.shape[-2] == 0:
            return x.new_zeros(*x.shape[:-2], len(self.one), x.shape[-1])
        return torch.lerp(x.index_select(-2, self.one), x.index_select(-2, self.other), self.share, out=out)


def _spans(used: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(2, rows): the first column that a row uses and the one after the last; of an empty row (columns,
    0).
    """
    columns = used.shape[1]
    some = used.any(axis=1)
    first = np.where(some, used.argmax(axis=1), columns)
    return np.stack([first, np.where(some, columns - used[:, ::-1].argmax(axis=1), 0)])


def _hull(spans: NDArray[np.int64], a: int, b: int) -> tuple[int, int]:
    if a >= b:
        return 0, 0
    low, high = int(spans[0, a:b].min()), int(spans[1, a:b].max())
    return (low, high) if low < high else (0, 0)
