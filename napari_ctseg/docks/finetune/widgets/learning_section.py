"""What a training has learnt: curves, pictures of held-out cases, and their scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QLabel

from napari_ctseg import parts
from napari_ctseg.docks.finetune import words
from napari_ctseg.docks.finetune.widgets.curves import Curves
from napari_ctseg.docks.finetune.widgets.samples import Samples

if TYPE_CHECKING:
    from napari_ctseg.docks.finetune.state import LearningCurves, Outcome


class LearningSection(parts.Section):
    """Each part is hidden until there is something to show."""

    def __init__(self) -> None:
        super().__init__()
        self.curves, self.samples, self.scores = Curves(), Samples(), QLabel()
        self.scores.setToolTip("Dice on the held-out cases, of the original and of the new model.")
        self.warnings = parts.remark()
        self.stack(self.curves, self.samples, self.scores, self.warnings)

    def draw(self, curves: LearningCurves, outcome: Outcome) -> None:
        """Show the curves so far, and the scores."""
        self.curves.setVisible(bool(curves.losses or curves.validations))
        self.curves.draw(curves)
        self.samples.draw(curves.samples)
        self.samples.setVisible(bool(curves.samples))
        self.scores.setText(words.score_table(outcome.scores))
        self.scores.setVisible(bool(outcome.scores))
        parts.show_text(self.warnings, "\n".join(outcome.warnings))
        shown = curves.losses or curves.validations or curves.samples or outcome.scores or outcome.warnings
        self.setVisible(bool(shown))
