"""The classes of a mask: their names, their numbers, and new ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.metrics.live import LiveMetrics
from ctseg_imaging.volume import Label, Labels
from napari_ctseg.docks.correct.state import ClassRow
from napari_ctseg.viewer.layers import KEY, colours_of, source_of
from napari_ctseg.viewer.pairs import occurring
from napari_ctseg.viewer.review import Mark

if TYPE_CHECKING:
    from napari.layers import Labels as LabelsLayer


def labels_in(layer: LabelsLayer, live: LiveMetrics | None) -> Labels:
    """The layer's labels, with made-up names for other values that were painted. live : with the layer as
    its prediction.
    """
    source = source_of(layer)
    known = source.labels if source is not None and source.labels is not None else Labels()
    painted = [] if live is None else [row.value for row in live.table() if row.volume_pred_ml > 0]
    return Labels(
        (*known, *(Label(value, f"label {value}") for value in painted if value not in known.values))
    )


def add_class(layer: LabelsLayer, name: str, live: LiveMetrics | None, truth: Labels | None = None) -> None:
    """A class with a value of its own, chosen to be painted: the next one, or the first free one once the
    highest is taken.

    truth : the reference's classes. A class of the same name gets the same value if that is free here, so
    that the two are compared; any other one gets a value that the reference does not use. A mask whose values
    are all taken is stored as uint16 from then on. Raises CtsegError for a mask without a place in the
    patient, and where even 65535 classes are there.
    """
    source, labels = source_of(layer), labels_in(layer, live)
    if source is None:
        raise CtsegError("This mask has no patient coordinates; start a new mask from the image.")
    taken = {0, *labels.values, *(value for plane in layer.data for value in occurring(plane))}
    theirs = {} if truth is None else {label.name.casefold(): label.value for label in truth}
    wanted, highest = theirs.get(name.casefold()), int(np.iinfo(layer.data.dtype).max)
    if wanted is not None and wanted not in taken and wanted <= highest:
        value: int | None = wanted
    else:
        value = free_value(taken | set(theirs.values()), highest) or free_value(taken, highest)
    if value is None:
        value = free_value(taken, int(np.iinfo(np.uint16).max))
        if value is None:
            raise CtsegError("This mask has no free value for another class; start a new mask.")
        layer.data = layer.data.astype(np.uint16)  # in its memory order, so its stored order stays a view
    set_labels(layer, Labels((*labels, Label(value, name))))
    layer.selected_label = value


def set_labels(layer: LabelsLayer, labels: Labels) -> None:
    """Give the layer these classes, with their colours. It is one that has a source."""
    source = source_of(layer)
    assert source is not None, "the callers look"
    layer.metadata[KEY] = replace(source, labels=labels)
    layer.colormap = colours_of(labels)
    layer.features = {"index": [0, *labels.values], "name": ["background", *(label.name for label in labels)]}


def free_value(taken: Collection[int], highest: int) -> int | None:
    """The value after the highest one taken, or the first free one from 1; None if all up to `highest` are
    taken.
    """
    following = max(taken, default=0) + 1
    if following <= highest:
        return following
    return next((value for value in range(1, highest + 1) if value not in taken), None)


def class_rows(
    labels: Labels,
    locked: Collection[int],
    live: LiveMetrics | None,
    here: int | None,
    marks: Mapping[int, Mark],
) -> tuple[ClassRow, ...]:
    """One row a class. here : the slice of the truth that is shown, None without a truth. marks : of the
    review, by value.
    """
    table = {} if live is None else {row.value: row for row in live.table()}
    rows = []
    for label in labels:
        row = table.get(label.value)
        judged = live is not None and row is not None and here is not None
        in_slice = float(live.per_slice(label.value)[here]) if judged else None  # type: ignore[union-attr]
        rows.append(
            ClassRow(
                label.value,
                label.name,
                label.colour,
                label.value in locked,
                0.0 if row is None else row.volume_pred_ml,
                row.dice if judged and row is not None else None,
                in_slice,
                marks.get(label.value),
            )
        )
    return tuple(rows)
