"""Dice of each label slice by slice, with a cursor that is the viewer's slider."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QSizePolicy

from ctseg_imaging.volume import slice_index, slice_number
from napari_ctseg.docks.compare.state import DiceCurve

HEIGHT = 170
DIMMED = 70  # opacity out of 255 of the lines that are not in focus


class SlicePlot(pg.PlotWidget):  # type: ignore[misc]
    """One line a label. asked : the slice that was clicked or dragged to, from 0."""

    asked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._lines: dict[int, Any] = {}
        self._drawn: dict[int, tuple[object, ...]] = {}  # what each line shows
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Dice in each slice, feet to head. Click or drag the line: the slider goes there.")
        self.setMenuEnabled(False)
        self.setMouseEnabled(False, False)
        self.hideButtons()
        self.setLabel("bottom", "slice")
        self.setLabel("left", "Dice")
        self.setYRange(0, 1, padding=0.06)
        self.getAxis("left").setTicks([[(0, "0"), (0.5, "0.5"), (1, "1")]])
        self.showGrid(y=True, alpha=0.2)
        self.cursor_line = pg.InfiniteLine(0, angle=90, movable=True, hoverPen=pg.mkPen("w", width=3))
        self.cursor_line.sigDragged.connect(lambda line: self._ask(line.value()))
        self.addItem(self.cursor_line)
        self.scene().sigMouseClicked.connect(self._clicked)

    def paint_theme(self, background: str, foreground: str) -> None:
        """Take over the viewer's colours."""
        self.setBackground(background)
        for side in ("bottom", "left"):
            self.getAxis(side).setPen(foreground)
            self.getAxis(side).setTextPen(foreground)
        self.cursor_line.setPen(pg.mkPen(foreground, width=1.5, style=Qt.PenStyle.DashLine))

    def draw(self, curves: tuple[DiceCurve, ...], count: int, focus: int | None) -> None:
        """Lines for `curves` over `count` slices; those not in focus are dimmed. Slices are numbered from 1,
        as the table of slices is.
        """
        for value in set(self._lines) - {curve.value for curve in curves}:
            self.removeItem(self._lines.pop(value))
            del self._drawn[value]
        if count != self._count:
            self._count = count
            self.setXRange(slice_number(0), slice_number(max(1, count - 1)), padding=0.02)
        for curve in curves:
            wanted = curve, focus
            if self._drawn.get(curve.value) != wanted:  # a stroke changes few of a hundred lines
                self._drawn[curve.value] = wanted
                self._draw_line(curve, focus)

    def _draw_line(self, curve: DiceCurve, focus: int | None) -> None:
        if curve.value not in self._lines:
            self._lines[curve.value] = self.plot(connect="finite", symbolSize=3, symbolPen=None)
        line, colour = self._lines[curve.value], pg.mkColor(curve.colour)
        seen = focus is None or focus == curve.value
        colour.setAlpha(255 if seen else DIMMED)
        line.setData(slice_number(0) + np.arange(len(curve.dice)), curve.dice)
        line.setPen(pg.mkPen(colour, width=2.5 if focus == curve.value else 1.6))
        alone = _alone(curve.dice)
        line.setSymbol([("o" if single else None) for single in alone] if alone.any() else None)
        line.setSymbolBrush(colour)
        line.setZValue(1 if seen else 0)

    def move(self, index: int) -> None:
        """Put the cursor on slice `index` (from 0)."""
        self.cursor_line.setValue(slice_number(index))

    def _clicked(self, event: Any) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self.plotItem.sceneBoundingRect().contains(
            event.scenePos()
        ):
            self._ask(self.plotItem.vb.mapSceneToView(event.scenePos()).x())

    def _ask(self, where: float) -> None:
        if self._count:
            self.asked.emit(int(np.clip(slice_index(round(where)), 0, self._count - 1)))


def _alone(dice: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Slices with a number between two without: a line would not show them."""
    known = np.pad(~np.isnan(dice), 1)
    single: np.ndarray[Any, np.dtype[np.bool_]] = known[1:-1] & ~known[:-2] & ~known[2:]
    return single
