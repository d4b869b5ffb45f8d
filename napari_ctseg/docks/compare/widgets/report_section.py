"""The report of the Compare dock and its option."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog

from napari_ctseg import parts
from napari_ctseg.docks.widgets import form

if TYPE_CHECKING:
    from napari_ctseg.docks.compare.controller import CompareController
    from napari_ctseg.docks.compare.state import Scores

TOLERANCE = "Surface distances up to this count as agreement in the NSD."
REPORT = (
    "Writes the table as CSV or JSON, or one HTML page with pictures of the worst slices; the ending decides."
)


class ReportOptions(form.Form):
    """What the numbers of table and report depend on."""

    def __init__(self) -> None:
        self.tolerance = form.number("tolerance", 0.0, 20.0, 0.5, " mm")
        self.tolerance.label, self.tolerance.tooltip = "NSD tolerance", TOLERANCE
        super().__init__(self.tolerance)


class ReportSection(parts.Section):
    """The options, and the button that writes the report."""

    def __init__(self) -> None:
        super().__init__()
        self.options = ReportOptions()
        self.save = parts.button("Save report…", REPORT)
        self.note = parts.remark()
        self.stack(self.options.native, self.note, self.save)

    def connect_to(self, controller: CompareController) -> None:
        """Pass choices on to `controller`."""
        self.options.tolerance.changed.connect(controller.scoring.set_tolerance)
        self.save.clicked.connect(lambda: self._ask_path(controller))

    def draw(self, scores: Scores, why_not: str) -> None:
        """why_not : why there is no report to write, "" if there is."""
        form.show(self.options.tolerance, scores.tolerance_mm)
        parts.show_text(self.note, scores.tolerance_note)
        parts.able(self.save, why_not, REPORT)

    def _ask_path(self, controller: CompareController) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Save report", "report.html", "Web page (*.html);;Table (*.csv);;Data (*.json)"
        )
        if name:
            controller.save(Path(name))
