"""Width and level of the window, each as a slider and a number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QDoubleSpinBox, QFormLayout, QSlider

from napari_ctseg import parts
from napari_ctseg.docks.window.state import WindowState

if TYPE_CHECKING:
    from napari_ctseg.docks.window.controller import WindowController

STEPS = 1000  # of a slider
NARROWEST = 1e-3  # window width as a share of the volume's range, at the slider's left end
WIDTH = "Window width: the range of values from black to white."
LEVEL = "Window level: the value in the middle of the grey scale."


class WindowSliders(parts.Section):
    """The slider of the width goes by its logarithm, because 80 and 2000 HU are both common."""

    def __init__(self) -> None:
        super().__init__()
        self._state = WindowState()
        self.width_slider, self.width_box = _slider(WIDTH), _number(WIDTH)
        self.level_slider, self.level_box = _slider(LEVEL), _number(LEVEL)
        form = QFormLayout()
        form.addRow("Width", parts.row(self.width_slider, self.width_box))
        form.addRow("Level", parts.row(self.level_slider, self.level_box))
        self.stack(form)

    def connect_to(self, controller: WindowController) -> None:
        """Pass changes on to `controller`."""
        set_window = controller.set_window
        self.width_slider.valueChanged.connect(lambda at: set_window(self._width_at(at), self._state.level))
        self.level_slider.valueChanged.connect(lambda at: set_window(self._state.width, self._level_at(at)))
        self.width_box.valueChanged.connect(lambda width: set_window(width, self._state.level))
        self.level_box.valueChanged.connect(lambda level: set_window(self._state.width, level))

    def draw(self, state: WindowState) -> None:
        """Show width and level."""
        self._state = state
        decimals = 0 if state.unit == "HU" or state.highest - state.lowest > 200 else 3
        for slider, box, at, value in (
            (self.width_slider, self.width_box, self._at_width(state.width), state.width),
            (self.level_slider, self.level_box, self._at_level(state.level), state.level),
        ):
            with QSignalBlocker(slider), QSignalBlocker(box):
                slider.setValue(at)
                box.setDecimals(decimals)
                box.setSingleStep(10.0**-decimals * (10 if decimals == 0 else 1))
                box.setValue(value)
            slider.setEnabled(state.image is not None)
            box.setEnabled(state.image is not None)

    def _span(self) -> float:
        return max(self._state.highest - self._state.lowest, 1e-6)

    def _width_at(self, at: int) -> float:
        return self._rounded(self._span() * NARROWEST ** (1 - at / STEPS))

    def _at_width(self, width: float) -> int:
        share = max(width, 1e-9) / self._span()
        return round(STEPS * (1 - math.log(share) / math.log(NARROWEST)))

    def _level_at(self, at: int) -> float:
        return self._rounded(self._state.lowest + self._span() * at / STEPS)

    def _at_level(self, level: float) -> int:
        return round(STEPS * (level - self._state.lowest) / self._span())

    def _rounded(self, value: float) -> float:
        return float(round(value)) if self.width_box.decimals() == 0 else value


def _slider(tip: str) -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(0, STEPS)
    slider.setToolTip(tip)
    return slider


def _number(tip: str) -> QDoubleSpinBox:
    box = parts.number(tip, -1e6, 1e6, 1, "")
    box.setMaximumWidth(90)
    return box
