"""The Window dock in Qt: draws the state, hands clicks to the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLayout, QLineEdit, QPushButton

from napari_ctseg import parts
from napari_ctseg.docks.window.controller import WindowController
from napari_ctseg.docks.window.state import WindowState
from napari_ctseg.docks.window.widgets.preset_list import PresetList
from napari_ctseg.docks.window.widgets.sliders import WindowSliders
from napari_ctseg.docks.window.widgets.switches import Switches
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer import orientation

if TYPE_CHECKING:
    import napari

EMPTY = "Open a CT or MR (File > Open, or drop it on the canvas) to set its window."


class WindowDock(parts.Dock):
    """Presets in two columns, width and level, the user's own presets, planes and toggles."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._build(viewer)
        orientation.attach(viewer)
        self.controller = WindowController(self, viewer, Preferences())
        self._connect()

    # ---- building

    def _build(self, viewer: napari.viewer.Viewer) -> None:
        self.title, self.message = parts.text(), parts.text()
        self.sample = QPushButton("Open the phantom CT")
        self.sample.setToolTip("Opens the sample CT, as File > Open Sample does.")
        self.sample.clicked.connect(lambda: viewer.open_sample("napari-ctseg", "phantom"))
        self.presets, self.sliders, self.switches = PresetList(), WindowSliders(), Switches()
        self.own_name = QLineEdit()
        self.own_name.setPlaceholderText("name of this window")
        self.own_name.setToolTip(
            "Type a name and press Enter to save width and level as a preset of your own."
        )
        self.keep = QPushButton("Save")
        self.keep.setToolTip("Saves width and level under this name, for this and later sessions.")
        top = [self.title, self.sample, _planes(viewer)]
        own = parts.row(self.own_name, self.keep)
        rows = [*top, self.presets, self.sliders, own, self.switches.native, self.message]
        parts.scrolled(self, rows).addStretch(1)

    def _connect(self) -> None:
        for part in (self.presets, self.sliders, self.switches):
            part.connect_to(self.controller)
        self.keep.clicked.connect(self._keep_own)
        self.own_name.returnPressed.connect(self._keep_own)

    def closed(self) -> None:
        """Give the number keys and the mouse back to napari."""
        self.controller.close()

    # ---- drawing

    def show(self, state: WindowState | None = None) -> None:
        """Draw `state`; without one, Qt's own show()."""
        if state is None:
            super().show()
            return
        there = state.image is not None
        self.title.setText(f"<b>{state.image}</b>" if there else EMPTY)
        self.sample.setVisible(not there)
        self.presets.draw(state)
        self.sliders.draw(state)
        self.switches.draw(state)
        self.keep.setEnabled(there)
        parts.show_text(self.message, state.message)

    def _keep_own(self) -> None:
        self.controller.keep_own(self.own_name.text())
        self.own_name.clear()


def _planes(viewer: napari.viewer.Viewer) -> QLayout:
    """A button for each plane."""
    buttons = []
    for plane in orientation.PLANES:
        button = QPushButton(plane.capitalize())
        seen = "seen from the feet" if plane == "axial" else "with the head up"
        button.setToolTip(f"Turns the canvas to the {plane} plane, {seen} (Ctrl+E goes through the planes).")
        button.clicked.connect(lambda _=False, plane=plane: orientation.show_plane(viewer, plane))
        buttons.append(button)
    return parts.row(*buttons)
