"""Where a dock appears. napari puts each dock below the one before it, which leaves three of them a hand's
breadth high; the docks of this plugin become tabs of one frame, and the canvas stays as wide as they are.
"""

from __future__ import annotations

from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QStyle, QTabBar, QWidget

WIDTH, LEAST_HEIGHT = 430, 700  # of a dock and of a window with docks, logical pixels


class Dock(QWidget):  # type: ignore[misc]
    """A dock that takes its place next to the others, and notices when the user closes it: napari then takes
    it out of its frame.
    """

    def closed(self) -> None:
        """Disconnect from everything; called when the dock was closed."""

    def changeEvent(self, event: QEvent) -> None:
        """Qt's: the dock has a new frame, or none."""
        super().changeEvent(event)
        if event.type() != QEvent.Type.ParentChange:
            return
        if self.parent() is None:
            self.closed()
        else:
            _later(self, self._take_place)

    def _take_place(self) -> None:
        """napari has put the frame into its window by now."""
        frame = frame_of(self)
        window = None if frame is None else window_of(frame)
        if frame is None or window is None or frame.isFloating():
            return
        if join_tabs(frame):
            frame.show()
            frame.raise_()
        make_room(window, frame)
        _later(self, self._show_whole_names)  # Qt makes the tabs when it lays the window out

    def _show_whole_names(self) -> None:
        frame = frame_of(self)
        if frame is not None and (window := window_of(frame)) is not None:
            show_whole_names(window, frame)


def frame_of(dock: QWidget) -> QDockWidget | None:
    """The frame that a dock is in."""
    parent = dock.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent


def window_of(frame: QDockWidget) -> QMainWindow | None:
    """The window that a frame is docked to."""
    parent = frame.parentWidget()
    return parent if isinstance(parent, QMainWindow) else None


def join_tabs(frame: QDockWidget) -> bool:
    """Make the frame a tab next to this plugin's other docks on its side of the window. Its name loses the
    plugin's, which the tabs have no room for. Returns whether it has become a tab now.
    """
    window = window_of(frame)
    if window is None:
        return False
    frame.setWindowTitle(frame.windowTitle().partition(" (")[0].replace("&&", "&").replace("&", "&&"))
    others = _others(window, frame)
    if not others or set(others) & set(window.tabifiedDockWidgets(frame)):
        return False
    window.tabifyDockWidget(others[0], frame)
    return True


def _others(window: QMainWindow, frame: QDockWidget) -> list[QDockWidget]:
    """Those that can be seen first; one that is behind another tab counts as hidden to Qt."""
    side = window.dockWidgetArea(frame)
    found = [
        other
        for other in window.findChildren(QDockWidget)
        if other is not frame
        and window.dockWidgetArea(other) == side
        and not other.isFloating()
        and other.findChild(Dock) is not None
    ]
    return sorted(found, key=lambda other: bool(other.isHidden()))


def make_room(window: QMainWindow, frame: QDockWidget) -> None:
    """Widen the window for a frame of the usual width and a canvas that is at least as wide, as far as the
    screen allows; where it does not, the frame is narrower.
    """
    canvas = window.centralWidget()
    if not (window.isMaximized() or window.isFullScreen()):
        lacking = max(0, WIDTH - frame.width()) + max(0, WIDTH - canvas.width())
        wanted = QSize(window.width() + lacking, max(window.height(), LEAST_HEIGHT))
        fit_screen(window, wanted)
    both = canvas.width() + frame.width()
    window.resizeDocks([frame], [min(WIDTH, both // 2)], Qt.Orientation.Horizontal)


def fit_screen(window: QMainWindow, wanted: QSize) -> None:
    """Give the window the wanted size where the screen is large enough, else that of the screen."""
    title = QSize(
        0, window.style().pixelMetric(QStyle.PixelMetric.PM_TitleBarHeight)
    )  # not there yet where the window is new
    border = (window.frameGeometry().size() - window.size()).expandedTo(title)
    room = window.screen().availableGeometry()
    fitting = wanted.boundedTo(room.size() - border)
    if fitting == window.size():
        return
    window.resize(fitting)
    if not room.contains(window.frameGeometry()):
        window.move(room.topLeft())


def show_whole_names(window: QMainWindow, frame: QDockWidget) -> None:
    """Keep the frame wide enough for the names of its tabs."""
    tabs = [frame, *window.tabifiedDockWidgets(frame)]
    for bar in window.findChildren(QTabBar):
        if bar.count() == len(tabs) > 1:
            bar.setElideMode(Qt.TextElideMode.ElideNone)
            frame.setMinimumWidth(bar.sizeHint().width())


def _later(dock: Dock, what: object) -> None:
    """Once Qt has done what is pending, if the dock is still there. what : a method of the dock, which Qt
    does not keep alive; a function would keep the whole window alive that it refers to.
    """
    timer = QTimer(dock)
    timer.setSingleShot(True)
    timer.timeout.connect(what)
    timer.timeout.connect(timer.deleteLater)
    timer.start(0)
