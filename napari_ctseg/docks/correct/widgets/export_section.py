"""The export of the mask in the Correct & export dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ctseg import parts
from napari_ctseg.export.view import ask_where

if TYPE_CHECKING:
    from napari_ctseg.docks.correct.controller import CorrectController
    from napari_ctseg.docks.correct.state import ExportState

EXPORT = (
    "Writes the mask as NIfTI, NRRD, MetaImage, DICOM SEG or RTSTRUCT with the image's geometry, and its "
    "history as NAME.provenance.json next to it."
)


class ExportSection(parts.Section):
    """The button, and how much of the mask is not exported."""

    def __init__(self) -> None:
        super().__init__()
        self.button, self.unsaved = parts.button("Export…", EXPORT), parts.text()
        self.stack(self.button, self.unsaved)

    def connect_to(self, controller: CorrectController) -> None:
        """Ask where the mask goes, then pass that on to `controller`."""
        self.button.clicked.connect(lambda: self._ask_path(controller))

    def draw(self, state: ExportState, why_not: str) -> None:
        """why_not : why the mask cannot be exported, "" if it can."""
        parts.able(self.button, why_not, EXPORT)
        parts.show_text(self.unsaved, state.unsaved)

    def _ask_path(self, controller: CorrectController) -> None:
        path = ask_where(self, "Export mask", controller.image_volume())
        if path is not None:
            controller.save(path)
