"""Live wire against Dijkstra's algorithm by hand, and on a circle with a weak part."""

import heapq
from itertools import pairwise, product

import numpy as np
import pytest

from ctseg_imaging.editing.live_wire import LiveWire, cost_of_edges, cost_of_gradient

SPACING = (1.5, 0.8)


def dijkstra(cost, spacing_mm, start):
    """The cost of the cheapest path to every pixel, by a heap."""
    found, heap = {start: 0.0}, [(0.0, start)]
    while heap:
        way, (y, x) = heapq.heappop(heap)
        if way > found[y, x]:
            continue
        for dy, dx in product((-1, 0, 1), repeat=2):
            to = y + dy, x + dx
            if (dy or dx) and 0 <= to[0] < cost.shape[0] and 0 <= to[1] < cost.shape[1]:
                step = np.hypot(dy * spacing_mm[0], dx * spacing_mm[1]) * (cost[y, x] + cost[to]) / 2
                if way + step < found.get(to, np.inf):
                    found[to] = way + step
                    heapq.heappush(heap, (way + step, to))
    return found


def length(cost, path):
    steps = pairwise(path)
    return sum(np.hypot(*((b - a) * SPACING)) * (cost[tuple(a)] + cost[tuple(b)]) / 2 for a, b in steps)


def test_a_path_is_the_cheapest():
    cost = np.random.default_rng(3).uniform(0.02, 1, (7, 11))
    wire = LiveWire(cost, SPACING)
    for start in ((0, 0), (3, 5)):
        cheapest = dijkstra(cost, SPACING, start)
        for end in ((6, 10), (0, 9), (4, 4)):
            path = wire.path(start, end)
            assert tuple(path[0]) == start and tuple(path[-1]) == end
            assert (np.abs(np.diff(path, axis=0)) <= 1).all()
            assert length(cost, path) == pytest.approx(cheapest[end])


def circle(weak):
    """A disc of 12 mm radius on a grid of 48 x 90 mm, and its edge with a part of an eighth missing."""
    y, x = np.mgrid[:32, :112]
    dy, dx = (y - 16) * SPACING[0], (x - 50) * SPACING[1]
    disc = np.hypot(dy, dx) < 12
    image = 100.0 * disc
    if weak:
        missing = (np.abs(np.arctan2(dy, dx)) < np.pi / 8) & (np.hypot(dy, dx) > 6)
        image[missing] = 50.0 + 20.0 * disc[missing]
    return image + np.random.default_rng(0).normal(0, 2, image.shape), disc


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("weak", [False, True])
def test_four_points_on_a_circle_give_the_disc(weak):
    """The square through the points alone has 2 / pi of its area: a Dice of 0.78."""
    image, disc = circle(weak)
    wire = LiveWire(cost_of_gradient(image, SPACING), SPACING)
    found = wire.closed([(8, 50), (16, 65), (24, 50), (16, 35)])
    assert dice(found, disc) > 0.93


def test_an_edge_map_is_followed_instead():
    edges = np.zeros((9, 15))
    edges[2, 1:14] = edges[2:7, 13] = 1.0
    path = LiveWire(cost_of_edges(edges), (1.0, 1.0)).path((2, 1), (6, 13))
    assert edges[tuple(path.T)].sum() >= len(path) - 1


def test_a_slice_without_edges_gives_the_straight_line():
    wire = LiveWire(cost_of_gradient(np.zeros((5, 9)), (1.0, 1.0)), (1.0, 1.0))
    assert wire.path((2, 1), (2, 6)).tolist() == [[2, x] for x in range(1, 7)]
    assert wire.line([(2, 1)]).tolist() == [[2, 1]]
