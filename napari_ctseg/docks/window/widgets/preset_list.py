"""The presets of the Window dock: a button for each, two in a row, under the heading of their kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QGridLayout,
    QInputDialog,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_ctseg import parts
from napari_ctseg.docks.window.state import Preset, WindowKind
from napari_ctseg.keys.table import NUMBERS

if TYPE_CHECKING:
    from napari_ctseg.docks.window.controller import WindowController
    from napari_ctseg.docks.window.state import WindowState


class PresetList(QWidget):  # type: ignore[misc]
    """The buttons are made again only when there are other presets. applied : kind and name. renamed : name
    and new name. keyed : name and key. removed : name; these three of the user's own presets.
    """

    applied = Signal(object, str)
    renamed = Signal(str, str)
    keyed = Signal(str, str)
    removed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._drawn: tuple[Preset, ...] | None = None
        self._buttons: dict[tuple[WindowKind, str], QPushButton] = {}
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(2)

    def connect_to(self, controller: WindowController) -> None:
        """Pass clicks on to `controller`."""
        self.applied.connect(controller.apply)
        self.renamed.connect(controller.rename_own)
        self.keyed.connect(controller.key_own)
        self.removed.connect(controller.remove_own)

    def draw(self, state: WindowState) -> None:
        """Show the presets, the one in force pressed."""
        if self._drawn != state.presets:
            self._draw_buttons(state)
        for key, button in self._buttons.items():
            button.setChecked(key == state.current)
            button.setEnabled(state.image is not None)

    def _draw_buttons(self, state: WindowState) -> None:
        self._drawn = state.presets
        _empty(self._column)
        self._buttons = {}
        for kind in WindowKind:
            if not (presets := state.of(kind)):
                continue
            heading = QLabel(kind.value)
            heading.setStyleSheet("margin-top: 4px;")
            self._column.addWidget(heading)
            grid = QGridLayout()
            grid.setSpacing(3)
            for number, preset in enumerate(presets):
                grid.addWidget(self._entry(preset, state.unit), number // 2, number % 2)
                grid.setColumnStretch(number % 2, 1)
            self._column.addLayout(grid)

    def _entry(self, preset: Preset, unit: str) -> QWidget:
        """The preset's button, with a menu if it is one of the user's own."""
        button = _button(preset, unit)
        button.clicked.connect(lambda: self.applied.emit(preset.kind, preset.name))
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
        for key in ("", *NUMBERS):
            keys.addAction(key or "none").triggered.connect(
                lambda _=False, key=key: self.keyed.emit(preset.name, key)
            )
        menu.addAction("Remove").triggered.connect(lambda: self.removed.emit(preset.name))
        return menu

    def _rename(self, name: str) -> None:
        new, agreed = QInputDialog.getText(self, "Rename window", "New name", text=name)
        if agreed:
            self.renamed.emit(name, new)


def _button(preset: Preset, unit: str) -> QPushButton:
    width, level = f"{preset.window.width:.4g}", f"{preset.window.level:.4g}"
    name = f"{preset.key}  {preset.name}" if preset.key else preset.name
    button = QPushButton(f"{name}\n{width} / {level}")
    button.setCheckable(True)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    button.setMinimumWidth(60)
    key = f"Key {preset.key}, or Alt+{preset.key} on any layer." if preset.key else "No key."
    values = f"{preset.name}: width {width}, level {level} {unit}".rstrip()
    button.setToolTip(f"{values}. {key}")
    return button


def _empty(layout: QVBoxLayout) -> None:
    """Take everything out of a layout and let Qt delete it."""
    while (item := layout.takeAt(0)) is not None:
        if (widget := item.widget()) is not None:
            widget.hide()  # it is deleted only in the event loop, and would cover the new ones until then
            widget.deleteLater()
        elif (inner := item.layout()) is not None:
            _empty(inner)
