"""The Run model dock in Qt: draws the state, hands clicks to the controller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, QSize, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_ctseg import orientation
from napari_ctseg.docks.run_model.controller import RunModelController, duration
from napari_ctseg.docks.run_model.models import InstalledModels, Models
from napari_ctseg.docks.run_model.state import DEVICES, PRECISIONS, BundleInfo, Combine, Phase, RegionChoice, RunModelState
from napari_ctseg.preferences import Preferences

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari

AMBER = "color: #E69F00;"
ROWS, ROW_HEIGHT = 4, 22


class RunModelDock(QWidget):  # type: ignore[misc]
    """Image, models, choices, what to expect, Run, progress."""

    def __init__(self, viewer: napari.viewer.Viewer, models: Models | None = None) -> None:
        super().__init__()
        self._listed: tuple[tuple[str, ...], ...] | None = None
        self._state = RunModelState()
        self._build(viewer)
        orientation.attach(viewer)
        self.controller = RunModelController(self, viewer, models or InstalledModels(), Preferences())
        self._connect()

    # ---- building

    def _build(self, viewer: napari.viewer.Viewer) -> None:
        self.empty = _text()
        self.sample = QPushButton("Open the phantom CT")
        self.sample.setToolTip("Adds the sample that File > Open Sample has.")
        self.sample.clicked.connect(lambda: viewer.open_sample("napari-ctseg", "phantom"))
        self.image = _combo("The volume that the model reads.")
        self.models = QListWidget()
        self.models.setToolTip("Tick one model, or several to run them as an ensemble. The arrow below has its whole card.")
        self.about, self.warnings, self.expected, self.message = _text(), _text(AMBER), _text(), _text()
        self.card = QToolButton()
        self.card.setText("Card…")
        self.card.setToolTip("What the model is for, what not, what it was trained on and how it was measured.")
        self.again = QToolButton()
        self.again.setText("Look again")
        self.again.setToolTip("Looks again which models are installed.")
        self.combine = _combo("", [Combine.MEAN.value, Combine.VOTE.value])
        self.region = _combo("Found by the model: its localiser decides where to look. Whole volume: slower, coarser if it is large. "
                             "A box I drew: rectangles in a shapes layer.", [choice.value for choice in RegionChoice])
        self.box = _combo("")
        self.draw = QToolButton()
        self.draw.setText("Draw")
        self.device = _combo("cpu works everywhere; cuda is an NVIDIA card, mps an Apple one. "
                             "A device that is not there is refused with a sentence.", DEVICES)
        self.precision = _combo("auto: bf16 where a short measurement shows that it is faster. fp32: as trained. "
                                "bf16: half the memory.", PRECISIONS)
        self.edges = QCheckBox("Also an edge map")
        self.edges.setToolTip("Adds a hidden image that is bright where the model is least sure between two classes.")
        self.guess = QPushButton("Expected time and memory")
        self.go = QPushButton("Run")
        self.stop = QPushButton("Cancel")
        self.stop.setToolTip("Stops; the dock is ready at once, and no layer is added.")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.stage = _text()
        self.details = QPushButton("Details…")
        self.details.setToolTip("Shows what exactly went wrong, for a report.")
        self._lay_out()

    def _lay_out(self) -> None:
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.form.addRow("Image", self.image)
        choices = QFormLayout()
        choices.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        box = QHBoxLayout()
        box.addWidget(self.box, 1)
        box.addWidget(self.draw)
        for name, widget in (("Ensemble", self.combine), ("Region", self.region), ("Box", box), ("Device", self.device),
                             ("Precision", self.precision), ("", self.edges)):
            choices.addRow(name, widget)
        links = QHBoxLayout()
        links.addWidget(self.card)
        links.addWidget(self.again)
        links.addStretch()
        buttons = QHBoxLayout()
        buttons.addWidget(self.go, 2)
        buttons.addWidget(self.stop, 1)
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(6, 6, 6, 6)
        for item in (self.empty, self.sample, self.form, self.models, self.about, links, self.warnings, choices, self.guess, self.expected,
                     buttons, self.bar, self.stage, self.message, self.details):
            column.addLayout(item) if isinstance(item, QFormLayout | QHBoxLayout) else column.addWidget(item)
        column.addStretch()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(body)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)
        self.setMinimumWidth(280)

    def _connect(self) -> None:
        controller = self.controller
        self.image.currentTextChanged.connect(controller.choose_image)
        self.models.itemChanged.connect(lambda _: controller.choose_bundles(self._ticked()))
        self.models.currentRowChanged.connect(lambda _: self._draw_about(self._state))
        self.combine.currentTextChanged.connect(lambda text: controller.choose(combine=Combine(text)))
        self.region.currentTextChanged.connect(lambda text: controller.choose(region=RegionChoice(text)))
        self.box.currentTextChanged.connect(lambda text: controller.choose(box=text or None))
        self.draw.clicked.connect(controller.draw_box)
        self.device.currentTextChanged.connect(lambda text: controller.choose(device=text))
        self.precision.currentTextChanged.connect(lambda text: controller.choose(precision=text))
        self.edges.toggled.connect(lambda on: controller.choose(edge_map=on))
        self.again.clicked.connect(controller.reload_bundles)
        self.card.clicked.connect(self._show_card)
        self.guess.clicked.connect(controller.estimate)
        self.go.clicked.connect(controller.run)
        self.stop.clicked.connect(controller.cancel)
        self.details.clicked.connect(self._show_details)

    # ---- drawing

    def show(self, state: RunModelState | None = None) -> None:
        """Draw `state`; without one, Qt's own show()."""
        if state is None:
            super().show()
            return
        self._state = state
        free = not state.busy
        self.empty.setText("Open a CT or MR first (File > Open, or drop it on the canvas)." if state.image is None else "")
        self.empty.setVisible(state.image is None)
        self.sample.setVisible(state.image is None)
        self._draw_models(state)
        self._draw_about(state)
        _fill(self.image, state.images, state.image)
        _fill(self.box, state.boxes, state.box)
        for combo, text in ((self.combine, state.combine), (self.region, state.region), (self.device, state.device),
                            (self.precision, state.precision)):
            with QSignalBlocker(combo):
                combo.setCurrentText(str(text))
        with QSignalBlocker(self.edges):
            self.edges.setChecked(state.edge_map)
        for widget in (self.image, self.models, self.region, self.device, self.precision, self.edges, self.again):
            widget.setEnabled(free)
        several = len(state.chosen) > 1
        _able(self.combine, free and several, "How the models become one: mean of their probabilities, or a vote for each voxel.",
              "Tick several models to combine them." if not several else "A model runs.")
        boxed = state.region is RegionChoice.BOX
        no_box = "Press Draw and drag a rectangle; its layer shows up here."
        no_box = no_box if boxed else "Choose the region \"A box I drew\" first."
        _able(self.box, free and boxed and bool(state.boxes), "The shapes layer whose rectangles are the box.", no_box)
        _able(self.draw, free and state.image is not None, "Adds a shapes layer: drag a rectangle on the image; one in a second "
              "plane limits the third axis too.", "Open an image first." if state.image is None else "A model runs.")
        self._draw_run(state, free)

    def _draw_run(self, state: RunModelState, free: bool) -> None:
        _able(self.go, free and not state.why_not, "Runs the model; a labels layer with its name is added.",
              state.why_not or "A model runs.")
        _able(self.guess, free and not state.why_not and not state.estimating, "Loads the model and works out what a run will take.",
              state.why_not or "This takes a moment.")
        _able(self.stop, state.busy, "Stops; the dock is ready at once, and no layer is added.", "Nothing runs.")
        _say(self.expected, state.expected)
        _say(self.warnings, "\n".join(state.warnings))
        _say(self.message, state.message)
        self.message.setStyleSheet(AMBER if state.phase is Phase.FAILED else "")
        self.details.setVisible(bool(state.details))
        self.bar.setVisible(state.busy)
        self.bar.setRange(0, 0 if state.share is None else 1000)
        if state.share is not None:
            self.bar.setValue(round(1000 * state.share))
        left = f" – {duration(state.seconds_left)} left" if state.seconds_left is not None else ""
        _say(self.stage, f"{state.stage}{left}" if state.busy else "")

    def _draw_models(self, state: RunModelState) -> None:
        listed = tuple((info.name, ", ".join(info.labels), info.modality) for info in state.bundles)
        with QSignalBlocker(self.models):
            if listed != self._listed:
                self._listed = listed
                self.models.clear()
                for info in state.bundles:
                    item = QListWidgetItem(info.name, self.models)
                    item.setSizeHint(QSize(0, ROW_HEIGHT))
                    item.setFlags(Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
                    item.setToolTip(f"{info.name}: {info.modality}; {', '.join(info.labels)}")
                self.models.setFixedHeight(min(ROWS, max(1, len(listed))) * ROW_HEIGHT + 2 * self.models.frameWidth() + 2)
            for row, info in enumerate(state.bundles):
                self.models.item(row).setCheckState(Qt.CheckState.Checked if info.name in state.chosen else Qt.CheckState.Unchecked)

    def _draw_about(self, state: RunModelState) -> None:
        info = self._spoken_of(state)
        self.card.setEnabled(info is not None)
        if info is None:
            _say(self.about, state.why_not if not state.bundles else "")
            return
        modality = f"{info.modality}: " if info.modality else ""
        _say(self.about, f"<b>{modality}{', '.join(info.labels)}</b><br>{info.about}")

    def _spoken_of(self, state: RunModelState) -> BundleInfo | None:
        """The model whose row was clicked, else the first one ticked."""
        row = int(self.models.currentRow())
        if 0 <= row < len(state.bundles):
            return state.bundles[row]
        return next((info for info in state.bundles if info.name in state.chosen), None)

    def _ticked(self) -> list[str]:
        items = [self.models.item(row) for row in range(self.models.count())]
        return [item.text() for item in items if item.checkState() == Qt.CheckState.Checked]

    def _show_card(self) -> None:
        info = self._spoken_of(self._state)
        if info is None:
            return
        box = QMessageBox(self)
        box.setWindowTitle(info.name)
        box.setTextFormat(Qt.TextFormat.MarkdownText)
        box.setText(info.card or f"{info.name} has no card.")
        box.open()

    def _show_details(self) -> None:
        box = QMessageBox(self)
        box.setWindowTitle("Details")
        box.setText(self._state.message)
        box.setDetailedText(self._state.details)
        box.open()


def _text(style: str = "") -> QLabel:
    label = QLabel()
    label.setWordWrap(True)
    label.setStyleSheet(style)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _combo(tip: str, items: Sequence[str] = ()) -> QComboBox:
    box = QComboBox()
    box.addItems(list(items))
    box.setToolTip(tip)
    box.setMinimumContentsLength(8)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return box


def _fill(box: QComboBox, items: Sequence[str], current: str | None) -> None:
    with QSignalBlocker(box):
        if [box.itemText(i) for i in range(box.count())] != list(items):
            box.clear()
            box.addItems(list(items))
        if current is not None:
            box.setCurrentText(current)


def _say(label: QLabel, text: str) -> None:
    label.setText(text)
    label.setVisible(bool(text))


def _able(widget: QWidget, on: bool, tip: str, why_not: str) -> None:
    """Enable, or grey with the reason as its tooltip."""
    widget.setEnabled(on)
    widget.setToolTip(tip if on else why_not)
