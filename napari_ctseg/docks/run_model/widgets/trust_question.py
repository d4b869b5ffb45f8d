"""The question before a model's own code runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtWidgets import QMessageBox, QWidget

from napari_ctseg.docks.run_model.state import TrustQuestion

LENGTH = 160  # letters of a path
BLURB = (
    "This code can do anything on your computer that you can do. Allow it only for a model whose source you "
    "trust. Your answer is remembered for exactly these files; if one of them changes, you are asked again."
)


def ask_trust(
    owner: QWidget, questions: Sequence[TrustQuestion], answer: Callable[[bool], None]
) -> QMessageBox:
    """Ask whether to run it. answer : called with True for "Run this code"; Escape, closing and Return
    mean False.
    """
    box = QMessageBox(owner)
    box.setIcon(QMessageBox.Icon.Warning)
    box.setWindowTitle("Code from a model")
    names = ", ".join(question.name for question in questions)
    box.setText(f"{names} wants to run its own code.")
    box.setInformativeText("\n\n".join([*(_described(question) for question in questions), BLURB]))
    run = box.addButton("Run this code", QMessageBox.ButtonRole.DestructiveRole)
    leave = box.addButton("Do not run", QMessageBox.ButtonRole.RejectRole)
    run.setToolTip("Remembers that these files may run code, and starts the run.")
    leave.setToolTip("Nothing is run. Key: Esc")
    box.setDefaultButton(leave)
    box.setEscapeButton(leave)
    box.finished.connect(lambda _: answer(box.clickedButton() == run))
    box.open()
    return box


def _described(question: TrustQuestion) -> str:
    path = question.path if len(question.path) <= LENGTH else f"…{question.path[-LENGTH:]}"
    return "\n".join([path, *(f"• {reason}" for reason in question.reasons)])
