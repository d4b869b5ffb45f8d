"""A path through a slice that follows the strongest edge between two points (live wire)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon
from skimage.graph import MCP_Geometric

Cost = NDArray[np.float64]
Pixel = tuple[int, int]
Path = NDArray[np.intp]

# The cost of 1 mm along the strongest edge; 1 mm without an edge costs 1 more. The best of 0.02 to 4 on
# hippocampus MR in docs/correcting-tools.md: below, the line leaves weak borders for strong ones.
LEAST = 2.0
STRONGEST = 99.0  # percentile of the gradients that counts as a full edge


def cost_of_gradient(image: NDArray[np.number], spacing_mm: tuple[float, float]) -> Cost:
    """The cost of 1 mm at every pixel of a slice: low where the intensity changes much per mm.

    image : (y, x), finite, of any unit. spacing_mm : (y, x). The gradient is that of a Gaussian with a sigma
    of one of the smaller pixel sides.
    """
    sigma = [min(spacing_mm) / step for step in spacing_mm]
    values = np.asarray(image, np.float64)
    parts = [
        ndimage.gaussian_filter(values, sigma, order=order, mode="nearest") / step
        for order, step in zip(((1, 0), (0, 1)), spacing_mm, strict=True)
    ]
    return cost_of_edges(np.hypot(*parts))


def cost_of_edges(edges: NDArray[np.number]) -> Cost:
    """The cost of 1 mm at every pixel (y, x), from the strength of its edge, 0 or more of any unit."""
    strength = np.asarray(edges, np.float64)
    full = float(np.percentile(strength, STRONGEST)) or float(strength.max()) or 1.0
    cost: Cost = 1 + LEAST - np.clip(strength / full, 0, 1)
    return cost


class LiveWire:
    """Cheapest paths in one slice.

    cost : (y, x), above 0, for 1 mm. spacing_mm : (y, x). A step between two of the eight neighbours costs
    its length in mm times the mean of both. Source: Mortensen & Barrett, Graphical Models and Image
    Processing 60:349-384, 1998; Dijkstra's algorithm by scikit-image.
    """

    def __init__(self, cost: Cost, spacing_mm: tuple[float, float]) -> None:
        self.cost = cost
        self._search = MCP_Geometric(cost, fully_connected=True, sampling=spacing_mm)
        self._from: Pixel | None = None
        self._paths: dict[tuple[Pixel, Pixel], Path] = {}

    def path(self, start: Pixel, end: Pixel) -> Path:
        """(n, 2) pixels (y, x) from `start` to `end`, both included."""
        if (known := self._paths.get((start, end))) is not None:
            return known
        if self._from != start:
            self._search.find_costs([start])
            self._from = start
        return np.array(self._search.traceback(end), np.intp)

    def line(self, points: Sequence[Pixel]) -> Path:
        """(n, 2) pixels of the paths from each point to the next."""
        for pair in pairwise(points[:-1]):  # set by the user: they are asked for again
            self._paths[pair] = self.path(*pair)
        legs = [self.path(*pair) for pair in pairwise(points)]
        return np.concatenate(legs or [np.array(points, np.intp).reshape(-1, 2)])

    def closed(self, points: Sequence[Pixel]) -> NDArray[np.bool_]:
        """(y, x): the pixels on and inside of the line through `points` and back to the first."""
        inside = np.zeros(self.cost.shape, bool)
        ring = self.line([*points, points[0]])
        inside[polygon(ring[:, 0], ring[:, 1], inside.shape)] = True
        inside[ring[:, 0], ring[:, 1]] = True
        return inside
