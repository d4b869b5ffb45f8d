"""Entries of napari's View menu with their state: layouts, synchronous zoom, radiology mouse."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QActionGroup
from qtpy.QtWidgets import QMenu

from napari_ctseg.keys import table as keys
from napari_ctseg.viewer.mouse import RadiologyMouse
from napari_ctseg.viewer.planes.layout import Layout

if TYPE_CHECKING:
    from napari_ctseg.viewer.planes.linked_planes import LinkedPlanes

TITLE = "Linked planes"
NAMES = {
    Layout.ONE: "One plane",
    Layout.LARGE: "One large and two small",
    Layout.EQUAL: "Three of the same size",
}


class PlanesMenu(QMenu):  # type: ignore[misc]
    """Shows the state whenever it opens."""

    def __init__(self, parent: Any, planes: LinkedPlanes, mouse: RadiologyMouse) -> None:
        super().__init__(TITLE, parent)
        self._planes, self._mouse = weakref.ref(planes), weakref.ref(mouse)
        layouts = QActionGroup(self)
        self._layouts = {}
        for layout, name in NAMES.items():
            action = self._layouts[layout] = self._entry(
                f"{name}\t{keys.LAYOUT.name}" if layout is Layout.ONE else name
            )
            action.triggered.connect(lambda _=False, layout=layout: self._show_layout(layout))
            layouts.addAction(action)
        self.addSeparator()
        self._zoom = self._entry("Synchronous zoom")
        self._zoom.triggered.connect(self._set_zoom)
        self._radiology = self._entry(f"Radiology mouse\t{keys.MOUSE.name}")
        self._radiology.triggered.connect(self._set_mouse)
        self.aboutToShow.connect(self._refresh)
        parent.aboutToShow.connect(self._stay)
        self._stay()

    def _entry(self, text: str) -> Any:
        action = self.addAction(text)
        action.setCheckable(True)
        return action

    def _stay(self) -> None:
        """napari builds its menus again when a plugin is added, without this one."""
        parent = self.parent()
        if self.menuAction() not in parent.actions():
            parent.addMenu(self)

    def _refresh(self) -> None:
        planes, mouse = self._planes(), self._mouse()
        if planes is not None and mouse is not None:
            self._layouts[planes.layout].setChecked(True)
            self._zoom.setChecked(planes.synchronous_zoom)
            self._radiology.setChecked(mouse.is_on)

    def _show_layout(self, layout: Layout) -> None:
        if (planes := self._planes()) is not None:
            planes.show(layout)

    def _set_zoom(self, on: bool) -> None:
        if (planes := self._planes()) is not None:
            planes.set_synchronous_zoom(on)

    def _set_mouse(self, on: bool) -> None:
        if (mouse := self._mouse()) is not None:
            mouse.turn(on)
