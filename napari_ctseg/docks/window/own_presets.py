"""The user's own windows: kept, renamed, given a key, removed, and stored in the preferences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ctseg_imaging.volume import Window
from napari_ctseg.docks.window.presets import Presets
from napari_ctseg.docks.window.state import Preset, WindowKind
from napari_ctseg.keys.table import NUMBERS


def from_settings(kept: list[Any]) -> Presets:
    """Read from the preferences; entries that are not presets are left out."""
    found = []
    for entry in kept:
        if isinstance(entry, dict) and {"name", "width", "level"} <= set(entry):
            key = str(entry.get("key", ""))
            window = Window(str(entry["name"]), float(entry["width"]), float(entry["level"]))
            found.append(Preset(window, WindowKind.OWN, key if key in NUMBERS else ""))
    return tuple(found)


def as_settings(own: Presets) -> list[dict[str, Any]]:
    """The presets as JSON."""
    return [{"name": p.name, "width": p.window.width, "level": p.window.level, "key": p.key} for p in own]


def with_preset(own: Presets, new: Preset) -> Presets:
    """Add `new` in place of the preset with its name; another preset with its key loses the key."""
    kept = [preset for preset in own if preset.name != new.name]
    others = [preset for preset in kept if not new.key or preset.key != new.key]
    cleared = [replace(preset, key="") for preset in kept if new.key and preset.key == new.key]
    return (*others, *cleared, new)


def renamed(own: Presets, name: str, new: str) -> Presets:
    """Give the preset `name` the name `new`."""
    return tuple(replace(p, window=replace(p.window, name=new)) if p.name == name else p for p in own)


def with_key(own: Presets, name: str, key: str) -> Presets:
    """Give a preset a number key ("" for none); the preset that had the key loses it."""
    return tuple(replace(p, key=key if p.name == name else "" if p.key == key else p.key) for p in own)


def without(own: Presets, name: str) -> Presets:
    """Remove a preset."""
    return tuple(preset for preset in own if preset.name != name)
