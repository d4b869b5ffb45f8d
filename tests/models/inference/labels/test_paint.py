"""Streamed labels against the dense way: every class at full resolution, then one argmax."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from ctseg_models.contract.lattice import Lattice
from ctseg_models.inference.labels.class_maps import ClassMaps, Target
from ctseg_models.inference.labels.paint import paint
from ctseg_models.inference.labels.sampler import ClassMapSampler


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
    one, voxel = (
        Lattice((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1, 1, 1)),
        Target((1.0, 1.0, 1.0), (0, 0, 0), (1, 1, 1)),
    )
    assert ClassMaps.of(maps, one, (0, 6, 6, None)).values == (0, 6)
    sampler = ClassMapSampler(ClassMaps.of(maps, one, (0, 6, 6, None)), voxel)
    assert [float(sampler.slab(value, 0, 1)) for value in (0, 6)] == [0.5, 0.5]  # type: ignore[arg-type]
    assert int(sampler.winner(0, 1)) == 0  # of equals the lower one
    assert int(ClassMapSampler(ClassMaps.of(maps, one, (None, 6, 6, 7)), voxel).winner(0, 1)) == 6


def test_logits_are_interpolated_before_the_softmax_and_win_as_probabilities_do() -> None:
    logits = torch.randn(4, *LATTICE.shape, generator=torch.Generator().manual_seed(5)).mul(4)
    expected = torch.from_numpy(dense(logits.numpy(), LATTICE, TARGET)).softmax(dim=0)
    sampler = ClassMapSampler(ClassMaps.of(logits, LATTICE, (0, 2, 5, 9), "softmax logits"), TARGET)
    found = torch.stack([sampler.slab(value, 2, 9) for value in (0, 2, 5, 9)])  # type: ignore[list-item]
    assert torch.allclose(found, expected[:, 2:9].float(), atol=1e-5)
    assert torch.equal(
        sampler.winner(2, 9), torch.tensor([0, 2, 5, 9], dtype=torch.int32)[expected[:, 2:9].argmax(0)]
    )
    merged = ClassMapSampler(ClassMaps.of(logits, LATTICE, (0, 2, 2, None), "softmax logits"), TARGET)
    both = merged.slab(2, 2, 9)
    assert both is not None and torch.allclose(both, (expected[1] + expected[2])[2:9].float(), atol=1e-5)


def test_a_later_region_covers_an_earlier_one() -> None:
    one, voxel = (
        Lattice((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1, 1, 4)),
        Target((1.0, 1.0, 1.0), (0, 0, 0), (1, 1, 4)),
    )
    inside = torch.tensor([[0.9, 0.9, 0.2, 0.4], [0.8, 0.3, 0.6, 0.4]]).reshape(2, 1, 1, 4)
    sampler = ClassMapSampler(ClassMaps.of(inside.logit(), one, (2, 1), "regions"), voxel)
    assert sampler.winner(0, 1).flatten().tolist() == [1, 2, 1, 0]
    chances = {value: sampler.slab(value, 0, 1) for value in (0, 1, 2)}
    assert torch.allclose(chances[2].flatten(), torch.tensor([0.9 * 0.2, 0.9 * 0.7, 0.2 * 0.4, 0.4 * 0.6]))  # type: ignore[union-attr]
    assert torch.allclose(sum(chances.values()), torch.ones(1, 1, 4))  # type: ignore[arg-type]


def test_the_border_repeats_where_the_plan_repeats_it() -> None:
    lattice = Lattice((4.0, 0.0, 0.0), (2.0, 2.0, 2.0), (2, 3, 3))
    maps = torch.tensor([0.3, 0.7]).reshape(2, 1, 1, 1).expand(2, 2, 3, 3).contiguous()
    sampler = ClassMapSampler(
        ClassMaps.of(maps, lattice, (0, 1), border="repeat"), Target((2.0, 2.0, 2.0), (0, 0, 0), (6, 3, 3))
    )
    organ = sampler.slab(1, 0, 6)
    assert organ is not None and torch.allclose(organ, torch.full((6, 3, 3), 0.7))
    assert (sampler.winner(0, 6) == 1).all()


def test_outside_of_the_lattice_is_background() -> None:
    lattice = Lattice((4.0, 0.0, 0.0), (2.0, 2.0, 2.0), (2, 3, 3))
    maps = torch.zeros(2, 2, 3, 3)
    maps[1] = 1
    sampler = ClassMapSampler(
        ClassMaps.of(maps, lattice, (0, 1)), Target((2.0, 2.0, 2.0), (0, 0, 0), (6, 3, 3))
    )
    background, organ = sampler.slab(0, 0, 6), sampler.slab(1, 0, 6)
    assert background is not None
    assert organ is not None
    assert background[:, 0, 0].tolist() == [1, 1, 0, 0, 1, 1]
    assert organ[:, 0, 0].tolist() == [0, 0, 1, 1, 0, 0]
    assert sampler.slab(9, 0, 6) is None


@pytest.mark.parametrize("values", [(0, 9, 4, 7, 5, 6), (0, 9, 4, 700, 5, 6)])
def test_small_classes_are_found_wherever_they_are(values: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(6)
    logits = torch.full((6, *LATTICE.shape), -6.0)
    logits[0] = 0
    for k, place in enumerate([(0, 0, 0), (6, 7, 8), (3, 4, 5), (3, 4, 6)], start=1):
        logits[k][place] = 6.0 + k / 10  # the last class is nowhere
    maps = (logits + 0.1 * torch.rand(logits.shape, generator=generator)).softmax(dim=0)
    labels = np.zeros((20, 16, 30), np.uint16)
    target = Target((1.5, 2.0, 1.7), (0, 1, 0), (17, 15, 27))
    list(paint(ClassMaps.of(maps, LATTICE, values), target, labels))
    painted = labels[0:17, 1:15, 0:27]
    inside = [
        (low <= (np.arange(a, b) + 0.5) * s) & ((np.arange(a, b) + 0.5) * s <= high)
        for a, b, s, low, high in zip(
            target.start, target.stop, target.spacing_mm, LATTICE.low_mm, LATTICE.box.high, strict=True
        )
    ]
    expected = np.array(values)[dense(maps.numpy(), LATTICE, target).argmax(axis=0)]
    expected[~(inside[0][:, None, None] & inside[1][None, :, None] & inside[2][None, None, :])] = 0
    assert np.array_equal(painted, expected)
    assert set(np.unique(painted)) == set(values[:5])


def test_regions_cover_each_other_in_the_order_of_painting() -> None:
    logits = torch.full((2, *LATTICE.shape), -3.0137)  # no point lies exactly on the border of a region
    logits[0, 2:5, 2:7, 1:6] = 2.71
    logits[1, 3:4, 3:5, 4:8] = 2.37
    labels = np.zeros((20, 16, 30), np.uint8)
    list(paint(ClassMaps.of(logits, LATTICE, (4, 2), "regions"), TARGET, labels))
    first, second = dense(logits.numpy(), LATTICE, TARGET) > 0
    expected = np.where(second, 2, np.where(first, 4, 0))
    assert np.array_equal(labels[1:15, 3:12, 2:24], expected)
    assert set(np.unique(expected)) == {0, 2, 4}
