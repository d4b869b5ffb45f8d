"""The Window dock in Qt: draws the state, hands clicks to the controller."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QFormLayout,
    QGridLayout,
    QInputDialog,
    QLabel,
    QLayout,
    QLineEdit,
    QMenu,
    QPushButton,
    QSizePolicy,
    QSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_ctseg import parts
from napari_ctseg.docks.window.controller import WindowController
from napari_ctseg.docks.window.presets import KEYS
from napari_ctseg.docks.window.state import Preset, WindowKind, WindowState
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer import orientation

if TYPE_CHECKING:
    import napari

STEPS = 1000  # of a slider
NARROWEST = 1e-3  # window width as a share of the volume's range, at the slider's left end


class WindowDock(parts.Dock):
    """Presets in two columns, width and level, the user's own presets, planes and toggles."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._drawn: tuple[Preset, ...] | None = None
        self._buttons: dict[tuple[WindowKind, str], QPushButton] = {}
        self._state = WindowState()
        self._build(viewer)
        orientation.attach(viewer)
        self.controller = WindowController(self, viewer, Preferences())
        self._connect()

    # ---- building

    def _build(self, viewer: napari.viewer.Viewer) -> None:
        self.title = QLabel()
        self.title.setWordWrap(True)
        self.sample = QPushButton("Open the phantom CT")
        self.sample.setToolTip("Opens the sample CT, as File > Open Sample does.")
        self.sample.clicked.connect(lambda: viewer.open_sample("napari-ctseg", "phantom"))
        self.presets = QVBoxLayout()
        self.presets.setSpacing(2)
        self.width, self.width_box = (
            _slider(),
            _number("Window width: the range of values from black to white."),
        )
        self.level, self.level_box = (
            _slider(),
            _number("Window level: the value in the middle of the grey scale."),
        )
        self.width.setToolTip(self.width_box.toolTip())
        self.level.setToolTip(self.level_box.toolTip())
        form = QFormLayout()
        form.addRow("Width", parts.row(self.width, self.width_box))
        form.addRow("Level", parts.row(self.level, self.level_box))
        self.own_name = QLineEdit()
        self.own_name.setPlaceholderText("name of this window")
        self.own_name.setToolTip(
            "Type a name and press Enter to save width and level as a preset of your own."
        )
        self.keep = QPushButton("Save")
        self.keep.setToolTip("Saves width and level under this name, for this and later sessions.")
        self.all_images = QCheckBox("Apply to all images")
        self.all_images.setToolTip(
            "Applies the window to every open image of the same kind, not only to the one above."
        )
        self.number_keys = QCheckBox("Number keys 1–9")
        self.number_keys.setToolTip(
            "While an image is selected and the canvas has the focus, 1 to 9 set the window (1 and 2 then no "
            "longer switch napari's pan and transform modes). On labels and shapes the numbers stay "
            "napari's. Alt+1 to Alt+9 always work."
        )
        self.mouse = QCheckBox("Radiology mouse")
        self.mouse.setToolTip(
            "Drag with the right button: left and right change the width, up and down the level. Off, the "
            "right button zooms as napari does."
        )
        self.message = QLabel()
        self.message.setWordWrap(True)
        column = parts.scrolled(
            self,
            [
                self.title,
                self.sample,
                self._planes(viewer),
                self.presets,
                form,
                parts.row(self.own_name, self.keep),
                self.all_images,
                self.number_keys,
                self.mouse,
                self.message,
            ],
        )
        column.addStretch()

    def _planes(self, viewer: napari.viewer.Viewer) -> QLayout:
        buttons = []
        for plane in orientation.PLANES:
            button = QPushButton(plane.capitalize())
            seen = "seen from the feet" if plane == "axial" else "with the head up"
            button.setToolTip(
                f"Turns the canvas to the {plane} plane, {seen} (Ctrl+E goes through the planes)."
            )
            button.clicked.connect(lambda _=False, plane=plane: orientation.show_plane(viewer, plane))
            buttons.append(button)
        return parts.row(*buttons)

    def _connect(self) -> None:
        controller = self.controller
        self.width.valueChanged.connect(
            lambda at: controller.set_window(self._width_at(at), self._state.level)
        )
        self.level.valueChanged.connect(
            lambda at: controller.set_window(self._state.width, self._level_at(at))
        )
        self.width_box.valueChanged.connect(lambda value: controller.set_window(value, self._state.level))
        self.level_box.valueChanged.connect(lambda value: controller.set_window(self._state.width, value))
        self.keep.clicked.connect(self._keep_own)
        self.own_name.returnPressed.connect(self._keep_own)
        self.all_images.toggled.connect(controller.set_all_images)
        self.number_keys.toggled.connect(controller.set_number_keys)
        self.mouse.toggled.connect(controller.set_radiology_mouse)

    def closed(self) -> None:
        """Give the number keys and the mouse back to napari."""
        self.controller.close()

    # ---- drawing

    def show(self, state: WindowState | None = None) -> None:
        """Draw `state`; without one, Qt's own show()."""
        if state is None:
            super().show()
            return
        self._state = state
        there = state.image is not None
        what_first = "Open a CT or MR (File > Open, or drop it on the canvas) to set its window."
        self.title.setText(f"<b>{state.image}</b>" if there else what_first)
        self.sample.setVisible(not there)
        if self._drawn != state.presets:
            self._draw_presets(state)
        for key, button in self._buttons.items():
            button.setChecked(key == state.current)
            button.setEnabled(there)
        self._draw_sliders(state, there)
        for box, on in (
            (self.all_images, state.all_images),
            (self.number_keys, state.number_keys),
            (self.mouse, state.radiology_mouse),
        ):
            with QSignalBlocker(box):
                box.setChecked(on)
        self.keep.setEnabled(there)
        self.message.setText(state.message)
        self.message.setVisible(bool(state.message))

    def _draw_sliders(self, state: WindowState, there: bool) -> None:
        decimals = 0 if state.unit == "HU" or state.highest - state.lowest > 200 else 3
        for slider, box, at, value in (
            (self.width, self.width_box, self._at_width(state.width), state.width),
            (self.level, self.level_box, self._at_level(state.level), state.level),
        ):
            with QSignalBlocker(slider), QSignalBlocker(box):
                slider.setValue(at)
                box.setDecimals(decimals)
                box.setSingleStep(10.0**-decimals * (10 if decimals == 0 else 1))
                box.setValue(value)
            slider.setEnabled(there)
            box.setEnabled(there)

    def _draw_presets(self, state: WindowState) -> None:
        self._drawn = state.presets
        _empty(self.presets)
        self._buttons = {}
        for kind in WindowKind:
            presets = state.of(kind)
            if not presets:
                continue
            heading = QLabel(kind.value)
            heading.setStyleSheet("margin-top: 4px;")
            self.presets.addWidget(heading)
            grid = QGridLayout()
            grid.setSpacing(3)
            for number, preset in enumerate(presets):
                grid.addWidget(self._preset(preset, state.unit), number // 2, number % 2)
                grid.setColumnStretch(number % 2, 1)
            self.presets.addLayout(grid)

    def _preset(self, preset: Preset, unit: str) -> QWidget:
        width, level = f"{preset.window.width:.4g}", f"{preset.window.level:.4g}"
        button = QPushButton(
            f"{preset.key}  {preset.name}\n{width} / {level}"
            if preset.key
            else f"{preset.name}\n{width} / {level}"
        )
        button.setCheckable(True)
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        button.setMinimumWidth(60)
        button.setToolTip(
            f"{preset.name}: width {width}, level {level} {unit}".rstrip()
            + (f". Key {preset.key}, or Alt+{preset.key} on any layer." if preset.key else ". No key.")
        )
        button.clicked.connect(lambda: self.controller.apply(preset.kind, preset.name))
        self._buttons[preset.kind, preset.name] = button
        if preset.kind is not WindowKind.OWN:
            return button
        more = QToolButton()
        more.setText("⋯")
        more.setToolTip(f'Rename or remove "{preset.name}", or give it a key.')
        more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        more.setMenu(self._own_menu(preset, more))
        holder = QWidget()
        holder.setLayout(parts.row(button, more))
        holder.layout().setContentsMargins(0, 0, 0, 0)
        return holder

    def _own_menu(self, preset: Preset, parent: QWidget) -> QMenu:
        menu = QMenu(parent)
        menu.addAction("Rename…").triggered.connect(lambda: self._rename(preset.name))
        keys = menu.addMenu("Key")
        for key in ("", *KEYS):
            keys.addAction(key or "none").triggered.connect(
                lambda _=False, key=key: self.controller.key_own(preset.name, key)
            )
        menu.addAction("Remove").triggered.connect(lambda: self.controller.remove_own(preset.name))
        return menu

    def _keep_own(self) -> None:
        self.controller.keep_own(self.own_name.text())
        self.own_name.clear()

    def _rename(self, name: str) -> None:
        new, agreed = QInputDialog.getText(self, "Rename window", "New name", text=name)
        if agreed:
            self.controller.rename_own(name, new)

    # ---- sliders: the width by its logarithm, because 80 and 2000 HU are both common

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


def _slider() -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(0, STEPS)
    return slider


def _number(tip: str) -> QDoubleSpinBox:
    box = parts.number(tip, -1e6, 1e6, 1, "")
    box.setMaximumWidth(90)
    return box


def _empty(layout: QVBoxLayout) -> None:
    """Take everything out of a layout and let Qt delete it."""
    while (item := layout.takeAt(0)) is not None:
        if (widget := item.widget()) is not None:
            widget.hide()  # it is deleted only in the event loop, and would cover the new ones until then
            widget.deleteLater()
        elif (inner := item.layout()) is not None:
            _empty(inner)
