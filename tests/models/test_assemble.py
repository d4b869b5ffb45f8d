"""Streamed labels against the dense way: every class at full resolution, then one argmax."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from ctseg_models.inference.assemble import ClassMaps, Sampler, Target, paint
from ctseg_models.inference.lattice import Lattice


def dense(maps: np.ndarray, lattice: Lattice, target: Target) -> np.ndarray:
    """(K, z, y, x) by scipy at the centres of the target's voxels."""
    axes = []
    for axis in range(3):
        centres = (np.arange(target.start[axis], target.stop[axis]) + 0.5) * target.spacing_mm[axis]
        axes.append((centres - lattice.low_mm[axis]) / lattice.spacing_mm[axis] - 0.5)
    points = np.meshgrid(*axes, indexing="ij")
    return np.stack([ndimage.map_coordinates(one, points, order=1, mode="nearest") for one in maps])


def probabilities(classes: int, shape: tuple[int, int, int]) -> torch.Tensor:
    return torch.randn(classes, *shape, generator=torch.Generator().manual_seed(4)).mul(3).softmax(dim=0)


LATTICE = Lattice((-3.0, 2.0, 1.0), (4.0, 3.5, 5.0), (7, 8, 9))
TARGET = Target((1.5, 2.0, 1.7), (1, 3, 2), (15, 12, 24))


def test_the_running_argmax_is_the_argmax() -> None:
    maps = probabilities(4, LATTICE.shape)
    labels, edges = np.zeros((20, 16, 30), np.uint8), np.zeros((20, 16, 30), np.float32)
    list(paint(ClassMaps.of(maps, LATTICE, (0, 7, 3, 250)), TARGET, labels, edges))
    expected = dense(maps.numpy(), LATTICE, TARGET)
    place = (slice(1, 15), slice(3, 12), slice(2, 24))
    assert np.array_equal(labels[place], np.array([0, 7, 3, 250])[expected.argmax(axis=0)])
    ordered = np.sort(expected, axis=0)
    assert np.allclose(edges[place], 1 - (ordered[-1] - ordered[-2]), atol=1e-5)
    labels[place] = 0
    assert not labels.any()


def test_it_paints_through_a_turned_view() -> None:
    maps = probabilities(3, LATTICE.shape)
    plain = np.zeros((20, 16, 30), np.uint8)
    list(paint(ClassMaps.of(maps, LATTICE, (0, 1, 2)), TARGET, plain))
    stored = np.zeros((30, 20, 16), np.uint8)
    list(paint(ClassMaps.of(maps, LATTICE, (0, 1, 2)), TARGET, stored[::-1].transpose(1, 2, 0)))
    assert np.array_equal(stored[::-1].transpose(1, 2, 0), plain)


def test_classes_merge_and_drop_before_the_argmax() -> None:
    maps = torch.tensor([0.3, 0.25, 0.25, 0.2]).reshape(4, 1, 1, 1)
    merged = ClassMaps.of(maps, LATTICE, (0, 6, 6, None))
    assert merged.values == (0, 6)
    assert merged.maps.flatten().tolist() == [0.5, 0.5]


def test_outside_of_the_lattice_is_background() -> None:
    lattice = Lattice((4.0, 0.0, 0.0), (2.0, 2.0, 2.0), (2, 3, 3))
    maps = torch.zeros(2, 2, 3, 3)
    maps[1] = 1
    sampler = Sampler(ClassMaps.of(maps, lattice, (0, 1)), Target((2.0, 2.0, 2.0), (0, 0, 0), (6, 3, 3)))
    background, organ = sampler.slab(0, 0, 6), sampler.slab(1, 0, 6)
    assert background is not None
    assert organ is not None
    assert background[:, 0, 0].tolist() == [1, 1, 0, 0, 1, 1]
    assert organ[:, 0, 0].tolist() == [0, 0, 1, 1, 0, 0]
    assert sampler.slab(9, 0, 6) is None
