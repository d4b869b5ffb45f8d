"""From the counts of a pair: the table's rows, the plot's curves, and the slices to look at next."""

from __future__ import annotations

from ctseg_imaging.metrics.live import LiveMetrics
from napari_ctseg.docks.compare.measuring import SurfaceDistances
from napari_ctseg.docks.compare.state import DiceCurve, Row, Surface
from napari_ctseg.viewer.pairs import Counted


def table_rows(counted: Counted, surfaces: SurfaceDistances) -> tuple[Row, ...]:
    """A row for each label."""
    names, rows = counted.names, []
    for row in counted.live.table():
        hd95, nsd = surfaces.measured.get(row.value, (None, None))
        fresh = row.value in surfaces.measured and row.value not in surfaces.stale
        rows.append(
            Row(
                row.value,
                names.name(row.value),
                names.colour(row.value),
                row.dice,
                row.volume_pred_ml,
                row.volume_truth_ml,
                hd95,
                nsd,
                Surface.FRESH if fresh else Surface.WAITING,
            )
        )
    return tuple(rows)


def dice_curves(live: LiveMetrics, rows: tuple[Row, ...]) -> tuple[DiceCurve, ...]:
    """The Dice of each row's label in every slice."""
    return tuple(DiceCurve(row.value, row.name, row.colour, live.per_slice(row.value)) for row in rows)


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
