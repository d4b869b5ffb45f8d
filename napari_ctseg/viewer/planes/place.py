"""Where the three planes cross: the viewer's `dims.point`, which napari also keeps for the axes shown."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from napari_ctseg.viewer.orientation import AXIAL, CORONAL, SAGITTAL


def slice_axis(model: Any) -> int:
    """The spatial axis (0 z, 1 y, 2 x) across the plane that is shown; 0 where it shows another."""
    lead = model.dims.ndim - 3
    return max(0, model.dims.order[-3] - lead) if lead >= 0 else 0


def order_for(axis: int, ndim: int) -> tuple[int, ...]:
    """napari's order of `ndim` axes that shows the plane across spatial `axis`."""
    lead = ndim - 3
    return (*range(lead), *(lead + a for a in (AXIAL, CORONAL, SAGITTAL)[axis]))


def on_voxel(model: Any, point: Sequence[float]) -> tuple[float, ...]:
    """The nearest point of the viewer's sliders, within them."""
    return tuple(
        float(np.clip(start + round((value - start) / step) * step, start, stop))
        for value, (start, stop, step) in zip(point, model.dims.range, strict=True)
    )


def go_to(model: Any, position: Sequence[float]) -> None:
    """Move the crosshair to a world position."""
    if len(position) != model.dims.ndim or (point := on_voxel(model, position)) == model.dims.point:
        return
    stays = all(point[axis] == model.dims.point[axis] for axis in model.dims.not_displayed)
    with ExitStack() as kept:
        if stays:  # napari would slice all layers again for the axes that it shows anyway
            for event in (model.dims.events.point, model.dims.events.current_step):
                kept.enter_context(event.blocker(model._update_layers))
        model.dims.point = point
