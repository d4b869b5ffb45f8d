"""Small Qt parts of the docks: texts, choices, buttons and rows, each with its tooltip."""

from __future__ import annotations

from collections.abc import Sequence

from napari.settings import get_settings
from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, QSignalBlocker, Qt
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QBoxLayout,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLayout,
    QMessageBox,
    QPushButton,
    QScrollArea,
    QTextEdit,
    QVBoxLayout,
    QWidget,
)

from napari_ctseg.dock_frame.view import Dock as Dock

AMBER, AMBER_ON_LIGHT = "#E69F00", "#8F5A00"
MIDDLE = 128  # of a colour's lightness
SWATCH = 12
DETAILS_SIZE = (480, 300)


class Text(QLabel):  # type: ignore[misc]
    """A wrapping label whose text can be copied. A remark is amber, in a shade that suits the theme."""

    def __init__(self, remark: bool = False) -> None:
        super().__init__()
        self._remark = remark
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._paint()

    def mark(self, remark: bool) -> None:
        """Set whether it is a remark."""
        if remark != self._remark:
            self._remark = remark
            self._paint()

    def changeEvent(self, event: QEvent) -> None:
        """Qt's: a new frame, which has a theme, or a new theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange, QEvent.Type.ParentChange):
            self._paint()

    def _paint(self) -> None:
        style = f"color: {AMBER_ON_LIGHT if _is_light(self) else AMBER};" if self._remark else ""
        if style != self.styleSheet():
            self.setStyleSheet(style)


def _is_light(widget: QWidget) -> bool:
    """Whether the theme of the widget's window, or else of napari's settings, is light."""
    viewer = getattr(getattr(widget.window(), "_qt_viewer", None), "viewer", None)
    theme = get_theme(get_settings().appearance.theme if viewer is None else viewer.theme)
    return bool(QColor(theme.background.as_hex()).lightness() > MIDDLE)


def text() -> Text:
    """An ordinary text."""
    return Text()


def remark() -> Text:
    """A text that the user should notice."""
    return Text(remark=True)


def show_text(label: QLabel, words: str) -> None:
    """Show `words`; without words, hide the label."""
    label.setText(words)
    label.setVisible(bool(words))


def combo(tip: str, items: Sequence[str] = ()) -> QComboBox:
    """A choice whose longest entry does not widen the dock."""
    box = QComboBox()
    box.addItems(list(items))
    box.setToolTip(tip)
    box.setMinimumContentsLength(8)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return box


def fill(box: QComboBox, items: Sequence[str], current: str | None) -> None:
    """Set the entries and the current one, without a signal."""
    with QSignalBlocker(box):
        if [box.itemText(i) for i in range(box.count())] != list(items):
            box.clear()
            box.addItems(list(items))
        box.setCurrentIndex(-1 if current is None else box.findText(current))


def button(words: str, tip: str) -> QPushButton:
    """A push button that may become narrow."""
    made = QPushButton(words)
    made.setToolTip(tip)
    made.setMinimumWidth(24)
    made.setStyleSheet("padding: 3px 5px;")
    return made


def number(tip: str, low: float, high: float, step: float, suffix: str, decimals: int = 1) -> QDoubleSpinBox:
    """A number with its unit."""
    box = QDoubleSpinBox()
    box.setRange(low, high)
    box.setSingleStep(step)
    box.setDecimals(decimals)
    box.setSuffix(suffix)
    box.setToolTip(tip)
    box.setKeyboardTracking(False)
    return box


def able(widget: QWidget, why_not: str, tip: str) -> None:
    """Enable the widget, or grey it out with the reason as its tooltip."""
    widget.setEnabled(not why_not)
    widget.setToolTip(why_not or tip)


def row(*items: QWidget) -> QHBoxLayout:
    """Widgets in a row."""
    line = QHBoxLayout()
    line.setSpacing(4)
    for item in items:
        line.addWidget(item)
    return line


class Section(QWidget):  # type: ignore[misc]
    """A column that is shown and hidden as a whole; a part of a dock with its own `draw`."""

    def stack(self, *items: QWidget | QLayout) -> None:
        """Put these one below the other."""
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        _fill(column, items)


def group(items: Sequence[QWidget | QLayout]) -> QWidget:
    """A section that has nothing to draw itself."""
    body = Section()
    body.stack(*items)
    return body


class Message(Section):
    """What happened last. The full error, where it is one, is behind a button."""

    def __init__(self) -> None:
        super().__init__()
        self.label, self.details = text(), button("Details…", "Shows the full error, for a report.")
        self._details = ""
        self.stack(self.label, self.details)
        self.details.clicked.connect(lambda: show_details(self, self.text(), self._details))

    def text(self) -> str:
        """The text that is shown."""
        return str(self.label.text())

    def draw(self, words: str, details: str, remark: bool = False) -> None:
        """details : a traceback, "" for none. remark : whether the user should notice it."""
        self._details = details
        show_text(self.label, words)
        self.label.mark(remark)
        self.details.setVisible(bool(details))
        self.setVisible(bool(words or details))


def form(*rows: tuple[str | QWidget, QWidget | QLayout]) -> QFormLayout:
    """Labels with their fields, which take the room that the labels leave."""
    made = QFormLayout()
    made.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for label, field in rows:
        made.addRow(label, field)
    return made


def checkbox(words: str, tip: str) -> QCheckBox:
    """A choice that is on or off."""
    box = QCheckBox(words)
    box.setToolTip(tip)
    return box


def scrolled(owner: QWidget, items: Sequence[QWidget | QLayout]) -> QVBoxLayout:
    """Fill `owner` with a column that scrolls vertically only; returns the column."""
    body = QWidget()
    column = QVBoxLayout(body)
    column.setContentsMargins(6, 6, 6, 6)
    column.setSpacing(5)
    _fill(column, items)
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(body)
    outer: QBoxLayout = QVBoxLayout(owner)
    outer.setContentsMargins(0, 0, 0, 0)
    outer.addWidget(scroll)
    owner.setMinimumWidth(280)
    return column


def _fill(column: QVBoxLayout, items: Sequence[QWidget | QLayout]) -> None:
    for item in items:
        column.addLayout(item) if isinstance(item, QLayout) else column.addWidget(item)


def swatch(colour: str) -> QIcon:
    """A square of one colour, the same in a selected row."""
    picture = QPixmap(SWATCH, SWATCH)
    picture.fill(QColor(colour))
    icon = QIcon(picture)
    icon.addPixmap(picture, QIcon.Mode.Selected)
    return icon


def show_details(owner: QWidget, message: str, details: str) -> None:
    """Show a message with its details below."""
    box = QMessageBox(owner)
    box.setWindowTitle("Details")
    box.setText(message)
    box.setDetailedText(details)
    opener = next(
        (button for button in box.buttons() if box.buttonRole(button) == QMessageBox.ButtonRole.ActionRole),
        None,
    )
    if opener is not None:
        opener.click()  # the user has asked for the details
    for record in box.findChildren(QTextEdit):
        record.setMinimumWidth(DETAILS_SIZE[0])
        record.setFixedHeight(DETAILS_SIZE[1])
    box.open()
