"""Mouse and wheel on a canvas, as Qt delivers them."""

from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

LEFT, MIDDLE, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton, Qt.MouseButton.RightButton
NONE, CONTROL, SHIFT = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
)
NOTCH = 120
THROTTLE_MS = 15  # napari passes on a move at most every 5 ms


def wheel(native, at, notches, keys=NONE):
    """Turn the wheel away from the user over (x, y)."""
    point = QPointF(*at)
    event = QWheelEvent(
        point,
        QPointF(native.mapToGlobal(QPoint(*at))),
        QPoint(),
        QPoint(0, round(NOTCH * notches)),
        Qt.MouseButton.NoButton,
        keys,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(native, event)


def press(native, at, button=LEFT, keys=NONE):
    QTest.mousePress(native, button, keys, QPoint(*at))


def move(native, at, held=Qt.MouseButton.NoButton, keys=NONE):
    """Move, and let napari's throttle pass it on.

    The event goes to the widget itself: `QTest.mouseMove` moves the pointer of the display, which the test
    processes share, and its events reach whatever lies there by then.
    """
    point = QPointF(*at)
    spot = QPointF(native.mapToGlobal(QPoint(*at)))
    event = QMouseEvent(QEvent.Type.MouseMove, point, spot, Qt.MouseButton.NoButton, held, keys)
    QApplication.sendEvent(native, event)
    QTest.qWait(THROTTLE_MS)


def release(native, at, button=LEFT, keys=NONE):
    QTest.mouseRelease(native, button, keys, QPoint(*at))


def click(native, at, button=LEFT, keys=NONE):
    press(native, at, button, keys)
    release(native, at, button, keys)


def drag(native, start, stop, button=LEFT, keys=NONE):
    press(native, start, button, keys)
    move(native, [(a + b) // 2 for a, b in zip(start, stop, strict=True)], button, keys)
    move(native, stop, button, keys)
    release(native, stop, button, keys)


def double_click(native, at):
    QTest.mouseDClick(native, LEFT, NONE, QPoint(*at))
