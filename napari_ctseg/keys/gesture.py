"""What the table of keys consists of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Group(StrEnum):
    """The headings of the list of keys, in its order."""

    VIEWER = "Viewer"
    MOUSE = "Radiology mouse"
    WINDOW = "Window"
    RUN = "Run model"
    COMPARE = "Compare"
    MEASURE = "Measure"
    CORRECT = "Correct & export"
    LISTS = "Lists"
    NAPARI = "napari"


class Place(StrEnum):
    """Where a key is pressed. Keys of one place are all available at the same time, together with those of
    the window.
    """

    WINDOW = "anywhere in the window"
    IMAGE = "an image layer is selected"
    MEASUREMENTS = "the layer of measurements is selected"
    STROKES = "the layer of strokes is selected"
    ROWS = "a row of the table of measurements is selected"
    SERIES = "in the list of series"
    LABELS = "a labels layer is selected"


@dataclass(frozen=True)
class Gesture:
    """One action.

    keys : those that do it, as in "Shift+N"; none for a mouse gesture. does : what happens. group : the
    heading, where the dock has to be open. place : where it is pressed. instead_of : what the
    key does there without the plugin, "" for nothing. shown : what stands for the keys; "" for their names.
    """

    keys: tuple[str, ...]
    does: str
    group: Group
    place: Place = Place.WINDOW
    instead_of: str = ""
    shown: str = ""

    @property
    def name(self) -> str:
        """The keys as they are shown."""
        return self.shown or " or ".join(self.keys)
