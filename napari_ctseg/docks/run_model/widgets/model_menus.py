"""The two menus of the Run model dock: add a model from the disk, and what is done with one of the list."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtGui import QAction
from qtpy.QtWidgets import QFileDialog, QMenu, QToolButton, QWidget

from napari_ctseg.docks.run_model import words
from napari_ctseg.docks.run_model.library.library import NETWORK_FILES
from napari_ctseg.docks.run_model.state import BundleInfo

if TYPE_CHECKING:
    from ctseg_models.bundles.export import Format
    from napari_ctseg.docks.run_model.controller import RunModelController

FILES = f"Models (*.zip {' '.join('*' + ending for ending in NETWORK_FILES)})"
EXPORTS: dict[Format, tuple[str, str]] = {
    "onnx": ("Export as ONNX…", "ONNX (*.onnx)"),
    "torchscript": ("Export as TorchScript…", "TorchScript (*.ts)"),
}


def menu_button(title: str, tip: str, menu: QMenu) -> QToolButton:
    """A button that opens `menu` at once."""
    button = QToolButton()
    button.setText(title)
    button.setToolTip(tip)
    button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    button.setStyleSheet("QToolButton { padding: 3px 5px; } QToolButton::menu-indicator { image: none; }")
    button.setMenu(menu)
    return button


class AddMenu(QMenu):  # type: ignore[misc]
    """Asks for a folder or a file and hands it to `add`."""

    def __init__(self, owner: QWidget, add: Callable[[Path], None]) -> None:
        super().__init__(owner)
        self._add = add
        self.setToolTipsVisible(True)
        self.addAction("A folder…", self._ask_folder).setToolTip(
            "A model of this project, an nnU-Net results folder, or a MONAI bundle."
        )
        self.addAction("A file…", self._ask_file).setToolTip(
            "A .zip of such a folder, or an ONNX or TorchScript network."
        )

    def _ask_folder(self) -> None:
        if folder := QFileDialog.getExistingDirectory(self.parentWidget(), "A model's folder"):
            self._add(Path(folder))

    def _ask_file(self) -> None:
        file, _ = QFileDialog.getOpenFileName(self.parentWidget(), "A model's file", "", FILES)
        if file:
            self._add(Path(file))


class MoreMenu(QMenu):  # type: ignore[misc]
    """Verify, export, edit the description, withdraw. current : gives the model that is meant."""

    def __init__(
        self,
        owner: QWidget,
        controller: Callable[[], RunModelController],
        current: Callable[[], BundleInfo | None],
    ) -> None:
        super().__init__(owner)
        self._controller, self._current = controller, current
        self.setToolTipsVisible(True)
        self.verify = self._action("Verify", lambda name: controller().actions.verify(name))
        self.exports: dict[Format, QAction] = {
            to: self._action(title, partial(self._ask_export, to)) for to, (title, _) in EXPORTS.items()
        }
        self.withdraw = self._action(
            "Ask again before it runs", lambda name: controller().actions.withdraw(name)
        )
        self.describe = self._action(
            "Edit the description…", lambda name: controller().actions.describe_model(name)
        )
        self.describe.setToolTip(words.DESCRIBE)
        self.addSeparator()
        self.addAction("Refresh the list of models", lambda: controller().reload_bundles())

    def draw(self, info: BundleInfo | None, *, free: bool) -> None:
        """Show what can be done with this model. free : whether nothing else is under way."""
        for action in (self.verify, self.describe, *self.exports.values()):
            action.setEnabled(info is not None and free)
        for action in self.exports.values():
            action.setVisible(info is not None and info.kind == "ctseg")
        self.describe.setVisible(info is not None and info.described is not None)
        self.withdraw.setVisible(info is not None and bool(info.needs_trust) and not info.locked)

    def _action(self, title: str, act: Callable[[str], None]) -> QAction:
        def on_current() -> None:
            if (info := self._current()) is not None:
                act(info.name)

        return self.addAction(title, on_current)

    def _ask_export(self, to: Format, name: str) -> None:
        title, kind = EXPORTS[to]
        ending = kind.split("*")[1].rstrip(")")
        out, _ = QFileDialog.getSaveFileName(self.parentWidget(), title, f"{name}{ending}", kind)
        if out:
            self._controller().actions.export(name, to, Path(out))
