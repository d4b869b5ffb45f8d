"""The windows offered for an image (the file's, CT presets, quantiles), and the number keys."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.volume import Volume
from ctseg_imaging.windowing import PRESETS, is_hu, quantile_windows
from napari_ctseg.docks.window.state import Preset, WindowKind
from napari_ctseg.keys.table import NUMBERS
from napari_ctseg.viewer.layers import volume_of

if TYPE_CHECKING:
    from napari.layers import Image

Presets = tuple[Preset, ...]


def presets_for(layer: Image) -> tuple[bool, Presets]:
    """Whether the layer's values are HU, and the windows to offer for it."""
    try:
        volume: Volume = volume_of(layer)
    except CtsegError:  # rotated or sheared by hand; its values still allow quantile windows
        return False, _quantiles(np.asarray(layer.data))
    hu = is_hu(volume)
    own = [Preset(window, WindowKind.FILE) for window in volume.windows]
    known = (
        [Preset(window, WindowKind.PRESET, key) for window, key in zip(PRESETS, NUMBERS, strict=True)]
        if hu
        else []
    )
    return hu, (*own, *known, *_quantiles(volume.array))


def _quantiles(array: Any) -> Presets:
    return tuple(Preset(window, WindowKind.QUANTILE) for window in quantile_windows(array))


def with_keys(presets: Presets) -> Presets:
    """`presets` with one preset a number key: the user's own come first; without CT presets the free keys are
    given out in order.
    """
    if not any(preset.kind is WindowKind.PRESET for preset in presets):
        free = iter([key for key in NUMBERS if key not in {p.key for p in presets}])
        return tuple(
            preset if preset.key or preset.kind is WindowKind.OWN else replace(preset, key=next(free, ""))
            for preset in presets
        )
    taken = {preset.key for preset in presets if preset.kind is WindowKind.OWN and preset.key}
    return tuple(
        replace(p, key="") if p.kind is not WindowKind.OWN and p.key in taken else p for p in presets
    )


def preset_in_force(
    presets: Presets, last: tuple[WindowKind, str] | None, low: float, high: float
) -> tuple[WindowKind, str] | None:
    """The preset whose limits these are; if several match, the last one chosen."""
    fitting = [
        (p.kind, p.name)
        for p in presets
        if np.allclose(p.window.limits, (low, high), atol=max(1e-6, 1e-4 * (high - low)))
    ]
    return last if last in fitting else fitting[0] if fitting else None
