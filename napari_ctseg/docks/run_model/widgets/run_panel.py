"""Run and Cancel, what a run will take, and how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from napari_ctseg import parts
from napari_ctseg.docks.run_model import words
from napari_ctseg.docks.run_model.state import RunModelState
from napari_ctseg.keys import table as keys

if TYPE_CHECKING:
    from napari_ctseg.docks.run_model.controller import RunModelController


class RunPanel(QWidget):  # type: ignore[misc]
    """The estimate, the two buttons, and the bar with its stage."""

    def __init__(self) -> None:
        super().__init__()
        self.guess = parts.button("Expected time and memory", words.EXPECTED)
        self.guess.setShortcut(keys.ESTIMATE.name)
        self.expected = parts.text()
        self.go = parts.button("Run", words.RUN)
        self.go.setShortcut(keys.RUN.name)
        self.stop = parts.button("Cancel", words.CANCEL)
        self.stop.setShortcut(keys.CANCEL.name)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.stage = parts.text()
        buttons = parts.row(self.go, self.stop)
        buttons.setStretch(0, 2)
        buttons.setStretch(1, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addWidget(self.guess)
        column.addWidget(self.expected)
        column.addLayout(buttons)
        column.addWidget(self.bar)
        column.addWidget(self.stage)

    def connect_to(self, controller: RunModelController) -> None:
        """Pass the clicks on."""
        self.guess.clicked.connect(controller.estimate)
        self.go.clicked.connect(controller.run)
        self.stop.clicked.connect(controller.cancel)

    def draw(self, state: RunModelState, not_free: str) -> None:
        """not_free : what is under way, "" for nothing."""
        estimating = "The estimate is being computed." if state.estimating else ""
        parts.able(self.go, not_free or state.why_not, words.RUN)
        parts.able(self.guess, not_free or state.why_not or estimating, words.EXPECTED)
        parts.able(self.stop, "" if not_free else "Nothing is running.", words.CANCEL)
        parts.show_text(self.expected, words.expected(state))
        share = state.progress.share
        self.bar.setVisible(bool(not_free))
        self.bar.setRange(0, 0 if share is None or state.errand else 1000)
        if share is not None:
            self.bar.setValue(round(1000 * share))
        parts.show_text(self.stage, words.progress(state.progress) if state.busy else state.errand)
