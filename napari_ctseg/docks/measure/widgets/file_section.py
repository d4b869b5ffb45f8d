"""Saving and opening measurements in the Measure dock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from napari_ctseg import parts

if TYPE_CHECKING:
    from napari_ctseg.docks.measure.controller import MeasureController
    from napari_ctseg.docks.measure.state import MeasureState

FILES = {"Table (*.csv)": ".csv", "Data (*.json)": ".json"}
SAVE = "Writes all measurements and the labels' values as a table (CSV) or data (JSON)."
OPEN = "Adds the measurements from a saved file."


class FileSection(parts.Section):
    """Two buttons; each asks for a file."""

    def __init__(self) -> None:
        super().__init__()
        self.save, self.open = parts.button("Save…", SAVE), parts.button("Open…", OPEN)
        self.stack(parts.row(self.save, self.open))

    def connect_to(self, controller: MeasureController) -> None:
        """Ask for a file, then pass that on to `controller`."""
        self.save.clicked.connect(lambda: self._ask_where(controller))
        self.open.clicked.connect(lambda: self._ask_which(controller))

    def draw(self, state: MeasureState) -> None:
        """Show whether there is anything to save, and to open for."""
        parts.able(self.save, state.why_not_save, SAVE)
        parts.able(self.open, state.why_not, OPEN)

    def _ask_where(self, controller: MeasureController) -> None:
        name, chosen = QFileDialog.getSaveFileName(
            self, "Save measurements", "measurements.csv", ";;".join(FILES)
        )
        if name:
            path = Path(name)
            asked = path.suffix.lower() in FILES.values()  # the dialog asked about this name and no other
            controller.save(path if asked else Path(name + FILES.get(chosen, ".csv")), overwrite=asked)

    def _ask_which(self, controller: MeasureController) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open measurements", "", "Measurements (*.csv *.json)")
        if name:
            controller.open(Path(name))
