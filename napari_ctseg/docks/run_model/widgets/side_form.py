"""The form for a network's side file: the description that a bare network file lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QFormLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_ctseg import parts
from napari_ctseg.docks.run_model.library.side_draft import KINDS, SideDraft, draft_of, side_of
from napari_ctseg.docks.run_model.library.side_faults import by_place
from napari_ctseg.docks.run_model.state import FormNeeded
from napari_ctseg.docks.run_model.widgets.side_tables import ChannelTable, MapTable

WIDTH, HEIGHT = 600, 780
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
    "Three letters, one for each axis of the network's array, in order: the direction in which it increases "
    "(Left or Right, Anterior or Posterior, Superior or Inferior). SPL: slices towards the head, rows "
    "towards the back. RAS: as in nibabel and MONAI. LIA: as in FreeSurfer."
)


class SideFileActions(Protocol):
    """What the form needs: validation and writing."""

    def faults(self, side: Mapping[str, Any]) -> dict[str, str]:
        """What is wrong, by field."""

    def write_side_file(self, network: Any, side: Mapping[str, Any], *, overwrite: bool = False) -> str:
        """Write it and add the network; returns a sentence if it cannot be written, else ""."""


class SideForm(QDialog):  # type: ignore[misc]
    """Shows faults next to their fields. The button below is grey until there are none; nothing is written
    before it is pressed.
    """

    def __init__(self, owner: QWidget, needed: FormNeeded, actions: SideFileActions) -> None:
        super().__init__(owner)
        self._network, self._rewrite, self._actions = needed.network, needed.rewrite, actions
        self.setWindowTitle(f"Description of {needed.network.name}")
        self._build()
        self._put(draft_of(needed.guess))
        self._connect()
        self._check()
        self.resize(WIDTH, HEIGHT)

    # ---- building

    def _build(self) -> None:
        self.name, self.modality = (
            _line("The name of the model in the list."),
            parts.combo("The modality it was trained on.", ("CT", "MR", "PT")),
        )
        self.modality.setEditable(True)
        self.channel_count, self.map_count = (
            _count("The number of input channels of the network.", 16),
            _count("The number of output classes, background included.", MOST_MAPS),
        )
        self.channels, self.maps = ChannelTable(), MapTable()
        self.by = parts.combo("How the volume is resampled for the network.", BROUGHT)
        self.sides = [
            _line(
                "For one axis of the network's array, in the order of its axis letters; empty: as in the "
                "volume."
            )
            for _ in range(3)
        ]
        self.orientation = parts.combo(ORIENTATION, ORIENTATIONS)
        self.orientation.setEditable(True)
        self.interpolation = parts.combo("The interpolation for resampling.", ("linear", "nearest", "area"))
        self.patch = [
            _line("Sliding window in voxels; leave all three empty to process the whole volume at once.")
            for _ in range(3)
        ]
        self.multiple_of = [
            _line(
                "The network needs sizes that are multiples of this (16 for four downsampling steps); the "
                "volume is padded. Empty: any size."
            )
            for _ in range(3)
        ]
        self.kind = parts.combo(
            "The network's output: logits (before the softmax), probabilities, or class numbers.",
            list(KINDS.values()),
        )
        self.exclusive = QCheckBox("mutually exclusive classes")
        self.exclusive.setToolTip("On: one softmax over all classes. Off: a sigmoid for each class.")
        self.further = _line('More fields of the side file as JSON, e.g. {"pad": 0}; see docs/side-files.md.')
        self._sized = {box: box.toolTip() for box in (*self.patch, *self.multiple_of)}
        self.faults = {field: _fault() for field in PLACES}
        self.add = parts.button("Save" if self._rewrite else "Add model", "")
        leave = parts.button("Cancel", "Nothing is written. Key: Esc")
        leave.clicked.connect(self.reject)
        leave.setAutoDefault(False)
        body = QWidget()
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        gives = parts.row(self.kind, self.exclusive)
        for title, item, field in (
            ("Name", self.name, "name"),
            ("Modality", self.modality, "modality"),
            ("Channels", self.channel_count, None),
            (None, self.channels, "channels"),
            ("Input", self.by, None),
            ("", parts.row(*self.sides), "spacing"),
            ("Orientation", self.orientation, "orientation"),
            ("Interpolation", self.interpolation, "interpolation"),
            ("Sliding window", parts.row(*self.patch), "patch"),
            ("Multiples of", parts.row(*self.multiple_of), "multiple_of"),
            ("Output", gives, "output"),
            ("Classes", self.map_count, None),
            (None, self.maps, "labels"),
            ("More fields", self.further, "further"),
        ):
            self.form.addRow(item) if title is None else self.form.addRow(title, item)
            if field is not None:
                self.form.addRow("", self.faults[field])
        intro = QLabel(
            f"{self._network.name} is a bare network. Describe its input and output; see the model's "
            "documentation or ask its author."
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
        self.channels.put(draft.channels)
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
        self.maps.put(draft.maps)
        self.further.setText(draft.further)

    def _connect(self) -> None:
        for line in (self.name, *self.sides, *self.patch, *self.multiple_of, self.further):
            line.textChanged.connect(self._check)
        for combo in (self.modality, self.by, self.orientation, self.interpolation, self.kind):
            combo.currentTextChanged.connect(self._check)
        self.exclusive.toggled.connect(self._check)
        self.channels.edited.connect(self._check)
        self.maps.edited.connect(self._check)
        self.channel_count.valueChanged.connect(self._resize_channels)
        self.map_count.valueChanged.connect(self._resize_maps)
        self.add.clicked.connect(self._write)

    # ---- what is filled in

    def draft(self) -> SideDraft:
        """All fields as they are filled in."""
        a, b, c = (box.text() for box in self.sides)
        d, e, f = (box.text() for box in self.patch)
        g, h, i = (box.text() for box in self.multiple_of)
        return SideDraft(
            self.name.text(),
            self.modality.currentText(),
            self.channels.rows(),
            self.by.currentIndex() == 1,
            (a, b, c),
            self.orientation.currentText(),
            self.interpolation.currentText(),
            (d, e, f),
            (g, h, i),
            list(KINDS)[self.kind.currentIndex()],
            self.exclusive.isChecked(),
            self.maps.rows(),
            self.further.text(),
        )

    def _resize_channels(self, count: int) -> None:
        self.channels.resize_to(count)
        self._check()

    def _resize_maps(self, count: int) -> None:
        self.maps.resize_to(count)
        self._check()

    def _check(self, *_: object) -> None:
        """Show every fault next to its field; the button is enabled once there are none."""
        draft = self.draft()
        side, faults = side_of(draft)
        reported = {field.split(".")[0] for field in faults}
        if reported:
            reported.add("")  # a fault of the whole file often follows from one that is shown already
        more = self._actions.faults(side)
        faults |= {field: fault for field, fault in more.items() if field.split(".")[0] not in reported}
        shown = by_place(faults, self.faults)
        for field, label in self.faults.items():
            parts.show_text(label, shown.get(field, ""))
            label.setToolTip(shown.get(field, ""))
        for letter, *boxes in zip(
            draft.orientation.upper(), self.sides, self.patch, self.multiple_of, strict=False
        ):
            for box in boxes:
                box.setPlaceholderText(f"{letter} axis")
        for box, tip in self._sized.items():
            parts.able(
                box, "With a fixed size the whole volume is processed at once." if draft.by_size else "", tip
            )
        then = "" if self._rewrite else " and adds the model"
        parts.able(
            self.add,
            "Some fields are incomplete; see the notes next to them." if faults else "",
            f"Writes {self._network.with_suffix('.json').name} next to the network{then}.",
        )

    def _write(self) -> None:
        side, _ = side_of(self.draft())
        parts.show_text(
            self.faults[""], self._actions.write_side_file(self._network, side, overwrite=self._rewrite)
        )


def _fault() -> parts.Text:
    """One line next to a field; the whole text is its tooltip."""
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
