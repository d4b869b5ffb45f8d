"""From the viewer's layers to the channels that a model reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.geometry import Match
from ctseg_imaging.volume import Volume, exact
from napari_ctseg.viewer.layers import MADE, channel_volume, volume_of

if TYPE_CHECKING:
    import napari


@dataclass(frozen=True)
class ChannelSource:
    """One channel in the viewer: a three-dimensional layer, or number `channel` of a four-dimensional one."""

    layer: str
    channel: int | None = None


def sources(viewer: napari.viewer.Viewer) -> dict[str, ChannelSource]:
    """What a channel can be read from, by the name a user sees; maps that a model made are left out."""
    found = {}
    for layer in viewer.layers:
        if not hasattr(layer, "contrast_limits") or getattr(layer, "rgb", False) or layer.metadata.get(MADE):
            continue
        if layer.ndim == 3:
            found[layer.name] = ChannelSource(layer.name)
        elif layer.ndim == 4:
            found.update(
                {
                    f"{layer.name} [{number + 1}]": ChannelSource(layer.name, number)
                    for number in range(layer.data.shape[0])
                }
            )
    return found


def read(viewer: napari.viewer.Viewer, source: ChannelSource) -> Volume:
    """The channel as a volume (z, y, x) in its stored voxel order; no copy. Raises GeometryError."""
    layer: Any = viewer.layers[source.layer]
    return (
        exact(volume_of(layer), "be given to a model")
        if source.channel is None
        else channel_volume(layer, source.channel)
    )


def suggested(
    wanted: Sequence[str], images: Sequence[str], image: str | None, kept: Sequence[str] = ()
) -> tuple[str, ...]:
    """One image for each wanted channel, "" where nothing fits.

    What the user chose (`kept`) stays; else images whose names have the channels' names in them; else the
    images in their order from `image` on.
    """
    if image is None or not wanted:
        return ("",) * len(wanted)
    if len(wanted) == 1:
        return (image,)
    if len(kept) == len(wanted) and all(name in images for name in kept):
        return tuple(kept)
    first = list(images).index(image)
    free = [*images[first:], *images[:first]]
    named = {
        number: next((name for name in free if channel.casefold() in name.casefold()), "")
        for number, channel in enumerate(wanted)
    }
    if len({name for name in named.values() if name}) == len(wanted):
        return tuple(named.values())
    return tuple(free[: len(wanted)]) + ("",) * (len(wanted) - len(free))


def fault_of(volumes: Mapping[str, Volume], wanted: Sequence[str], chosen: Sequence[str]) -> str:
    """Why the chosen images cannot be the channels of one case, "" when they can. volumes : by the chosen
    names.
    """
    missing = [channel for channel, name in zip(wanted, chosen, strict=True) if not name]
    if missing:
        return (
            f"The model reads {len(wanted)} images on one grid; also open the one for {', '.join(missing)}."
        )
    first = chosen[0]
    for name in chosen[1:]:
        match = volumes[first].geometry.matches(volumes[name].geometry)
        if match not in (Match.SAME, Match.ROUNDING):
            if match is Match.NO_OVERLAP:
                return (
                    f'"{name}" has no point in common with "{first}"; choose images of the same examination.'
                )
            return (
                f'"{name}" lies on another grid than "{first}"; bring it onto the same grid first '
                "(napari-ctseg convert --like)."
            )
    return ""


def stacked(volumes: Sequence[Volume]) -> Volume:
    """The channels (z, y, x) of one grid as one volume (c, z, y, x); a single one is given back as it is.
    Raises GeometryError.
    """
    if len(volumes) == 1:
        return volumes[0]
    if any(volume.array.shape != volumes[0].array.shape for volume in volumes):
        raise GeometryError("The chosen images have different sizes; choose images on one grid.")
    return replace(volumes[0], array=np.stack([volume.array for volume in volumes]), header=None, notes=())
