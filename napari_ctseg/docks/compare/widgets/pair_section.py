"""Which two layers the Compare dock compares, and what it draws on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker

from ctseg_imaging.metrics.differences import ERROR_COLOURS, ERROR_WORDS
from napari_ctseg import parts

if TYPE_CHECKING:
    from napari_ctseg.docks.compare.controller import CompareController
    from napari_ctseg.docks.compare.state import Overlays, PairChoice

CONTOURS = "Outlines instead of filled labels: prediction solid, truth dashed."
ERRORS = "A layer where the two differ. Its colours are not used for labels and suit colour-blind readers."
SWAP = "Swaps prediction and truth. The new truth is locked; the old one stays locked until you unlock it."


class PairSection(parts.Section):
    """The choice of prediction and truth, and the switches of the overlays."""

    def __init__(self) -> None:
        super().__init__()
        self.prediction = parts.combo("The label layer that is evaluated.")
        self.truth = parts.combo(
            "The label layer to compare with. A layer chosen here becomes the reference and is locked."
        )
        self.which, self.legend = parts.text(), parts.text()
        self.contours = parts.checkbox("Contours", CONTOURS)
        self.errors = parts.checkbox("Error map", ERRORS)
        self.swap = parts.button("⇅ swap", SWAP)
        self.legend.setText(
            "   ".join(
                f'<span style="color:{colour}">■</span> {ERROR_WORDS[code]}'
                for code, colour in ERROR_COLOURS.items()
            )
        )
        self.stack(
            parts.form(("Prediction", self.prediction), ("Truth", self.truth)),
            self.which,
            parts.row(self.contours, self.errors, self.swap),
            self.legend,
        )

    def connect_to(self, controller: CompareController) -> None:
        """Pass choices on to `controller`."""
        self.prediction.textActivated.connect(lambda name: controller.choose(prediction=name))
        self.truth.textActivated.connect(lambda name: controller.choose(truth=name))
        self.swap.clicked.connect(controller.swap)
        self.contours.toggled.connect(controller.overlays.set_contours)
        self.errors.toggled.connect(controller.overlays.set_errors)

    def draw(self, pair: PairChoice, overlays: Overlays, why_not: str) -> None:
        """why_not : why nothing can be drawn on the layers, "" if it can."""
        parts.fill(self.prediction, pair.layers, pair.prediction)
        parts.fill(self.truth, pair.layers, pair.truth)
        parts.show_text(self.which, pair.which)
        self.which.mark(pair.truth_guessed)
        for box, on, tip in (
            (self.contours, overlays.contours, CONTOURS),
            (self.errors, overlays.errors, ERRORS),
        ):
            with QSignalBlocker(box):
                box.setChecked(on)
            parts.able(box, "" if on else why_not, tip)
        self.legend.setVisible(overlays.errors)
        parts.able(self.swap, "" if pair.prediction and pair.truth else why_not, SWAP)
