"""A MONAI bundle's metadata.json: names of labels and channels, how many of each, modality."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles.monai.config.components import Component

MODALITIES = {"CT": "CT", "MR": "MR", "MRI": "MR", "PT": "PT", "PET": "PT"}
MOST_MAPS = 1024
LONGEST_NAME = 200
BACKGROUND = "background"


@dataclass(frozen=True)
class Facts:
    """What the metadata tells.

    values : the label value of each output channel, 0 for the background. exclusive : whether the classes
    exclude each other.
    """

    name: str
    version: str
    description: str
    modality: str
    image_key: str
    channel_names: tuple[str, ...]
    output_names: tuple[str, ...]
    exclusive: bool

    @property
    def channels(self) -> int:
        """The number of input channels."""
        return len(self.channel_names)

    @property
    def values(self) -> tuple[int, ...]:
        """The label value of each output channel, by default.

        Channel k is label k where classes exclude each other (as argmax writes it), and k + 1 where every
        channel is a region.
        """
        if self.exclusive:
            return tuple(range(len(self.output_names)))
        return tuple(0 if name.lower() == BACKGROUND else k + 1 for k, name in enumerate(self.output_names))

    @property
    def painting(self) -> tuple[int, ...]:
        """The order in which regions are painted: "whole ..." first, as it must not cover its parts."""
        return tuple(
            sorted(
                range(len(self.output_names)),
                key=lambda k: not self.output_names[k].lower().startswith("whole"),
            )
        )

    @property
    def label_names(self) -> dict[int, str]:
        """{value: name} without the background."""
        return {value: name for value, name in zip(self.values, self.output_names, strict=True) if value}


def facts_of(folder: Path, metadata: Any, network: Any, *, exclusive: bool) -> Facts:
    """From metadata.json and the config's network. Raises BundleError without a number of outputs."""
    path = folder / "configs/metadata.json"
    if not isinstance(metadata, dict):
        raise BundleError(f"{path}: holds no named entries; get the bundle again.")
    arguments = network.arguments if isinstance(network, Component) else {}
    formats = metadata.get("network_data_format")
    formats = formats if isinstance(formats, dict) else {}
    image_key, image = _only(formats.get("inputs"), "image")
    _, pred = _only(formats.get("outputs"), "pred")
    outputs = _count(arguments.get("out_channels"), pred.get("num_channels"), pred.get("channel_def"))
    inputs = _count(arguments.get("in_channels"), image.get("num_channels"), image.get("channel_def"))
    if not outputs or not inputs:
        raise BundleError(
            f"{path}: does not say how many channels the network takes and gives (network_data_format); get "
            "it again."
        )
    modality = MODALITIES.get(
        str(image.get("modality", "")).upper(), "CT" if image.get("format") == "hounsfield" else ""
    )
    name = _text(metadata.get("name")) or folder.resolve().name
    if "/" in name or "\\" in name or name.startswith("."):
        raise BundleError(
            f'{path}: the name "{name[:60]}" reads like a path, so the bundle is refused; get it from its '
            "author."
        )
    facts = Facts(
        name,
        _text(metadata.get("version")),
        _text(metadata.get("description")),
        modality,
        image_key,
        _names(image.get("channel_def"), inputs, "channel"),
        _classes(pred.get("channel_def"), outputs, exclusive),
        exclusive,
    )
    if not facts.label_names:
        raise BundleError(
            f"{path}: names no class besides the background, so there is nothing to segment; get the bundle "
            "from its author."
        )
    return facts


def _only(entries: Any, usual: str) -> tuple[str, dict[str, Any]]:
    """The entry of the usual name, or the first one."""
    if not isinstance(entries, dict) or not entries:
        return usual, {}
    name = usual if usual in entries else str(next(iter(entries)))
    entry = entries.get(name)
    return name, entry if isinstance(entry, dict) else {}


def _count(*numbers: Any) -> int:
    for one in numbers:
        if isinstance(one, int) and not isinstance(one, bool) and 0 < one <= MOST_MAPS:
            return one
        if isinstance(one, dict) and 0 < len(one) <= MOST_MAPS:
            return len(one)
    return 0


def _named(definition: Any) -> dict[str, str]:
    return {str(k): _text(name) for k, name in definition.items()} if isinstance(definition, dict) else {}


def _names(definition: Any, count: int, usual: str) -> tuple[str, ...]:
    named = _named(definition)
    return tuple(named.get(str(k)) or f"{usual} {k}" for k in range(count))


def _classes(definition: Any, count: int, exclusive: bool) -> tuple[str, ...]:
    """Names of the outputs.

    Of classes that exclude each other the first one is the background; a sigmoid has none, so a single one is
    the label that is named besides the background.
    """
    named = _named(definition)
    if exclusive:
        return _names({"0": BACKGROUND, **{k: name for k, name in named.items() if name}}, count, "class")
    foreground = [name for name in named.values() if name and name.lower() != BACKGROUND]
    if count == 1 and len(foreground) == 1:
        return (foreground[0],)
    return tuple(named.get(str(k)) or f"class {k + 1}" for k in range(count))


def _text(value: Any) -> str:
    return " ".join(str(value).split())[:LONGEST_NAME] if isinstance(value, str | int | float) else ""
