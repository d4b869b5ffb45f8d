"""What the Window dock shows: values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ctseg_imaging.volume import Window


class WindowKind(StrEnum):
    """Where a window comes from; the dock shows them in this order."""

    FILE = "From the file"
    PRESET = "Presets"
    QUANTILE = "By quantiles of the volume"
    OWN = "Your own"


@dataclass(frozen=True)
class Preset:
    """A window to click. key : "1" to "9", or "" for none."""

    window: Window
    kind: WindowKind
    key: str = ""

    @property
    def name(self) -> str:
        """The window's name, unique within its kind."""
        return self.window.name


@dataclass(frozen=True)
class WindowState:
    """image : the layer's name, None when no image is there. unit : "HU" or "". lowest, highest : values of
    the volume. current : (kind, name) of the preset in force, None when the sliders say something else.
    """

    image: str | None = None
    unit: str = "HU"
    presets: tuple[Preset, ...] = ()
    width: float = 400.0
    level: float = 50.0
    lowest: float = -1024.0
    highest: float = 3071.0
    current: tuple[WindowKind, str] | None = None
    all_images: bool = False
    number_keys: bool = True
    radiology_mouse: bool = False
    message: str = ""

    def of(self, kind: WindowKind) -> tuple[Preset, ...]:
        """The presets of one kind."""
        return tuple(preset for preset in self.presets if preset.kind is kind)
