"""Keys and buttons of real dialogs, pressed as a user presses them while the program waits for the answer."""

from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDialogButtonBox,
    QLineEdit,
    QListView,
    QMessageBox,
    QTreeView,
)

from napari_ctseg.export.view import ExportDialog

LOOK_MS = 20


def in_dialog(*acts):
    """Do each act with the dialog in front, as soon as one of its kind is there and ready for it.

    An act never waits itself: events that it let through would run the acts after it.
    """
    (kind, act, *conditions), *rest = acts

    def when_there():
        front = QApplication.activeModalWidget()
        if not (isinstance(front, kind) and all(ready(front) for ready in conditions)):
            QTimer.singleShot(LOOK_MS, when_there)
            return
        if rest:
            in_dialog(*rest)  # before the act, which may open another dialog and return only after that
        try:
            act(front)
        except BaseException:
            front.close()  # a test that fails ends
            raise

    QTimer.singleShot(LOOK_MS, when_there)


def answers(words):
    """Press the button of a question with the text `words`."""

    def act(question):
        buttons = {button.text().replace("&", ""): button for button in question.buttons()}
        QTest.mouseClick(buttons[words], Qt.MouseButton.LeftButton)

    return QMessageBox, act


def escapes():
    """Press Escape in a question."""
    return QMessageBox, lambda question: QTest.keyClick(question, Qt.Key.Key_Escape)


def shuts():
    """Press the X of a question's own window."""
    return QMessageBox, lambda question: question.windowHandle().close()


def types(text):
    """Type a name or a path into the export dialog."""

    def act(dialog):
        edit = dialog.findChild(QLineEdit, "fileNameEdit")
        edit.selectAll()
        QTest.keyClicks(edit, str(text))

    return ExportDialog, act


def takes(name_filter):
    """Choose the type of the export."""

    def act(dialog):
        box = dialog.findChild(QComboBox, "fileTypeCombo")
        QTest.keyClicks(box, name_filter[:4])  # as the user, who types the beginning
        assert box.currentText() == name_filter

    return ExportDialog, act


def clicks(name):
    """Click a file or a folder in the listing of the export dialog, once it is there."""

    def listed(dialog):
        return bool(_rectangle(_listing(dialog), name))

    def act(dialog):
        listing = _listing(dialog)
        QTest.mouseClick(
            listing.viewport(), Qt.MouseButton.LeftButton, pos=_rectangle(listing, name).center()
        )

    return ExportDialog, act, listed


def _listing(dialog):
    views = dialog.findChild(QListView, "listView"), dialog.findChild(QTreeView, "treeView")
    return next(view for view in views if view.isVisible())


def _rectangle(listing, name):
    """Where `name` is drawn; None while it is not."""
    root = listing.rootIndex()
    rows = (root.model().index(row, 0, root) for row in range(root.model().rowCount(root)))
    index = next((row for row in rows if row.data() == name), None)
    if index is None:
        return None
    listing.scrollTo(index)
    rectangle = listing.visualRect(index)
    return rectangle if listing.indexAt(rectangle.center()) == index else None


def saves():
    """Press Save."""
    return ExportDialog, lambda dialog: _press(dialog, QDialogButtonBox.StandardButton.Save)


def cancels():
    """Press Cancel in the export dialog."""
    return ExportDialog, lambda dialog: _press(dialog, QDialogButtonBox.StandardButton.Cancel)


def _press(dialog, button):
    if (completions := QApplication.activePopupWidget()) is not None:
        completions.close()  # as the first click outside does
    QTest.mouseClick(dialog.findChild(QDialogButtonBox).button(button), Qt.MouseButton.LeftButton)
