"""The form that writes a network file's side file: what a bare network does not say about itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFormLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_ctseg import parts
from napari_ctseg.docks.run_model.library.side_draft import (
    KINDS,
    NORMALISE,
    ChannelRow,
    MapRow,
    SideDraft,
    draft_of,
    side_of,
)
from napari_ctseg.docks.run_model.state import FormNeeded

WIDTH, HEIGHT = 600, 780
ROW_HEIGHT, CHANNELS_SHOWN, MAPS_SHOWN = 26, 3, 6
MOST_MAPS = 512
BROUGHT = ("resampled to a spacing (mm)", "resized to a fixed size (voxels)")
PLACES = (
    "name",
    "modality",
    "channels",
    "spacing",
    "orientation",
    "interpolation",
    "patch",
    "multiple_of",
    "output",
    "labels",
    "further",
    "",
)
ORIENTATIONS = ("SPL", "RAS", "LPS", "LIA", "LAS", "RPI", "RAI", "PLI", "PRI")
ORIENTATION = (
    "Three letters, one for each axis of the network's array in order: where it runs to (Left or Right, "
    "Anterior or Posterior, "
    "Superior or Inferior). SPL: slices towards the head, rows towards the back. RAS: nibabel's and MONAI's. "
    "LIA: FreeSurfer's."
)
CHANNELS = ("name", "image", "from", "to", "normalised", "shift", "scale")
CHANNEL_TIP = (
    "One row for each channel of the network. image: 1 is the open image; several windows of one CT all say "
    "1. "
    "from, to: the window that values are cut to (HU for CT). normalised: what happens then."
)
NORMALISED = 4
MAPS_TIP = (
    "One row for each class that the network gives, in its order. label: the value it gets in the result; 0 "
    "or nothing is "
    'background (so a "body" class is merged away), and the same value twice merges two classes. Each label '
    "needs a name once."
)


class SideFileActions(Protocol):
    """What the form asks of the controller's side."""

    def faults(self, side: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong, by field."""

    def write_side_file(self, network: Any, side: Mapping[str, Any], *, anew: bool = False) -> str:
        """Write it and add the network, or take over what is there; a sentence when it cannot be written."""


class SideForm(QDialog):  # type: ignore[misc]
    """Faults stand next to their fields; the button below is grey until there is none, and nothing is written
    before it is pressed.
    """

    def __init__(self, owner: QWidget, needed: FormNeeded, shelf: SideFileActions) -> None:
        super().__init__(owner)
        self._network, self._anew, self._shelf = needed.network, needed.anew, shelf
        self.setWindowTitle(
            f"{needed.network.name}: its description" if needed.anew else f"What is {needed.network.name}?"
        )
        self._build()
        self._put(draft_of(needed.guess))
        self._connect()
        self._check()
        self.resize(WIDTH, HEIGHT)

    # ---- building

    def _build(self) -> None:
        self.name, self.modality = (
            _line("How the model is called in the list."),
            parts.combo("What it was trained on.", ("CT", "MR", "PT")),
        )
        self.modality.setEditable(True)
        self.channel_count, self.map_count = (
            _count("How many channels the network takes.", 16),
            _count("How many classes the network gives, the background with them.", MOST_MAPS),
        )
        self.channels = _table(CHANNELS, CHANNEL_TIP, {1: 56, 2: 66, 3: 66, NORMALISED: 170, 5: 60, 6: 60})
        self.maps = _table(("class", "label", "name"), MAPS_TIP, {0: 56, 1: 70})
        self.by = parts.combo("How the volume is brought to the network.", BROUGHT)
        self.sides = [
            _line(
                "Along one axis of the network's array, in the order of its axis letters; empty: as the "
                "volume has it."
            )
            for _ in range(3)
        ]
        self.orientation = parts.combo(ORIENTATION, ORIENTATIONS)
        self.orientation.setEditable(True)
        self.interpolation = parts.combo("How the volume is resampled.", ("linear", "nearest", "area"))
        self.patch = [
            _line("Sliding window in voxels; leave all three empty for the whole volume at once.")
            for _ in range(3)
        ]
        self.multiple_of = [
            _line(
                "The network takes only sides that are multiples of this (16 after four halvings); the "
                "volume is padded. "
                "Empty: any side."
            )
            for _ in range(3)
        ]
        self.kind = parts.combo(
            "What the network gives: numbers before the softmax, probabilities, or the classes themselves.",
            list(KINDS.values()),
        )
        self.exclusive = QCheckBox("classes exclude each other")
        self.exclusive.setToolTip(
            "On: one softmax over all classes. Off: each class has a sigmoid of its own."
        )
        self.further = _line(
            'Further fields of the side file as JSON, e.g. {"pad": 0}; docs/side-files.md lists them.'
        )
        self._sized = {box: box.toolTip() for box in (*self.patch, *self.multiple_of)}
        self.faults = {field: _fault() for field in PLACES}
        self.add = parts.button("Save" if self._anew else "Add model", "")
        leave = parts.button("Cancel", "Nothing is written. Key: Esc")
        leave.clicked.connect(self.reject)
        leave.setAutoDefault(False)
        body = QWidget()
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        gives = parts.row(self.kind, self.exclusive)
        for title, item, field in (
            ("Name", self.name, "name"),
            ("Images are", self.modality, "modality"),
            ("Channels", self.channel_count, None),
            (None, self.channels, "channels"),
            ("The volume is", self.by, None),
            ("", parts.row(*self.sides), "spacing"),
            ("Its axes run to", self.orientation, "orientation"),
            ("Resampled", self.interpolation, "interpolation"),
            ("Sliding window", parts.row(*self.patch), "patch"),
            ("Multiples of", parts.row(*self.multiple_of), "multiple_of"),
            ("It gives", gives, "output"),
            ("Classes", self.map_count, None),
            (None, self.maps, "labels"),
            ("Further", self.further, "further"),
        ):
            self.form.addRow(item) if title is None else self.form.addRow(title, item)
            if field is not None:
                self.form.addRow("", self.faults[field])
        intro = QLabel(
            f"{self._network.name} is a bare network. Say how an image becomes its input and what its output "
            "means; "
            "its documentation or whoever made it knows."
        )
        intro.setWordWrap(True)
        column = parts.scrolled(body, [intro, self.form])
        column.addStretch()
        outer = QVBoxLayout(self)
        outer.addWidget(body)
        outer.addWidget(self.faults[""])
        outer.addLayout(parts.row(leave, self.add))

    def _put(self, draft: SideDraft) -> None:
        """Fill every field from `draft`."""
        self.name.setText(draft.name)
        self.modality.setCurrentText(draft.modality)
        self.channel_count.setValue(len(draft.channels))
        self._put_channels(draft.channels)
        self.by.setCurrentIndex(int(draft.by_size))
        for box, words in zip(
            (*self.sides, *self.patch, *self.multiple_of),
            (*draft.sides, *draft.patch, *draft.multiple_of),
            strict=True,
        ):
            box.setText(words)
        self.orientation.setCurrentText(draft.orientation)
        self.interpolation.setCurrentText(draft.interpolation)
        self.kind.setCurrentText(KINDS[draft.kind])
        self.exclusive.setChecked(draft.exclusive)
        self.map_count.setValue(len(draft.maps))
        self._put_maps(draft.maps)
        self.further.setText(draft.further)

    def _put_channels(self, rows: Sequence[ChannelRow]) -> None:
        with QSignalBlocker(self.channels):
            self.channels.setRowCount(len(rows))
            for number, row in enumerate(rows):
                for column, words in enumerate(
                    (row.name, row.source, row.low, row.high, "", row.shift, row.scale)
                ):
                    self.channels.setItem(number, column, QTableWidgetItem(words))
                combo = parts.combo("What happens to the values after the window.", list(NORMALISE.values()))
                combo.setCurrentText(NORMALISE[row.normalise])
                combo.currentIndexChanged.connect(self._check)
                self.channels.setCellWidget(number, NORMALISED, combo)
        _fit(self.channels, CHANNELS_SHOWN)

    def _put_maps(self, rows: Sequence[MapRow]) -> None:
        with QSignalBlocker(self.maps):
            self.maps.setRowCount(len(rows))
            for number, row in enumerate(rows):
                for column, words in enumerate((str(number), row.value, row.name)):
                    self.maps.setItem(number, column, QTableWidgetItem(words))
        _fit(self.maps, MAPS_SHOWN)

    def _connect(self) -> None:
        for line in (self.name, *self.sides, *self.patch, *self.multiple_of, self.further):
            line.textChanged.connect(self._check)
        for combo in (self.modality, self.by, self.orientation, self.interpolation, self.kind):
            combo.currentTextChanged.connect(self._check)
        self.exclusive.toggled.connect(self._check)
        self.channels.itemChanged.connect(self._check)
        self.maps.itemChanged.connect(self._check)
        self.channel_count.valueChanged.connect(self._resize_channels)
        self.map_count.valueChanged.connect(self._resize_maps)
        self.add.clicked.connect(self._write)

    # ---- what is filled in

    def draft(self) -> SideDraft:
        """All fields as they stand."""
        words = list(NORMALISE)
        channels = []
        for row in range(self.channels.rowCount()):
            name, source, low, high, _, shift, scale = _cells(self.channels, row)
            combo: QComboBox = self.channels.cellWidget(row, NORMALISED)
            channels.append(ChannelRow(name, source, low, high, words[combo.currentIndex()], shift, scale))
        maps = [MapRow(*_cells(self.maps, row)[1:]) for row in range(self.maps.rowCount())]
        a, b, c = (box.text() for box in self.sides)
        d, e, f = (box.text() for box in self.patch)
        g, h, i = (box.text() for box in self.multiple_of)
        return SideDraft(
            self.name.text(),
            self.modality.currentText(),
            tuple(channels),
            self.by.currentIndex() == 1,
            (a, b, c),
            self.orientation.currentText(),
            self.interpolation.currentText(),
            (d, e, f),
            (g, h, i),
            list(KINDS)[self.kind.currentIndex()],
            self.exclusive.isChecked(),
            tuple(maps),
            self.further.text(),
        )

    def _resize_channels(self, count: int) -> None:
        rows = list(self.draft().channels)
        self._put_channels(
            [*rows, *(replace(rows[-1], name=f"channel {number + 1}") for number in range(len(rows), count))][
                :count
            ]
        )
        self._check()

    def _resize_maps(self, count: int) -> None:
        rows = list(self.draft().maps)
        self._put_maps([*rows, *(MapRow(str(number)) for number in range(len(rows), count))][:count])
        self._check()

    def _check(self, *_: object) -> None:
        """Show every fault next to its field; `Add model` is free once there is none."""
        draft = self.draft()
        side, faults = side_of(draft)
        said = {field.split(".")[0] for field in faults}
        told = (
            {"", *said} if said else set()
        )  # a fault of the whole, or of a part, often comes from one that is shown already
        faults |= {
            field: words
            for field, words in self._shelf.faults(side).items()
            if field.split(".")[0] not in told
        }
        shown = _by_place(faults, self.faults)
        for field, label in self.faults.items():
            parts.say(label, shown.get(field, ""))
            label.setToolTip(shown.get(field, ""))
        for letter, *boxes in zip(
            draft.orientation.upper(), self.sides, self.patch, self.multiple_of, strict=False
        ):
            for box in boxes:
                box.setPlaceholderText(f"{letter} axis")
        for box, tip in self._sized.items():
            parts.able(box, "A fixed size is the whole volume at once." if draft.by_size else "", tip)
        then = "" if self._anew else " and adds the model"
        parts.able(
            self.add,
            "Something is still missing; it says so next to its field." if faults else "",
            f"Writes {self._network.with_suffix('.json').name} next to the network{then}.",
        )

    def _write(self) -> None:
        side, _ = side_of(self.draft())
        parts.say(self.faults[""], self._shelf.write_side_file(self._network, side, anew=self._anew))


def _by_place(faults: Mapping[str, str], places: Mapping[str, object]) -> dict[str, str]:
    """Faults gathered under the fields that the form has a place for: "output.classes" under "labels", "size"
    under "spacing".
    """
    shown: dict[str, list[str]] = {}
    for field, words in faults.items():
        first = (
            "labels"
            if field == "output.classes" or field.startswith("output.classes.")
            else field.split(".")[0]
        )
        first = {"size": "spacing"}.get(first, first)
        part = field.split(".")[1] if field.startswith("channels.") else ""
        if part.isdigit():
            said = f"Channel {int(part) + 1}: {words}"
        else:
            said = (
                words
                if first in places and (field in (first, "size") or first == "labels")
                else f"{field}: {words}".removeprefix(": ")
            )
        shown.setdefault(first if first in places else "", []).append(said)
    return {place: "; ".join(dict.fromkeys(said)) for place, said in shown.items()}


def _fault() -> parts.Text:
    """One line next to a field; what is too long for it is its tooltip."""
    label = parts.remark()
    label.setWordWrap(False)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return label


def _line(tip: str) -> QLineEdit:
    line = QLineEdit()
    line.setToolTip(tip)
    return line


def _count(tip: str, most: int) -> QSpinBox:
    box = QSpinBox()
    box.setRange(1, most)
    box.setToolTip(tip)
    return box


def _table(titles: Sequence[str], tip: str, widths: Mapping[int, int]) -> QTableWidget:
    """widths : px by column; the others share what is left."""
    table = QTableWidget(0, len(titles))
    table.setHorizontalHeaderLabels(list(titles))
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    for column, width in widths.items():
        table.horizontalHeader().setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
        table.setColumnWidth(column, width)
    table.setToolTip(tip)
    return table


def _fit(table: QTableWidget, most: int) -> None:
    rows = min(most, table.rowCount())
    table.setFixedHeight(
        table.horizontalHeader().sizeHint().height() + rows * ROW_HEIGHT + 2 * table.frameWidth() + 2
    )


def _cells(table: QTableWidget, row: int) -> list[str]:
    items = [table.item(row, column) for column in range(table.columnCount())]
    return ["" if item is None else item.text() for item in items]
