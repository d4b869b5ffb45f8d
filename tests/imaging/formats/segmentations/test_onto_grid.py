"""Label maps on another grid of their lattice, against a look-up of every voxel by its position."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from ctseg_imaging.formats.segmentations.onto_grid import place
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels


@pytest.mark.parametrize(
    ("order", "signs"), list(product(permutations(range(3)), product((1, -1), repeat=3)))[::5]
)
def test_every_voxel_lands_at_its_position(order, signs) -> None:
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    own = Geometry.from_parts((4, 5, 6), (3, 1, 1.5), (7, -3, 2), turn)
    spacing = np.array(own.spacing_mm)[list(order)]
    affine = np.eye(4)
    affine[:3, :3] = own.direction_zyx[:, list(order)] * signs * spacing
    affine[:3, 3] = own.index_to_lps([1, 2, 1])
    target = Geometry((9, 8, 7), affine)
    labels = np.random.default_rng(1).integers(0, 4, own.shape).astype(np.uint8)
    placed = place(LabelMap(labels, own, Labels.from_values(labels)), target)
    for index in np.ndindex(target.shape):
        at = np.rint(own.lps_to_index(target.index_to_lps(index))).astype(int)
        inside = (at >= 0).all() and (at < own.shape).all()
        assert placed.array[index] == (labels[tuple(at)] if inside else 0)
    lost = np.count_nonzero(labels) - np.count_nonzero(placed.array)
    assert any(str(lost) in note for note in placed.notes) == (lost > 0)
