"""One axis of a separable resampling: its weights, and which outputs an input reaches."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray


class Axis:
    """weights : (n_out, n_in), each row the share of every input in one output. Neighbouring rows use neighbouring inputs."""

    def __init__(self, weights: NDArray[np.float32]) -> None:
        self.weights = torch.from_numpy(weights)
        self.within = torch.from_numpy(weights.sum(axis=1) > 0.5)  # outputs that lie within the inputs
        self._inputs, self._outputs = _spans(weights != 0), _spans((weights != 0).T)

    def __len__(self) -> int:
        return len(self.weights)

    def inputs(self, start: int, stop: int) -> tuple[int, int]:
        """[low, high) of the inputs that the outputs [start, stop) are made of; (0, 0) where there are none."""
        return _hull(self._inputs, start, stop)

    def outputs(self, low: int, high: int) -> tuple[int, int]:
        """[start, stop) of the outputs to which any of the inputs [low, high) contributes; (0, 0) where there are none."""
        return _hull(self._outputs, low, high)


def _spans(used: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(2, rows): the first column that a row uses and the one after the last; of an empty row (columns, 0)."""
    columns = used.shape[1]
    some = used.any(axis=1)
    first = np.where(some, used.argmax(axis=1), columns)
    return np.stack([first, np.where(some, columns - used[:, ::-1].argmax(axis=1), 0)])


def _hull(spans: NDArray[np.int64], a: int, b: int) -> tuple[int, int]:
    if a >= b:
        return 0, 0
    low, high = int(spans[0, a:b].min()), int(spans[1, a:b].max())
    return (low, high) if low < high else (0, 0)
