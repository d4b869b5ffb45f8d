"""What the plugin's tests share: volumes with three unequal sides, unequal spacing and an oblique direction."""

import numpy as np
import pytest

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume


def oblique_geometry() -> Geometry:
    """7 x 8 x 9 voxels of 3 x 1.5 x 2 mm, stored from the left and turned by 10 degrees about the patient's long axis."""
    c, s = np.cos(np.radians(10)), np.sin(np.radians(10))
    turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([-1, 1, -1.0])
    return Geometry.from_parts((7, 8, 9), (3.0, 1.5, 2.0), (10.0, -20.0, 30.0), turned)


@pytest.fixture
def volume() -> Volume:
    """Every voxel another value, from -250 to 253."""
    geometry = oblique_geometry()
    array = (np.arange(7 * 8 * 9, dtype=np.int16) - 250).reshape(geometry.shape)
    return Volume(array, geometry, modality="CT")


@pytest.fixture
def label_map() -> LabelMap:
    """Two labels on the grid of `volume`: 1 "liver" in stored voxels [1:3, 2:5, 0:2], 3 "spleen" in [5, 6, 7:9]."""
    geometry = oblique_geometry()
    array = np.zeros(geometry.shape, np.uint8)
    array[1:3, 2:5, 0:2] = 1
    array[5, 6, 7:9] = 3
    return LabelMap(array, geometry, Labels.from_names({1: "liver", 3: "spleen"}))
