"""What became of a run: message, confidence of the result, warnings."""

from __future__ import annotations

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_ctseg import parts
from napari_ctseg.docks.run_model import words
from napari_ctseg.docks.run_model.state import Phase, RunModelState
from napari_ctseg.docks.run_model.widgets.confidence_table import ConfidenceTable


class ResultPanel(QWidget):  # type: ignore[misc]
    """Each part is hidden while it has nothing to show."""

    def __init__(self) -> None:
        super().__init__()
        self.message = parts.text()
        self.sure = parts.text()
        self.confidence = ConfidenceTable()
        self.cautions = parts.remark()
        self.fix = parts.button("Edit the description…", words.DESCRIBE)
        self.details = parts.button("Details…", words.DETAILS)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        for part in (self.message, self.sure, self.confidence, self.cautions, self.fix, self.details):
            column.addWidget(part)

    def draw(self, state: RunModelState) -> None:
        """Show the message and the summary of `state`."""
        parts.show_text(self.message, state.message)
        self.message.mark(state.phase is Phase.FAILED)
        self.message.setToolTip(words.precision_notes(state))
        parts.show_text(self.sure, words.sure(state))
        self.confidence.draw(state.summary.confidence)
        parts.show_text(self.cautions, words.cautions(state))
        self.fix.setVisible(state.phase is Phase.FAILED and state.to_fix is not None)
        self.details.setVisible(bool(state.details))
