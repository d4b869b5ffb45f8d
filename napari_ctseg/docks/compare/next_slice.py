"""Which slice to look at next: the next-worst one, or one in which the prediction misses a label."""

from __future__ import annotations

import numpy as np

from ctseg_imaging.metrics.live import LiveMetrics
from napari_ctseg.docks.compare.state import WorseBy


def next_worse_slice(live: LiveMetrics, focus: int | None, here: int, by: WorseBy) -> int | None:
    """The slice that is next better than slice `here`; the worst one from a slice that is not in the order
    and after the best. None if there is none. focus : the label that counts, None: all.
    """
    worst = (
        live.worst_slices(None if focus is None else (focus,))
        if by is WorseBy.DICE
        else wrong_slices(live, focus)
    )
    if not worst:
        return None
    following = worst.index(here) + 1 if here in worst else 0
    return worst[following % len(worst)]


def wrong_slices(live: LiveMetrics, focus: int | None) -> list[int]:
    """Slices with wrong voxels, from the most to the fewest; ties by position."""
    histogram = live.histogram
    wrong = histogram.per_slice_wrong() if focus is None else np.add(*histogram.per_slice_false(focus))
    order = np.argsort(-wrong, kind="stable")
    return [int(k) for k in order if wrong[k] > 0]


def next_missed_slice(live: LiveMetrics, focus: int | None, here: int) -> tuple[int, int] | None:
    """(slice, label): the next slice above `here`, then from the lowest on, in which the truth has a label
    and the prediction does not. None if there is none.
    """
    values = live.values if focus is None else (focus,)
    missed = {k: value for value in reversed(values) for k in live.missed_slices(value)}
    if not missed:
        return None
    index = min(missed, key=lambda k: (k <= here, k))
    return index, missed[index]
