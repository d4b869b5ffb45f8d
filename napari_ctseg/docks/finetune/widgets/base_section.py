"""What a training starts from: an installed model, or a recipe for a new network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_ctseg import parts
from napari_ctseg.docks.finetune import words

if TYPE_CHECKING:
    from napari_ctseg.docks.finetune.controller import FineTuneController
    from napari_ctseg.docks.finetune.state import BaseChoice

SCROLL_BAR = 24  # px
BASE = (
    "A model to train further, or a recipe to train a new network from scratch. TorchScript and ONNX files "
    "cannot be trained and are not listed."
)
FEATURES = (
    "The file with the VGG-19 weights (from torchvision, .pth or .safetensors) that this recipe's loss uses. "
    "It is not downloaded."
)
SCRATCH = "From scratch: "


class BaseSection(parts.Section):
    """The models, then the recipes, and the file that some recipes need."""

    def __init__(self) -> None:
        super().__init__()
        self.base, self.about = parts.combo(BASE), parts.text()
        self.features = parts.button("VGG-19 weights…", FEATURES)
        self.features_name = parts.text()
        self.stack(parts.form(("From", self.base)), self.about, self.features, self.features_name)

    def connect_to(self, controller: FineTuneController) -> None:
        """Pass choices on to `controller`."""
        self.base.activated.connect(lambda index: _choose(controller, index))
        self.features.clicked.connect(lambda: self._ask_features(controller))

    def draw(self, start: BaseChoice, why_not: str) -> None:
        """why_not : why nothing can be chosen, "" if it can."""
        entries = [*start.bundles, *(f"{SCRATCH}{row.name}" for row in start.recipes)]
        parts.fill(self.base, entries, start.base if start.recipe is None else f"{SCRATCH}{start.recipe}")
        for index, row in enumerate(start.recipes, len(start.bundles)):
            self.base.setItemData(index, row.description, Qt.ItemDataRole.ToolTipRole)
        self.base.view().setMinimumWidth(self.base.view().sizeHintForColumn(0) + SCROLL_BAR)
        parts.able(self.base, why_not, BASE)
        parts.show_text(self.about, words.about(start.from_scratch))
        self.features.setVisible(start.needs_features)
        parts.able(self.features, why_not, FEATURES)
        shown = start.features if start.needs_features else None
        parts.show_text(self.features_name, "" if shown is None else shown.name)

    def _ask_features(self, controller: FineTuneController) -> None:
        before = controller.state.start.features
        name, _ = QFileDialog.getOpenFileName(self, "VGG-19 weights", "" if before is None else str(before))
        if name:
            controller.choose_features(Path(name))


def _choose(controller: FineTuneController, index: int) -> None:
    """The list has the models first, then the recipes."""
    start = controller.state.start
    if index < len(start.bundles):
        controller.choose_base(start.bundles[index])
    else:
        controller.choose_recipe(start.recipes[index - len(start.bundles)].name)
