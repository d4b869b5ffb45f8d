"""The classes of a mask: what they are called, how they stand, and new ones."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.metrics.live import LiveMetrics
from ctseg_imaging.volume import Label, Labels
from napari_ctseg.docks.correct.state import ClassRow
from napari_ctseg.layers import KEY, colours_of, source_of

if TYPE_CHECKING:
    from napari.layers import Labels as LabelsLayer


def labels_in(layer: LabelsLayer, live: LiveMetrics | None) -> Labels:
    """The layer's labels, and names made up for what was painted beyond them. live : has the layer as its prediction."""
    source = source_of(layer)
    known = source.labels if source is not None and source.labels is not None else Labels()
    painted = [] if live is None else [row.value for row in live.table() if row.volume_pred_ml > 0]
    return Labels((*known, *(Label(value, f"label {value}") for value in painted if value not in known.values)))


def add_class(layer: LabelsLayer, name: str, live: LiveMetrics | None) -> None:
    """A class with the next free value, chosen to be painted. Raises CtsegError when the voxels' type has no room for it."""
    source, labels = source_of(layer), labels_in(layer, live)
    value = max(labels.values, default=0) + 1
    if value > np.iinfo(layer.data.dtype).max:
        raise CtsegError(f"This mask has no room for more than {value - 1} classes; begin another one.")
    if source is None:
        raise CtsegError("This mask has no place in the patient; begin one on the image instead.")
    labels = Labels((*labels, Label(value, name)))
    layer.metadata[KEY] = replace(source, labels=labels)
    layer.colormap = colours_of(labels)
    layer.features = {"index": [0, *labels.values], "name": ["background", *(label.name for label in labels)]}
    layer.selected_label = value


def class_rows(labels: Labels, locked: Collection[int], live: LiveMetrics | None, here: int | None) -> tuple[ClassRow, ...]:
    """One row a class. here : the slice of the truth that is shown, None where there is no truth."""
    table = {} if live is None else {row.value: row for row in live.table()}
    rows = []
    for label in labels:
        row = table.get(label.value)
        judged = live is not None and row is not None and here is not None
        in_slice = float(live.per_slice(label.value)[here]) if judged else None  # type: ignore[union-attr]
        rows.append(ClassRow(label.value, label.name, label.colour, label.value in locked, 0.0 if row is None else row.volume_pred_ml,
                             row.dice if judged and row is not None else None, in_slice))
    return tuple(rows)
