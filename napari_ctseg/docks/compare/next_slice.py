"""Which slice to look at next: the next-worst one, or one in which the prediction misses a label."""

from __future__ import annotations

from ctseg_imaging.metrics.live import LiveMetrics


def next_worse_slice(live: LiveMetrics, focus: int | None, here: int) -> int | None:
    """The slice with the next higher Dice than slice `here`; the worst one from a slice without labels and
    after the best. None if no slice has a label.
    """
    worst = live.worst_slices(None if focus is None else (focus,))
    if not worst:
        return None
    following = worst.index(here) + 1 if here in worst else 0
    return worst[following % len(worst)]


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
