"""One cell for each slice with the colour of its mark, and a line at the slice that is shown."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QRectF, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPalette
from qtpy.QtWidgets import QWidget

from napari_ctseg.viewer.review import Mark

HEIGHT, LINE = 14, 2.0
# Okabe & Ito: distinguishable for colour-blind readers.
COLOURS = {Mark.REVIEWED: "#009E73", Mark.NEEDS_WORK: "#E69F00"}
TIP = "The slices from the feet (left) to the head: green is reviewed, orange needs work. Click: go there."


class ReviewStrip(QWidget):  # type: ignore[misc]
    """asked : the slice that was clicked or dragged to, from 0."""

    asked = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._marks: tuple[Mark | None, ...] = ()
        self._here = 0
        self.setFixedHeight(HEIGHT)
        self.setToolTip(TIP)

    def draw(self, marks: Sequence[Mark | None], here: int) -> None:
        """marks : of each slice. here : the slice that is shown."""
        if (tuple(marks), here) != (self._marks, self._here):
            self._marks, self._here = tuple(marks), here
            self.update()

    def slice_at(self, x: float) -> int:
        """The slice whose cell is at `x`, pixels from the left."""
        count = len(self._marks)
        return max(0, min(count - 1, int(x * count / max(1, self.width()))))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Qt's."""
        painter = QPainter(self)
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        ground = QColor(ink)
        ground.setAlpha(40)
        painter.fillRect(self.rect(), ground)
        if not self._marks:
            return
        step = self.width() / len(self._marks)
        for index, mark in enumerate(self._marks):
            if mark is not None:
                painter.fillRect(QRectF(index * step, 0, step, self.height()), QColor(COLOURS[mark]))
        middle = (self._here + 0.5) * step
        painter.fillRect(QRectF(middle - LINE / 2, 0, LINE, self.height()), ink)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Qt's."""
        self._ask(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Qt's: while a button is down."""
        self._ask(event)

    def _ask(self, event: QMouseEvent) -> None:
        if self._marks and event.buttons() & Qt.MouseButton.LeftButton:
            self.asked.emit(self.slice_at(event.position().x()))
