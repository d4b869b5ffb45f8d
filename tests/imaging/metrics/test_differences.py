"""Codes by hand, and colours measured by scikit-image's CIEDE2000 with simulated colour blindness."""

import itertools

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from ctseg_imaging.metrics.differences import AGREED, ERROR_COLOURS, EXTRA, MISSED, SWAPPED, error_codes
from ctseg_imaging.volume import PALETTE

# Machado et al. 2009, doi:10.1109/TVCG.2009.113, table of severity 1.0: linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(colours, vision="normal"):
    """(n, 3) CIELAB of hex colours as somebody with this vision sees them."""
    srgb = np.array([[int(one[k : k + 2], 16) / 255 for k in (1, 3, 5)] for one in colours])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(VISION[vision]).T, 0, 1)
    return rgb2lab(np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055))


def test_error_codes_by_hand():
    prediction, truth = np.array([0, 1, 0, 1, 2]), np.array([0, 1, 1, 0, 1])
    assert error_codes(prediction, truth).tolist() == [0, AGREED, MISSED, EXTRA, SWAPPED]
    assert error_codes(prediction, truth, (1,)).tolist() == [0, AGREED, MISSED, EXTRA, MISSED]
    # label 2 is not compared: in place of 1 it means a missed 1, elsewhere nothing is wrong
    assert error_codes(np.array([2, 2, 0]), np.array([0, 1, 2]), (1, 3)).tolist() == [0, MISSED, 0]
    assert error_codes(prediction.astype(np.uint8), truth).dtype == np.uint8


@pytest.mark.parametrize("vision", VISION)
def test_errors_are_told_apart_by_every_reader(vision):
    seen = lab(ERROR_COLOURS.values(), vision)
    assert min(deltaE_ciede2000(a, b) for a, b in itertools.combinations(seen, 2)) > 12


def test_no_label_and_no_grey_has_a_colour_of_an_error():
    greys = [f"#{grey:02X}{grey:02X}{grey:02X}" for grey in range(256)]
    for others in (PALETTE, greys):
        distances = deltaE_ciede2000(lab(ERROR_COLOURS.values())[:, None], lab(others)[None])
        assert distances.min() > 18
