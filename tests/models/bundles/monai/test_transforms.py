"""The interpreted transforms against MONAI's own: the position and the value of every voxel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, CropForegroundd, Orientationd, ScaleIntensityRanged, Spacingd

from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Volume
from ctseg_models.bundles.monai.config.components import Component
from ctseg_models.bundles.monai.interpreted.transforms import State, transforms
from ctseg_models.contract.lattice import ViewBox
from ctseg_models.contract.upright import Upright
from tests.models.making import oblique_geometry

TO_RAS = np.diag([-1.0, -1.0, 1.0])
ORIENTATION = ("Orientationd", {"axcodes": "RAS"})
TURNED = ("Orientationd", {"axcodes": "PLI"})
SPACING = ("Spacingd", {"pixdim": [1.4, 2.3, 2.6], "mode": "bilinear"})
RANGE = ("ScaleIntensityRanged", {"a_min": -100, "a_max": 300, "b_min": 0, "b_max": 1, "clip": True})
CROP = ("CropForegroundd", {"source_key": "image"})
MONAI = {one.__name__: one for one in (Orientationd, Spacingd, ScaleIntensityRanged, CropForegroundd)}


def made_volume() -> Volume:
    """Noise in a block that touches one side of an air-filled oblique volume."""
    geometry = oblique_geometry((19, 23, 29), (2.5, 1.9, 1.3))
    array = np.full(geometry.shape, -1000, np.int16)
    array[4:15, 0:17, 9:26] = np.random.default_rng(0).integers(50, 280, (11, 17, 17))
    return Volume(array, geometry)


@pytest.mark.parametrize(
    "steps",
    [
        (ORIENTATION, RANGE, CROP),
        (ORIENTATION, RANGE, CROP, SPACING),
        (ORIENTATION, SPACING, RANGE, CROP),
        (TURNED, SPACING, RANGE, CROP),
        (RANGE, CROP, TURNED, SPACING),
    ],
    ids=lambda steps: " ".join(name.removesuffix("d") for name, _ in steps),
)
def test_a_cropped_image_lies_where_monai_puts_it(steps: tuple[tuple[str, dict[str, object]], ...]) -> None:
    volume = made_volume()
    ras = np.eye(4)  # MONAI's arrays are (x, y, z)
    ras[:3, :3] = TO_RAS @ volume.geometry.affine_lps[:3, [2, 1, 0]]
    ras[:3, 3] = TO_RAS @ volume.geometry.affine_lps[:3, 3]
    image = MetaTensor(
        torch.from_numpy(volume.array.T[None].astype(np.float32)), affine=torch.from_numpy(ras)
    )
    expected = Compose([MONAI[name](keys="image", **arguments) for name, arguments in steps])(
        {"image": image}
    )["image"]

    upright = Upright.of(volume)
    state = State.of(upright, ViewBox.whole(upright.geometry))
    for step in transforms(
        [
            Component(f"monai.transforms.{name}", {"keys": "image", **arguments}, name)
            for name, arguments in steps
        ]
    ):
        finish(step(state))
    got = state.turn.to_network(torch.from_numpy(np.array(state.array)))
    assert got.shape == expected.shape
    np.testing.assert_allclose(got.numpy(), expected.numpy(), atol=2e-4)

    view, old = upright.geometry, np.array(upright.geometry.spacing_mm)
    index = np.indices(state.array.shape[1:]).reshape(3, -1)
    at = (np.array(state.low_mm)[:, None] + (index + 0.5) * np.array(state.spacing_mm)[:, None]) / old[
        :, None
    ] - 0.5
    places = (TO_RAS @ (view.affine_lps[:3, :3] @ at + view.affine_lps[:3, 3:])).reshape(
        3, *state.array.shape[1:]
    )
    turned = state.turn.to_network(torch.from_numpy(places)).numpy().reshape(3, -1)
    affine = expected.affine.numpy()
    np.testing.assert_allclose(
        turned, affine[:3, :3] @ np.indices(expected.shape[1:]).reshape(3, -1) + affine[:3, 3:], atol=1e-3
    )
