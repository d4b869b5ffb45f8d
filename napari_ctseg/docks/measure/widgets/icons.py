"""The pictures on the tools' buttons, drawn in the colour of the theme's text."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap, QPolygonF

from ctseg_imaging.measurements import Kind

SIZE, SHARP = 24, 2  # logical pixels; pixels drawn for each, for screens at 200 %
FAINT = 0.35  # of the colour on a greyed button
LINES = {  # from point to point within 24 x 24
    Kind.RULER: [(4, 20, 20, 4), (2, 16, 8, 22), (16, 2, 22, 8), (10, 11, 13, 14)],
    Kind.ANGLE: [(4, 20, 20, 20), (4, 20, 17, 6)],
    Kind.RECIST: [(3, 19, 21, 5), (8, 6, 15, 18)],
}
CORNERS = [(5, 8), (14, 3), (21, 11), (16, 20), (6, 18)]


def tool_icon(kind: Kind, colour: str) -> QIcon:
    """The picture of a tool. colour : hex; fainter on a button that is greyed."""
    icon = QIcon(_drawn(kind, QColor(colour)))
    faint = QColor(colour)
    faint.setAlphaF(FAINT)
    icon.addPixmap(_drawn(kind, faint), QIcon.Mode.Disabled)
    return icon


def _drawn(kind: Kind, colour: QColor) -> QPixmap:
    picture = QPixmap(SIZE * SHARP, SIZE * SHARP)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(SHARP, SHARP)
    pen = QPen(colour, 1.8)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    for x, y, to_x, to_y in LINES.get(kind, ()):
        painter.drawLine(QPointF(x, y), QPointF(to_x, to_y))
    if kind is Kind.ANGLE:
        painter.drawArc(QRectF(-6, 10, 20, 20), 0, 47 * 16)
    elif kind is Kind.ELLIPSE:
        painter.drawEllipse(QRectF(4, 4, 16, 16))
    elif kind is Kind.RECTANGLE:
        painter.drawRect(QRectF(3, 6, 18, 12))
    elif kind is Kind.POLYGON:
        painter.drawPolygon(QPolygonF([QPointF(x, y) for x, y in CORNERS]))
    painter.end()
    picture.setDevicePixelRatio(SHARP)
    return picture
