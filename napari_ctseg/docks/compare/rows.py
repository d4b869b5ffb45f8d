"""The rows of the table and the curves of the plot, from the counts of a pair."""

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


def dice_curves(
    live: LiveMetrics, rows: tuple[Row, ...], before: tuple[DiceCurve, ...] = ()
) -> tuple[DiceCurve, ...]:
    """The Dice of each row's label in every slice; the one of `before` where it is still true."""
    known = {(curve.value, curve.name, curve.colour, id(curve.dice)): curve for curve in before}
    curves = (DiceCurve(row.value, row.name, row.colour, live.per_slice(row.value)) for row in rows)
    return tuple(known.get((new.value, new.name, new.colour, id(new.dice)), new) for new in curves)
