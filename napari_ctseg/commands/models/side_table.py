"""A side file as a table, as `napari-ctseg bundle show` prints it for a TorchScript or ONNX network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctseg_models.bundles.single_file.side_fields import Channel, SideFile

GAP = "  "


def side_table(side: SideFile) -> list[str]:
    """Lines: the network's input, one row a channel, one row a class of its output."""
    output = side.output
    classes = [
        (str(number), "" if value is None else str(value), side.labels.get(value or 0, "background"))
        for number, value in enumerate(output.classes)
    ]
    channels = [
        (str(number), channel.name, str(channel.source), channel.normalise, _clipped(channel), _more(channel))
        for number, channel in enumerate(side.channels, 1)
    ]
    return [
        f"{'input':<12}{_grid(side)}, axes {side.orientation}, layout {side.layout}, {side.interpolation}",
        *(
            [f"{'windows':<12}{_sides(side.patch)}, overlap {side.overlap:g}, {side.weights}"]
            if side.patch
            else []
        ),
        "",
        *_rows(("channel", "name", "source", "normalise", "intensities", ""), channels),
        "",
        *_rows(("class", "label", "name"), classes),
        "",
        f"{'output':<12}{output.kind}, {'one class a voxel' if output.exclusive else 'one sigmoid a class'}",
    ]


def _grid(side: SideFile) -> str:
    if side.spacing is not None:
        return f"{' x '.join('as is' if one is None else f'{one:g}' for one in side.spacing)} mm"
    return f"resized to {_sides(side.size or ())} voxels"


def _sides(sides: Sequence[int | None]) -> str:
    return " x ".join("as is" if one is None else str(one) for one in sides)


def _clipped(channel: Channel) -> str:
    if channel.clip is not None:
        return f"clip {channel.clip[0]:g} to {channel.clip[1]:g}"
    if channel.clip_quantiles is not None:
        return f"clip quantiles {channel.clip_quantiles[0]:g} to {channel.clip_quantiles[1]:g}"
    return "as they are"


def _more(channel: Channel) -> str:
    """What differs from the defaults."""
    shown = []
    if channel.normalise == "fixed":
        shown.append(f"(v - {channel.shift:g}) / {channel.scale:g}")
    if channel.normalise in ("range", "minmax") and channel.to != (0.0, 1.0):
        shown.append(f"to {channel.to[0]:g} .. {channel.to[1]:g}")
    if channel.slice:
        shown.append(f"slice {channel.slice:+d}")
    if channel.statistics != "volume":
        shown.append(f"statistics of the {channel.statistics}")
    return ", ".join(shown)


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their longest cell."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return [
        GAP.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
