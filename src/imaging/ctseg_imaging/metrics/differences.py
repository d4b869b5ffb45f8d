"""Where two label maps differ, voxel by voxel, and the colours that show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

AGREED, EXTRA, MISSED, SWAPPED = 1, 2, 3, 4
# Unlike every colour of PALETTE and every grey of a CT, and unlike each other with each of the three kinds of
# colour blindness. Where both agree, the image is left as it is.
ERROR_COLOURS = {EXTRA: "#FF00FF", MISSED: "#40FF00", SWAPPED: "#0000FF"}
ERROR_WORDS = {EXTRA: "only predicted", MISSED: "missed", SWAPPED: "another label"}
# Code by predicted + 2 true + 4 equal, as `error_codes` adds them up.
_TABLE = np.array([0, EXTRA, MISSED, SWAPPED, 0, 0, 0, AGREED], np.uint8)


def error_codes(
    prediction: NDArray[Any], truth: NDArray[Any], values: Sequence[int] | None = None
) -> NDArray[np.uint8]:
    """Agreement voxel by voxel: 0 where both are background, else AGREED, EXTRA, MISSED or SWAPPED (two
    different labels).

    prediction, truth : integers of one shape. values : the labels that are compared, every other one counts
    as background; None: all.
    """
    if values is not None:
        prediction, truth = (np.where(np.isin(one, values), one, 0) for one in (prediction, truth))
    predicted, true = (np.not_equal(labels, 0).view(np.uint8) for labels in (prediction, truth))
    equal = np.equal(prediction, truth).view(np.uint8)
    codes: NDArray[np.uint8] = _TABLE[predicted + 2 * true + 4 * equal]
    return codes
