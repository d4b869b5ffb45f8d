"""The rows of the dock's tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ctseg_imaging.measurements import DrawnShape, LabelValues, ShapeValues
from ctseg_imaging.volume import Labels, slice_number
from napari_ctseg.docks.measure import words
from napari_ctseg.docks.measure.measured_image import MeasuredImage
from napari_ctseg.docks.measure.state import LabelRow, ShapeRow
from napari_ctseg.viewer.layers import source_of

if TYPE_CHECKING:
    from napari.layers import Labels as LabelsLayer

SAME = 1e-6  # relative; values that differ by less were measured on the same voxels


def shape_row(shape: DrawnShape, image: MeasuredImage) -> ShapeRow:
    """Measure a shape on an image."""
    values = image.measure(shape)
    return ShapeRow(
        shape.kind,
        f"{words.PLANES[shape.axis]} {slice_number(shape.index)}",
        words.size(values),
        words.mean(values, image.unit),
        words.on_canvas(values, image.unit),
        words.in_full(shape, values, image.unit),
    )


def label_rows(mask: LabelsLayer | None, values: Iterable[LabelValues], unit: str) -> tuple[LabelRow, ...]:
    """One row a label, with its colour."""
    if mask is None:
        return ()
    source = source_of(mask)
    labels = source.labels if source is not None and source.labels is not None else Labels()
    return tuple(
        LabelRow(
            one.value,
            one.name,
            labels.colour(one.value),
            f"{words.number(one.volume_ml, 1 if one.volume_ml >= 9.95 else 2)} ml",
            words.mean_and_sd(one.mean, one.sd, unit),
        )
        for one in values
    )


def differing(kept: Sequence[ShapeValues], again: Sequence[ShapeValues]) -> str:
    """What to say about measurements that were opened: how many, and whether the image gives other values."""
    other = sum(not _same(a, b) for a, b in zip(kept, again, strict=True))
    opened = f"Opened: {len(kept)} measurement{'s' * (len(kept) != 1)}."
    if not other:
        return opened
    return f"{opened} {other} of them had other values in the file; they were measured again on this image."


def _same(kept: ShapeValues, again: ShapeValues) -> bool:
    pairs = zip(vars(kept).values(), vars(again).values(), strict=True)
    return all(
        (a is None) == (b is None) and (a is None or math.isclose(a, b, rel_tol=SAME, abs_tol=SAME))
        for a, b in pairs
    )
