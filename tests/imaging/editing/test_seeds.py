"""Geodesic distances against Dijkstra's algorithm written out, and shapes grown by hand."""

import heapq
from itertools import product

import numpy as np
import pytest

from ctseg_imaging.editing import INSIDE, OUTSIDE, grow_from_seeds, nearest_seed

SHAPE, SPACING = (7, 8, 9), (3.0, 1.5, 0.8)


def by_dijkstra(image: np.ndarray, seeds: np.ndarray, label: int) -> np.ndarray:
    """Distances to the seeds of one label, voxel by voxel from a heap."""
    distance = np.full(image.shape, np.inf)
    heap = [(0.0, tuple(int(i) for i in p)) for p in np.argwhere(seeds == label)]
    while heap:
        gone, here = heapq.heappop(heap)
        if gone >= distance[here]:
            continue
        distance[here] = gone
        for step in product((-1, 0, 1), repeat=3):
            there = tuple(a + b for a, b in zip(here, step, strict=True))
            if any(step) and all(0 <= a < n for a, n in zip(there, image.shape, strict=True)):
                length = np.sqrt(sum((a * h) ** 2 for a, h in zip(step, SPACING, strict=True)))
                heapq.heappush(heap, (gone + length + abs(image[there] - image[here]), there))
    return distance


@pytest.mark.parametrize("seed", range(4))
def test_distances_and_winners_are_those_of_dijkstra(seed):
    made = np.random.default_rng(seed)
    image = (10 * made.random(SHAPE)).astype(np.float32)
    seeds = np.zeros(SHAPE, np.uint8)
    seeds[1, 2, 3], seeds[5, 6, 1], seeds[6, 0, 8] = 1, 2, 2
    distance, nearest = nearest_seed(image, seeds, SPACING)
    first, second = by_dijkstra(image, seeds, 1), by_dijkstra(image, seeds, 2)
    assert distance == pytest.approx(np.minimum(first, second), abs=1e-4)
    clear = abs(first - second) > 1e-3
    assert clear.any() and np.array_equal(nearest[clear], np.where(first < second, 1, 2)[clear])


def test_a_way_round_a_wall_is_found():
    """A spiral: the distance settles only after several rounds of scans."""
    image = np.zeros((3, 9, 11), np.float32)
    image[:, 1:8:2] = 1000
    image[:, 1, 10] = image[:, 3, 0] = image[:, 5, 10] = image[:, 7, 0] = 0
    seeds = np.zeros(image.shape, np.uint8)
    seeds[1, 0, 0] = 1
    assert nearest_seed(image, seeds, SPACING)[0] == pytest.approx(by_dijkstra(image, seeds, 1), rel=1e-5)


def test_without_seeds_nothing_is_near():
    distance, nearest = nearest_seed(np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.uint8), SPACING)
    assert np.isinf(distance).all() and not nearest.any()


def test_a_bright_block_grows_from_one_voxel_up_to_its_edge():
    image = np.random.default_rng(0).normal(30, 2, (12, 15, 18))
    block = np.zeros(image.shape, bool)
    block[3:8, 4:11, 5:14] = True
    image[block] += 200
    seeds = np.zeros(image.shape, np.uint8)
    seeds[5, 7, 9] = INSIDE
    before = seeds.copy()
    assert np.array_equal(grow_from_seeds(image, seeds, SPACING), block)
    assert np.array_equal(grow_from_seeds(1e6 * image - 5, seeds, SPACING), block)  # MR has no unit
    assert np.array_equal(seeds, before)


def test_in_a_flat_image_the_border_lies_half_way_to_a_stroke_outside():
    seeds = np.zeros((11, 21, 21), np.uint8)
    seeds[5, 10, 4], seeds[5, 10, 12] = INSIDE, OUTSIDE
    row = grow_from_seeds(np.full(seeds.shape, 7), seeds, (1.0, 1.0, 1.0))[5, 10]
    assert np.array_equal(np.flatnonzero(row), [3, 4, 5, 6, 7]) or np.array_equal(
        np.flatnonzero(row), [3, 4, 5, 6, 7, 8]
    )  # 2 is as near to the face as to the stroke, 8 to both strokes


def test_nothing_grows_without_a_stroke_inside_and_bad_boxes_are_refused():
    seeds = np.zeros(SHAPE, np.uint8)
    seeds[2, 3, 4] = OUTSIDE
    assert not grow_from_seeds(np.zeros(SHAPE), seeds, SPACING).any()
    seeds[3, 3, 4] = INSIDE
    with pytest.raises(ValueError, match="agree"):
        grow_from_seeds(np.zeros((7, 8, 8)), seeds, SPACING)
    with pytest.raises(ValueError, match="NaN"):
        grow_from_seeds(np.full(SHAPE, np.nan), seeds, SPACING)
