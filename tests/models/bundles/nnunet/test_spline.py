"""Resizing against scikit-image and scipy, which nnU-Net calls, on three unequal sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from skimage.transform import resize as skimage_resize

from ctseg_imaging.progress import finish
from ctseg_models.bundles.nnunet.spline import nearest_slices, resize, separate_axis

RNG = np.random.default_rng(5)
VOLUME = RNG.normal(0, 1, (7, 12, 17)).astype(np.float32)


def resized(volume: np.ndarray, shape: tuple[int, int, int], order: int, axis: int | None) -> np.ndarray:
    out = torch.full(shape, float("nan"))
    slices = np.moveaxis(volume, axis or 0, 0)
    finish(resize(lambda i: np.ascontiguousarray(slices[i]), volume.shape, out, order=order, axis=axis))
    return out.numpy()


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("shape", [(5, 20, 17), (7, 9, 40), (11, 12, 8), (1, 30, 30)])
def test_all_axes_alike(shape: tuple[int, int, int], order: int) -> None:
    expected = skimage_resize(VOLUME.astype(float), shape, order, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(resized(VOLUME, shape, order, None), expected, atol=3e-6)


def test_splines_do_not_overshoot() -> None:
    step = np.zeros((6, 6, 9), np.float32)
    step[:, :, 4:] = 1
    fine = resized(step, (6, 6, 40), 3, None)
    assert fine.min() == 0 and fine.max() == 1


@pytest.mark.parametrize(
    ("axis", "shape"), [(0, (4, 20, 9)), (1, (9, 24, 17)), (2, (7, 12, 5)), (0, (7, 10, 30))]
)
def test_one_axis_apart(axis: int, shape: tuple[int, int, int]) -> None:
    plane = [n for number, n in enumerate(shape) if number != axis]
    planes = [
        skimage_resize(one.astype(float), plane, 3, mode="edge", anti_aliasing=False)
        for one in np.moveaxis(VOLUME, axis, 0)
    ]
    stack = np.stack(planes, axis)
    where = np.mgrid[tuple(slice(n) for n in shape)].astype(float)
    where[axis] = stack.shape[axis] / shape[axis] * (where[axis] + 0.5) - 0.5
    expected = map_coordinates(stack, where, order=0, mode="nearest")
    np.testing.assert_allclose(resized(VOLUME, shape, 3, axis), expected, atol=3e-6)


@pytest.mark.parametrize(("n_in", "n_out"), [(8, 4), (12, 4), (9, 5), (5, 13), (6, 6), (4, 8), (3, 1)])
def test_ties_follow_the_axis_of_the_network(n_in: int, n_out: int) -> None:
    ahead = map_coordinates(
        np.arange(n_in, dtype=float), [n_in / n_out * (np.arange(n_out) + 0.5) - 0.5], order=0, mode="nearest"
    )
    assert nearest_slices(n_in, n_out) == ahead.astype(int).tolist()
    assert nearest_slices(n_in, n_out, backwards=True) == (n_in - 1 - ahead[::-1]).astype(int).tolist()


def test_which_axis_goes_apart() -> None:
    assert separate_axis((6.0, 1.8, 1.8), (5.0, 1.2, 1.2)) == 0
    assert separate_axis((2.0, 6.2, 2.0), (9.0, 1.0, 1.0)) == 1  # the current spacing is asked first
    assert separate_axis((2.0, 2.0, 2.0), (1.0, 1.0, 3.1)) == 2
    assert separate_axis((3.0, 1.0, 2.0), (1.0, 1.0, 1.0)) is None  # three times is not more than three times
    assert (
        separate_axis((4.0, 4.0, 1.0), (1.0, 1.0, 9.0)) is None
    )  # two coarsest axes: decided by the current spacing alone
    assert separate_axis((4.0, 1.0, 1.0), (1.0, 1.0, 1.0), force=False) is None
    assert separate_axis((1.2, 1.0, 1.0), (1.0, 1.0, 5.0), force=True) == 0
