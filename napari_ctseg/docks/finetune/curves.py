"""Loss and validation Dice as they come."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from qtpy.QtWidgets import QSizePolicy

from napari_ctseg.docks.finetune.state import FineTuneState

LOSS, DICE = "#E69F00", "#56B4E9"
HEIGHT = 190


class Curves(pg.GraphicsLayoutWidget):  # type: ignore[misc]
    """Two plots over one axis of steps."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(HEIGHT)
        self.setMinimumWidth(100)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Above the smoothed loss, below the mean Dice on the held-out cases, over the steps.")
        self.loss = self._plot(0, "loss")
        self.dice = self._plot(1, "Dice")
        self.dice.setXLink(self.loss)
        self.dice.setYRange(0, 1, padding=0.05)
        self.dice.getAxis("left").setTicks([[(0, "0"), (0.5, "0.5"), (1, "1")]])
        self.dice.setLabel("bottom", "step")
        self._loss_line = self.loss.plot(pen=pg.mkPen(LOSS, width=2))
        self._dice_line = self.dice.plot(pen=pg.mkPen(DICE, width=2), symbol="o", symbolSize=5, symbolBrush=DICE, symbolPen=None)

    def paint_theme(self, background: str, foreground: str) -> None:
        """Take over the viewer's colours."""
        self.setBackground(background)
        for plot in (self.loss, self.dice):
            for side in ("bottom", "left"):
                plot.getAxis(side).setPen(foreground)
                plot.getAxis(side).setTextPen(foreground)

    def draw(self, state: FineTuneState) -> None:
        """The curves so far."""
        for line, points in ((self._loss_line, state.losses), (self._dice_line, state.validations)):
            line.setData([point[0] for point in points], [point[1] for point in points])

    def _plot(self, row: int, name: str) -> Any:
        plot = self.addPlot(row=row, col=0)
        plot.setMenuEnabled(False)
        plot.setMouseEnabled(False, False)
        plot.hideButtons()
        plot.setLabel("left", name)
        plot.getAxis("left").setWidth(44)
        plot.showGrid(y=True, alpha=0.2)
        return plot
