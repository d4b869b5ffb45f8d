"""The question whether a new model may replace one that the user has."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QMessageBox, QWidget

from napari_ctseg.docks.run_model.state import Replacement


def ask_replace(owner: QWidget, replacement: Replacement, answered: Callable[[bool], None]) -> QMessageBox:
    """Open the question. answered : called with whether to replace."""
    box = QMessageBox(owner)
    box.setWindowTitle("Replace a model")
    box.setText(
        f"{replacement.source.name} would replace one of your models: {replacement.target}. Replace it?"
    )
    replace = box.addButton("Replace", QMessageBox.ButtonRole.DestructiveRole)
    box.setDefaultButton(box.addButton("Keep it", QMessageBox.ButtonRole.RejectRole))
    box.finished.connect(lambda _: answered(box.clickedButton() == replace))
    box.open()
    return box
