"""How to run: ensemble, region, device, precision, mirroring, extra maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QWidget

from napari_ctseg import parts
from napari_ctseg.docks.run_model import words
from napari_ctseg.docks.run_model.state import DEVICES, PRECISIONS, Combine, RegionChoice, RunModelState
from napari_ctseg.keys import table as keys

if TYPE_CHECKING:
    from napari_ctseg.docks.run_model.controller import RunModelController


class Choices(QWidget):  # type: ignore[misc]
    """A form that draws the state and passes the choices on to the controller."""

    def __init__(self) -> None:
        super().__init__()
        self.combine = parts.combo(words.COMBINED, list(words.COMBINE.values()))
        self.region = parts.combo(words.REGION)
        self.box = parts.combo(words.BOX)
        self.draw_box = parts.button("Draw", words.DRAW)
        self.draw_box.setShortcut(keys.DRAW_BOX.name)
        self.device = parts.combo(words.DEVICE, DEVICES)
        self.precision = parts.combo(words.PRECISION, PRECISIONS)
        self.mirroring = QCheckBox("Mirroring")
        self.edges = QCheckBox("Borders")
        self.entropy = QCheckBox("Entropy")
        self.probabilities = QCheckBox("For Refine")
        self.form = QFormLayout(self)
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setVerticalSpacing(4)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.boxes = parts.row(self.box, self.draw_box)
        for name, widget in (
            ("Ensemble", self.combine),
            ("Region", self.region),
            ("Box", self.boxes),
            ("Device", self.device),
            ("Precision", self.precision),
        ):
            self.form.addRow(name, widget)
        self.form.addRow(self.mirroring)  # over the whole width: its text includes the cost
        maps = parts.row(self.edges, self.entropy, self.probabilities)
        maps.addStretch()
        self.form.addRow(maps)  # its names take the whole width

    def connect_to(self, controller: RunModelController) -> None:
        """Pass every choice on."""
        self.combine.currentIndexChanged.connect(
            lambda number: controller.choose(combine=list(Combine)[number])
        )
        self.region.currentTextChanged.connect(lambda text: controller.choose(region=RegionChoice(text)))
        self.box.currentTextChanged.connect(lambda text: controller.choose(box=text or None))
        self.draw_box.clicked.connect(controller.draw_box)
        self.device.currentTextChanged.connect(lambda text: controller.choose(device=text))
        self.precision.currentTextChanged.connect(lambda text: controller.choose(precision=text))
        self.mirroring.toggled.connect(lambda on: controller.choose(mirroring=on))
        self.edges.toggled.connect(lambda on: controller.choose(edge_map=on))
        self.entropy.toggled.connect(lambda on: controller.choose(entropy=on))
        self.probabilities.toggled.connect(lambda on: controller.choose(probabilities=on))

    def draw(self, state: RunModelState) -> None:
        """Hide the rows that do not apply; grey out what is not available, with the reason as tooltip."""
        running = words.RUNS if state.busy else ""
        options = state.options
        parts.fill(self.box, state.boxes, options.box)
        parts.fill(self.region, [choice.value for choice in state.regions], state.looks_in.value)
        several, boxed = len(state.chosen) > 1, options.region is RegionChoice.BOX
        with QSignalBlocker(self.combine):
            self.combine.setCurrentIndex(list(Combine).index(options.combine))
        for combo, text in ((self.device, options.device), (self.precision, options.precision)):
            with QSignalBlocker(combo):
                combo.setCurrentText(str(text))
        for check, on in (
            (self.mirroring, options.mirroring and not state.why_no_mirroring),
            (self.edges, options.edge_map),
            (self.entropy, options.entropy),
            (self.probabilities, options.probabilities and not several),
        ):
            with QSignalBlocker(check):
                check.setChecked(on)
        self.mirroring.setText(words.mirroring(state))
        self.form.setRowVisible(self.combine, several)
        self.form.setRowVisible(self.boxes, boxed)
        parts.able(self.combine, running, words.COMBINED)
        parts.able(
            self.region,
            running,
            words.REGION if RegionChoice.LOCALISER in state.regions else words.NO_LOCALISER,
        )
        parts.able(
            self.box,
            running
            or ("" if state.boxes else "Press Draw and drag a rectangle; its layer then appears here."),
            words.BOX,
        )
        parts.able(
            self.draw_box, running or ("" if state.image is not None else "Open an image first."), words.DRAW
        )
        parts.able(self.device, running, words.DEVICE)
        parts.able(self.precision, running, words.PRECISION)
        parts.able(self.mirroring, running or state.why_no_mirroring, words.MIRRORING)
        several_edges = (
            "Only for a single model; an ensemble gives a map of where its models disagree."
            if several
            else ""
        )
        parts.able(self.edges, running or several_edges, words.EDGES)
        parts.able(self.entropy, running, words.ENTROPY)
        several_maps = "Only for a single model." if several else ""
        parts.able(self.probabilities, running or several_maps, words.PROBABILITIES)
        for combo in (self.device, self.precision):
            _grey(combo, state.unable)


def _grey(combo: QComboBox, reasons: Mapping[str, str]) -> None:
    """Grey out what is not available, with the reason as tooltip."""
    model = combo.model()
    assert isinstance(model, QStandardItemModel)
    for number in range(combo.count()):
        why = reasons.get(combo.itemText(number), "")
        model.item(number).setEnabled(not why)
        model.item(number).setToolTip(why)
