"""The dock with the list of keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QLineEdit, QTextBrowser, QVBoxLayout

from ctseg_imaging.errors import CtsegError
from napari_ctseg import parts
from napari_ctseg.keys.napari_keys import set_by_the_user
from napari_ctseg.keys.page import as_html, write_html
from napari_ctseg.keys.table import TABLE

if TYPE_CHECKING:
    import napari

FILE = "napari-ctseg-keys.html"


class KeysDock(parts.Dock):
    """All keys under headings, those alone that match a filter, and a page to print."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._gestures = (*TABLE, *set_by_the_user())
        self.filter, self.list, self.message = QLineEdit(), QTextBrowser(), parts.Message()
        self.filter.setPlaceholderText("Filter: a key, a word or a dock")
        self.filter.setToolTip("Shows the keys that contain all of these words.")
        self.filter.setClearButtonEnabled(True)
        self.list.setToolTip("All keys, by dock.")
        self.save = parts.button("Save as HTML…", "Saves all keys as a page that a browser prints.")
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        for widget in (self.filter, self.list, self.save, self.message):
            column.addWidget(widget)
        self.setMinimumWidth(280)
        self.filter.textChanged.connect(self._fill)
        self.save.clicked.connect(self._ask_file)
        self.message.draw("", "")
        self._fill()

    def save_as(self, path: str) -> None:
        """Write the whole list as a page."""
        try:
            write_html(path, self._gestures)
        except CtsegError as error:
            self.message.draw(str(error), "", remark=True)
        else:
            self.message.draw("Saved. Open it in a browser to print it.", "")

    def _fill(self) -> None:
        self.list.setHtml(as_html(self._gestures, self.filter.text()))

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the list of keys", FILE, "Web page (*.html)")
        if path:
            self.save_as(path)
