"""What a training learns from: the open layers, or the folder of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QFileDialog

from napari_ctseg import parts
from napari_ctseg.docks.finetune.state import CaseSource
from napari_ctseg.docks.finetune.widgets.case_list import CaseList

if TYPE_CHECKING:
    from napari_ctseg.docks.finetune.controller import FineTuneController
    from napari_ctseg.docks.finetune.state import CaseChoice

SOURCE = "The open layers: each image with its corrected mask. A dataset folder: one with dataset.json."
CASES = (
    "Tick the cases to train on. A class with no voxels is treated as not annotated, so the model does not "
    "forget it."
)
FOLDER = "A folder with dataset.json, images and labels (Medical Segmentation Decathlon, nnU-Net raw)."


class CaseSection(parts.Section):
    """The source, and the open cases or the folder."""

    def __init__(self) -> None:
        super().__init__()
        self.source = parts.combo(SOURCE, [source.value for source in CaseSource])
        self.list = CaseList()
        self.list.setToolTip(CASES)
        self.folder, self.folder_name = parts.button("Choose folder…", FOLDER), parts.text()
        self.stack(parts.form(("Cases", self.source)), self.list, self.folder, self.folder_name)

    def connect_to(self, controller: FineTuneController) -> None:
        """Pass choices on to `controller`."""
        self.source.textActivated.connect(lambda source: controller.choose_source(CaseSource(source)))
        self.list.ticked.connect(controller.tick)
        self.folder.clicked.connect(lambda: self._ask_folder(controller))

    def draw(self, cases: CaseChoice, why_not: str) -> None:
        """why_not : why nothing can be chosen, "" if it can."""
        layers = cases.source is CaseSource.LAYERS
        with QSignalBlocker(self.source):
            self.source.setCurrentText(cases.source.value)
        self.list.setVisible(layers and bool(cases.rows) and not why_not)  # the run needs the room
        self.list.draw(cases.rows)
        self.folder.setVisible(not layers)
        name = "" if layers or cases.folder is None else cases.folder.name
        parts.show_text(self.folder_name, name)
        parts.able(self.source, why_not, SOURCE)
        parts.able(self.list, why_not, CASES)
        parts.able(self.folder, why_not, FOLDER)

    def _ask_folder(self, controller: FineTuneController) -> None:
        before = controller.state.cases.folder
        name = QFileDialog.getExistingDirectory(self, "Dataset folder", "" if before is None else str(before))
        if name:
            controller.choose_folder(Path(name))
