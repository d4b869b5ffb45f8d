"""Sentences for the user as napari notifications that show the whole text and stay until they are closed.

napari 0.9 shows about forty characters of a message for four seconds, and no more of it when it is expanded; a path alone is longer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from napari.utils.notifications import Notification, NotificationSeverity, notification_manager

Actions = Sequence[tuple[str, Callable[[Any], None]]]
BESIDE_TEXT, MARGIN, LEAST_WIDTH = 120, 16, 200  # pixels: icon and buttons beside the text, around the notification, of it


def error(sentence: str) -> None:
    """Something could not be done."""
    _show(sentence, NotificationSeverity.ERROR)


def warning(sentence: str, actions: Actions = ()) -> None:
    """Something that the user has to know; `actions` become buttons."""
    _show(sentence, NotificationSeverity.WARNING, actions)


def info(sentence: str) -> None:
    """Something that was done, or a remark about a file."""
    _show(sentence, NotificationSeverity.INFO)


def _show(sentence: str, severity: NotificationSeverity, actions: Actions = ()) -> None:
    notification_manager.dispatch(Notification(sentence, severity, actions))
    from napari._qt.dialogs.qt_notification import NapariQtNotification

    shown = NapariQtNotification._instances
    if shown and shown[-1].message.text() == sentence:
        _show_whole(shown[-1])


def _show_whole(dialog: Any) -> None:
    """Make the dialog as high as its text, without napari's timer."""
    from qtpy.QtCore import QRect, Qt

    dialog.timer_stop()
    dialog.DISMISS_AFTER = 0  # of this one: leaving it with the mouse would start the timer again
    dialog.geom_anim.stop()
    message = dialog.message
    width = min(dialog.MIN_WIDTH, max(LEAST_WIDTH, dialog.parent().width() - MARGIN))  # a narrow canvas would cut it off
    message.setMinimumWidth(0)
    dialog.setFixedWidth(width)
    wrapped = Qt.TextFlag.TextWordWrap | Qt.TextFlag.TextWrapAnywhere
    lines = message.fontMetrics().boundingRect(QRect(0, 0, width - BESIDE_TEXT, 10_000), wrapped.value, message.text())
    added = max(0, lines.height() + message.fontMetrics().lineSpacing() - message.height())
    message.setFixedHeight(message.height() + added)
    dialog.expand_button.hide()
    dialog.source_label.hide()
    dialog.setFixedHeight(dialog.minimumHeight() + added)
    dialog.move_to_bottom_right()
