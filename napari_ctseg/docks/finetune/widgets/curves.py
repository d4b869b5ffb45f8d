"""Loss and validation Dice as they come, a line per label."""

from __future__ import annotations

import html
import math
from typing import Any

import pyqtgraph as pg
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_ctseg.docks.finetune.state import LearningCurves

HEIGHT = 230  # px
MEAN = "mean"
THICK, THIN = 3.5, 1.5  # px


class Curves(QWidget):  # type: ignore[misc]
    """Two plots over one axis of steps; below them the labels with their colours and their last Dice."""

    def __init__(self) -> None:
        super().__init__()
        self._graphics = pg.GraphicsLayoutWidget()
        self._graphics.setFixedHeight(HEIGHT)
        self._graphics.setMinimumWidth(100)
        self._graphics.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._graphics.setToolTip(
            "Top: smoothed loss. Bottom: Dice on the held-out cases (thick: mean). Both by training step."
        )
        self.legend = QLabel()
        self.legend.setWordWrap(True)
        self.legend.setToolTip("Colour and last Dice of each label, measured on the network's own grid.")
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(self._graphics)
        box.addWidget(self.legend)
        self.loss = self._plot(0, "loss")
        self.dice = self._plot(1, "Dice")
        self.dice.setXLink(self.loss)
        self.loss.getAxis("bottom").setStyle(showValues=False)  # those below stand for both
        self.dice.setYRange(0, 1, padding=0.05)
        self.dice.getAxis("left").setTicks([[(0, "0"), (0.5, "0.5"), (1, "1")]])
        self.dice.setLabel("bottom", "step")
        self._foreground = "#ffffff"
        self._loss_line = self.loss.plot()
        self._colours: dict[str, str] = {}
        self.lines: dict[str, Any] = {}

    def paint_theme(self, background: str, foreground: str) -> None:
        """Take over the viewer's colours; loss and mean are in that of the text, so they look like no
        label.
        """
        self._foreground = foreground
        self._graphics.setBackground(background)
        self._loss_line.setPen(pg.mkPen(foreground, width=2))
        if MEAN in self.lines:
            self._colours[MEAN] = foreground
            _paint(self.lines[MEAN], foreground, THICK)
        for plot in (self.loss, self.dice):
            for side in ("bottom", "left"):
                plot.getAxis(side).setPen(foreground)
                plot.getAxis(side).setTextPen(foreground)

    def draw(self, curves: LearningCurves) -> None:
        """The curves so far."""
        self._loss_line.setData([step for step, _ in curves.losses], [loss for _, loss in curves.losses])
        colours = {MEAN: self._foreground, **dict(curves.labels)}
        self._have_lines(
            colours if len(curves.labels) != 1 else dict(curves.labels)
        )  # the mean of one label is that label
        steps = [point.step for point in curves.validations]
        for name, line in self.lines.items():
            dice = [point.of(name) for point in curves.validations]
            line.setData(steps, [math.nan if value is None else value for value in dice], connect="finite")
        last = curves.validations[-1] if curves.validations else None
        self.legend.setText(
            " ".join(_entry(name, colours[name], last.of(name)) for name in self.lines)
            if last is not None
            else ""
        )
        self.legend.setVisible(last is not None)

    def _have_lines(self, colours: dict[str, str]) -> None:
        """A line for each of these and no other, the mean below the rest."""
        if self._colours == colours:
            return
        self._colours = colours
        for line in self.lines.values():
            self.dice.removeItem(line)
        self.lines = {name: self.dice.plot() for name in colours}
        for name, colour in colours.items():
            _paint(self.lines[name], colour, THICK if name == MEAN else THIN)

    def _plot(self, row: int, name: str) -> Any:
        plot = self._graphics.addPlot(row=row, col=0)
        plot.setMenuEnabled(False)
        plot.setMouseEnabled(False, False)
        plot.hideButtons()
        plot.setLabel("left", name)
        plot.getAxis("left").setWidth(44)
        plot.showGrid(y=True, alpha=0.2)
        return plot


def _paint(line: Any, colour: str, width: float) -> None:
    line.setPen(pg.mkPen(colour, width=width))
    line.setSymbol("o")
    line.setSymbolSize(5)
    line.setSymbolBrush(colour)
    line.setSymbolPen(None)


def _entry(name: str, colour: str, dice: float | None) -> str:
    """One label of the legend, which no line break tears apart."""
    shown = "–" if dice is None else f"{dice:.2f}"
    words = (
        f'<span style="color:{colour}">■</span>&nbsp;{html.escape(name).replace(" ", "&nbsp;")}&nbsp;{shown}'
    )
    return f"<b>{words}</b>&nbsp;" if name == MEAN else f"{words}&nbsp;"
