"""Messages as napari notifications that show the whole text and stay until they are closed.

napari 0.9 shows about forty characters of a message for four seconds, even when it is expanded; a path alone
is longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from napari.utils.notifications import Notification, NotificationSeverity, notification_manager

Actions = Sequence[tuple[str, Callable[[Any], None]]]
BESIDE_TEXT, MARGIN, LEAST_WIDTH = (
    120,
    16,
    200,
)  # px: icon and buttons next to the text, around the notification, its least width


def error(sentence: str) -> None:
    """Something could not be done."""
    _show(sentence, NotificationSeverity.ERROR)


def warning(sentence: str, actions: Actions = ()) -> None:
    """Something that the user should know; `actions` become buttons."""
    _show(sentence, NotificationSeverity.WARNING, actions)


def info(sentence: str) -> None:
    """Something that was done, or a remark about a file."""
    _show(sentence, NotificationSeverity.INFO)


def _show(sentence: str, severity: NotificationSeverity, actions: Actions = ()) -> None:
    from napari._qt.dialogs.qt_notification import NapariQtNotification
    from napari._qt.qt_main_window import _QtMainWindow

    window = _QtMainWindow.current()
    if window is not None and any(
        one.message.text() == sentence for one in _shown(window._qt_viewer.canvas.native)
    ):
        return  # it is shown already
    notification_manager.dispatch(Notification(sentence, severity, actions))
    shown = NapariQtNotification._instances
    if shown and shown[-1].message.text() == sentence:
        _show_whole(shown[-1])


def _show_whole(dialog: Any) -> None:
    """Fit the dialog to its text, stop napari's timer, and put it below the earlier ones."""
    from qtpy.QtCore import QRect, Qt

    dialog.timer_stop()
    dialog.DISMISS_AFTER = 0  # moving the mouse out of it would restart the timer
    canvas, message = dialog.parent(), dialog.message
    width = min(
        dialog.MIN_WIDTH, max(LEAST_WIDTH, canvas.width() - MARGIN)
    )  # a narrow canvas would cut it off
    message.setMinimumWidth(0)
    dialog.setFixedWidth(width)
    wrapped = Qt.TextFlag.TextWordWrap | Qt.TextFlag.TextWrapAnywhere
    lines = message.fontMetrics().boundingRect(
        QRect(0, 0, width - BESIDE_TEXT, 10_000), wrapped.value, message.text()
    )
    added = max(0, lines.height() + message.fontMetrics().lineSpacing() - message.height())
    message.setFixedHeight(message.height() + added)
    dialog.expand_button.hide()
    dialog.source_label.hide()
    dialog.setFixedHeight(dialog.minimumHeight() + added)

    def again() -> None:
        _stack(canvas)

    canvas.resized.connect(again)
    dialog.finished.connect(lambda: canvas.resized.disconnect(again))
    dialog.finished.connect(again)
    again()


def _stack(canvas: Any) -> None:
    """Stack the notifications of a canvas, the newest at the bottom. Those without room appear again once
    others are closed.
    """
    dialogs, bottom = _shown(canvas), canvas.height() - MARGIN // 2
    for dialog in reversed(dialogs):
        dialog.geom_anim.stop()
        top = bottom - dialog.height()
        dialog.move(canvas.width() - dialog.width() - MARGIN // 2, top)
        dialog.setVisible(top >= 0 or dialog is dialogs[-1])
        bottom = top - MARGIN // 2


def _shown(canvas: Any) -> list[Any]:
    """The open notifications of a canvas, oldest first."""
    from napari._qt.dialogs.qt_notification import NapariQtNotification

    return [
        dialog
        for dialog in canvas.findChildren(NapariQtNotification)
        if dialog in NapariQtNotification._instances
    ]
