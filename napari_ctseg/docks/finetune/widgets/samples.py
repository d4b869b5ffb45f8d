"""Pictures of what the network finds so far: a strip of thumbnails, each of which opens large."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QDialog, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

THUMBNAIL = QSize(80, 80)  # px; three of them fit a narrow dock
SCREEN_SHARE = 0.8


class Samples(QWidget):  # type: ignore[misc]
    """The strip. Nothing on it tells a case's file name: names of files may be names of patients."""

    def __init__(self) -> None:
        super().__init__()
        self._paths: tuple[Path, ...] = ()
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(4)
        self.thumbnails: list[QToolButton] = []
        self.large: QDialog | None = None

    def draw(self, paths: tuple[Path, ...]) -> None:
        """Show these pictures; the files are read again only when others are asked for."""
        if paths == self._paths:
            return
        self._paths = paths
        while (item := self._row.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        self.thumbnails = []
        for number, path in enumerate(paths, 1):
            picture = QPixmap(str(path))
            if not picture.isNull():
                self.thumbnails.append(self._thumbnail(picture, f"held-out case {number}{_step(path)}"))
                self._row.addWidget(self.thumbnails[-1])
        self._row.addStretch()

    def _thumbnail(self, picture: QPixmap, what: str) -> QToolButton:
        made = QToolButton()
        made.setAutoRaise(True)
        made.setIcon(QIcon(picture))
        made.setIconSize(THUMBNAIL)
        made.setAccessibleName(what)
        made.setToolTip(f"{what[0].upper()}{what[1:]}: truth solid, prediction dashed. Click to enlarge.")
        made.clicked.connect(self._enlarging(picture, what))
        return made

    def _enlarging(self, picture: QPixmap, what: str) -> Callable[[], None]:
        return lambda: self._enlarge(picture, what)

    def _enlarge(self, picture: QPixmap, what: str) -> None:
        """One window for all pictures; Escape closes it."""
        if self.large is not None:
            self.large.close()
        self.large = QDialog(self)
        self.large.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.large.destroyed.connect(self._closed)
        self.large.setWindowTitle(f"Fine-tune: {what}")
        room = self.screen().availableSize() * SCREEN_SHARE
        label = QLabel()
        label.setPixmap(
            picture.scaled(
                room, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
            )
        )
        label.setToolTip("Truth solid, prediction dashed, the patient's right on the left. Escape closes.")
        box = QVBoxLayout(self.large)
        box.setContentsMargins(0, 0, 0, 0)
        box.addWidget(label)
        self.large.show()

    def _closed(self) -> None:
        self.large = None


def _step(path: Path) -> str:
    """Of a file CASE-step-000123.png, in words."""
    digits = path.stem.rpartition("-step-")[2]
    return f" after step {int(digits)}" if digits.isdigit() else ""
