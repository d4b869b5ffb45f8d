"""The Run model dock in Qt: draws the state, hands clicks to the controller."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFormLayout, QHBoxLayout, QMessageBox

from napari_ctseg import parts
from napari_ctseg.docks.run_model import words
from napari_ctseg.docks.run_model.controller import RunModelController
from napari_ctseg.docks.run_model.library.library import Library
from napari_ctseg.docks.run_model.run.request import InstalledModels, Models
from napari_ctseg.docks.run_model.state import BundleInfo, FormNeeded, Replacement, RunModelState
from napari_ctseg.docks.run_model.widgets.channel_rows import ChannelRows
from napari_ctseg.docks.run_model.widgets.choices import Choices
from napari_ctseg.docks.run_model.widgets.model_list import ModelList
from napari_ctseg.docks.run_model.widgets.model_menus import AddMenu, MoreMenu, menu_button
from napari_ctseg.docks.run_model.widgets.replace_question import ask_replace
from napari_ctseg.docks.run_model.widgets.result_panel import ResultPanel
from napari_ctseg.docks.run_model.widgets.run_panel import RunPanel
from napari_ctseg.docks.run_model.widgets.side_form import SideForm
from napari_ctseg.docks.run_model.widgets.trust_question import ask_trust
from napari_ctseg.keys import table as keys
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer import orientation

if TYPE_CHECKING:
    import napari


class RunModelDock(parts.Dock):
    """Image, models, choices, estimate, Run, progress, and the confidence of the result."""

    def __init__(
        self, viewer: napari.viewer.Viewer, models: Models | None = None, library: Library | None = None
    ) -> None:
        super().__init__()
        self._state = RunModelState()
        self.dialog: SideForm | QMessageBox | None = None
        self.setAcceptDrops(True)
        self._build(viewer)
        orientation.attach(viewer)
        self.controller = RunModelController(
            self, viewer, models or InstalledModels(), Preferences(), library=library
        )
        self.destroyed.connect(
            self.controller.close
        )  # a viewer that closes takes its docks along without a word to them
        self._connect()

    # ---- building

    def _build(self, viewer: napari.viewer.Viewer) -> None:
        self.empty = parts.text()
        self.sample = parts.button("Open the phantom CT", "Opens the sample CT, as File > Open Sample does.")
        self.sample.clicked.connect(lambda: viewer.open_sample("napari-ctseg", "phantom"))
        self.image = parts.combo(words.IMAGE)
        self.models = ModelList()
        self.about = parts.text()
        self.channels = ChannelRows()
        self.warnings = parts.remark()
        self.choices = Choices()
        self.run_panel = RunPanel()
        self.result = ResultPanel()
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", self.image)
        above = [self.empty, self.sample, form, self.models, self._model_buttons()]
        below = [self.about, self.channels, self.warnings, self.choices, self.run_panel, self.result]
        parts.scrolled(self, [*above, *below]).addStretch()

    def _model_buttons(self) -> QHBoxLayout:
        """Below the list: add a model, its card, and what else is done with it."""
        self.more_menu = MoreMenu(self, lambda: self.controller, lambda: self._current(self._state))
        self.new = menu_button(
            "Add model…", words.ADD, AddMenu(self, lambda path: self.controller.actions.add(path))
        )
        self.new.setShortcut(keys.ADD_MODEL.name)
        self.card = parts.button("Card…", words.CARD)
        links = parts.row(self.new, self.card, menu_button("More…", words.MORE, self.more_menu))
        links.addStretch()
        return links

    def _connect(self) -> None:
        controller = self.controller
        self.models.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.models.customContextMenuRequested.connect(
            lambda place: self.more_menu.popup(self.models.viewport().mapToGlobal(place))
        )
        self.image.currentTextChanged.connect(controller.choose_image)
        self.models.ticked.connect(controller.choose_bundles)
        self.models.weighed.connect(controller.choose_weight)
        self.models.currentItemChanged.connect(lambda *_: self._draw_about(self._state))
        self.channels.chosen.connect(controller.choose_source)
        self.choices.connect_to(controller)
        self.card.clicked.connect(self._show_card)
        self.run_panel.connect_to(controller)
        self.result.fix.clicked.connect(lambda: self._describe(self._state.to_fix))
        self.result.details.clicked.connect(
            lambda: parts.show_details(self, self._state.message, self._state.details)
        )

    def closed(self) -> None:
        """Cancel what is running."""
        self.controller.close()

    # ---- a model from the disk

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept any file or folder; what is not a model is refused with a message."""
        if event.mimeData().hasUrls() and all(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Add what was dropped; the first one of several."""
        event.acceptProposedAction()
        self.controller.actions.add(Path(event.mimeData().urls()[0].toLocalFile()))

    # ---- drawing

    def show(self, state: RunModelState | None = None) -> None:
        """Draw `state`; without one, Qt's own show()."""
        if state is None:
            super().show()
            return
        self._state = state
        parts.show_text(
            self.empty,
            "Open a CT or MR first (File > Open, or drop it on the canvas)." if state.image is None else "",
        )
        self.sample.setVisible(state.image is None)
        self.models.draw(state)
        self._draw_about(state)
        parts.fill(self.image, state.images, state.image)
        self.channels.draw(state)
        self.choices.draw(state)
        running = words.RUNS if state.busy else ""
        several = "This model reads several images; choose them below." if len(state.sources) > 1 else ""
        parts.able(self.image, running or several, words.IMAGE)
        parts.able(self.models, running, words.MODELS)
        parts.able(self.new, running or state.errand, words.ADD)
        parts.show_text(self.warnings, "\n".join((*state.warnings, *filter(None, [state.source_fault]))))
        self.run_panel.draw(state, running or state.errand)
        self.result.draw(state)
        self._draw_dialogs(state)

    def _draw_about(self, state: RunModelState) -> None:
        info = self._current(state)
        nothing = "No model is ticked." if state.bundles else state.why_not
        parts.able(self.card, "" if info is not None else nothing, words.CARD)
        parts.show_text(
            self.about,
            words.about(info, state) if info is not None else "" if state.bundles else state.why_not,
        )
        self.more_menu.draw(info, free=not state.busy and not state.errand)

    def _draw_dialogs(self, state: RunModelState) -> None:
        """One dialog for what waits for an answer; it closes when nothing does."""
        waits = bool(state.questions or state.asked)
        if waits and self.dialog is None:
            if isinstance(state.asked, FormNeeded):
                self.dialog = SideForm(self, state.asked, self.controller.actions)
                self.dialog.finished.connect(self._answered)
                self.dialog.open()
            elif state.questions:
                self.dialog = ask_trust(self, state.questions, self._answer_trust)
            elif state.asked is not None:
                self.dialog = ask_replace(self, state.asked, self._answer_replace)
        elif not waits and self.dialog is not None:
            dialog, self.dialog = self.dialog, None
            dialog.close()

    def _answer_trust(self, run_code: bool) -> None:
        self.dialog = None
        self.controller.answer(run_code=run_code)

    def _answered(self, result: int = 0) -> None:
        self.dialog = None
        self.controller.actions.leave()

    def _answer_replace(self, replace: bool) -> None:
        replacement = self._state.asked
        self._answered()
        if replace and isinstance(replacement, Replacement):
            self.controller.actions.copy(replacement.source, overwrite=True)

    def _current(self, state: RunModelState) -> BundleInfo | None:
        """The model whose row was clicked, else the first one ticked."""
        name = self.models.name_at_cursor()
        clicked = next((info for info in state.bundles if info.name == name), None)
        return clicked or next(iter(state.members), None)

    def _describe(self, network: Path | None) -> None:
        if network is not None:
            self.controller.actions.describe(network)

    def _show_card(self) -> None:
        info = self._current(self._state)
        if info is None:
            return
        box = QMessageBox(self)
        box.setWindowTitle(info.name)
        box.setTextFormat(Qt.TextFormat.MarkdownText)
        box.setText(info.card or f"{info.name} has no card.")
        box.open()
