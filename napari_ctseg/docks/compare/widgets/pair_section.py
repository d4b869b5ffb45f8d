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
DISTANCE = (
    "The prediction's surface in colours of its distance to the truth in mm, for the label whose row is "
    "selected. Blue: inside the truth, red: outside."
)
NO_LABEL = "Select the row of a label in the table first."
SCALE = ("#3B4CC0", "#8DB0FE", "#DDDDDD", "#F49A7B", "#B40426")  # coolwarm, from inside to outside
SWAP = "Swaps prediction and truth. The new truth is locked; the old one stays locked until you unlock it."


class PairSection(parts.Section):
    """The choice of prediction and truth, and the switches of the overlays."""

    def __init__(self) -> None:
        super().__init__()
        self.prediction = parts.combo("The label layer that is evaluated.")
        self.truth = parts.combo(
            "The label layer to compare with. A layer chosen here becomes the reference and is locked."
        )
        self.which, self.legend, self.scale = parts.text(), parts.text(), parts.text()
        self.contours = parts.checkbox("Contours", CONTOURS)
        self.errors = parts.checkbox("Error map", ERRORS)
        self.distance = parts.checkbox("Distance", DISTANCE)
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
            parts.row(self.contours, self.errors, self.distance, self.swap),
            self.legend,
            self.scale,
        )

    def connect_to(self, controller: CompareController) -> None:
        """Pass choices on to `controller`."""
        self.prediction.textActivated.connect(lambda name: controller.choose(prediction=name))
        self.truth.textActivated.connect(lambda name: controller.choose(truth=name))
        self.swap.clicked.connect(controller.swap)
        self.contours.toggled.connect(controller.overlays.set_contours)
        self.errors.toggled.connect(controller.overlays.set_errors)
        self.distance.toggled.connect(controller.overlays.distance.set_on)

    def draw(self, pair: PairChoice, overlays: Overlays, why_not: str) -> None:
        """why_not : why nothing can be drawn on the layers, "" if it can."""
        parts.fill(self.prediction, pair.layers, pair.prediction)
        parts.fill(self.truth, pair.layers, pair.truth)
        parts.show_text(self.which, pair.which)
        self.which.mark(pair.truth_guessed)
        no_label = NO_LABEL if overlays.focus is None else ""
        for box, on, tip, missing in (
            (self.contours, overlays.contours, CONTOURS, why_not),
            (self.errors, overlays.errors, ERRORS, why_not),
            (self.distance, overlays.distance, DISTANCE, why_not or no_label),
        ):
            with QSignalBlocker(box):
                box.setChecked(on)
            parts.able(box, "" if on else missing, tip)
        self.legend.setVisible(overlays.errors)
        parts.show_text(self.scale, _scale(overlays))
        parts.able(self.swap, "" if pair.prediction and pair.truth else why_not, SWAP)


def _scale(overlays: Overlays) -> str:
    """The legend of the surface distance."""
    if not overlays.distance:
        return ""
    if overlays.focus is None:
        return NO_LABEL
    if overlays.limit_mm is None:
        return "Measuring the distance…"
    squares = "".join(f'<span style="color:{colour}">■</span>' for colour in SCALE)
    return f"inside −{overlays.limit_mm:g} {squares} +{overlays.limit_mm:g} mm outside the truth"
