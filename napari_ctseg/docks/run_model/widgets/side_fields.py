"""The fields of the side file's form, in three groups: the model, its input, its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qtpy.QtCore import QObject, QSignalBlocker, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QLayout, QLineEdit, QSpinBox, QWidget

from napari_ctseg import parts
from napari_ctseg.docks.run_model.library.side_draft import KINDS, SideDraft
from napari_ctseg.docks.run_model.widgets.side_tables import ChannelTable, MapTable

MOST_CHANNELS, MOST_MAPS = 16, 512
BROUGHT = ("resampled to a spacing (mm)", "resized to a fixed size (voxels)")
ORIENTATIONS = ("SPL", "RAS", "LPS", "LIA", "LAS", "RPI", "RAI", "PLI", "PRI")
ORIENTATION = (
    "Three letters, one for each axis of the network's array, in order: the direction in which it increases "
    "(Left or Right, Anterior or Posterior, Superior or Inferior). SPL: slices towards the head, rows "
    "towards the back. RAS: as in nibabel and MONAI. LIA: as in FreeSurfer."
)
SIDES = "For one axis of the network's array, in the order of its axis letters; empty: as in the volume."
PATCH = "Sliding window in voxels; leave all three empty to process the whole volume at once."
MULTIPLE_OF = (
    "The network needs sizes that are multiples of this (16 for four downsampling steps); the volume is "
    "padded. Empty: any size."
)
# A title (None: the item takes the whole width), what is edited, and the field whose faults are shown below.
Row = tuple[str | None, QWidget | QLayout, str | None]


class ModelFields(QObject):  # type: ignore[misc]
    """What the model is called, and the channels that it reads. edited : a field was changed."""

    edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.name = line("The name of the model in the list.")
        self.modality = parts.combo("The modality it was trained on.", ("CT", "MR", "PT"))
        self.modality.setEditable(True)
        self.channel_count = _count("The number of input channels of the network.", MOST_CHANNELS)
        self.channels = ChannelTable()
        _report(self.edited, (self.name,), (self.modality,))
        _size_by(self.channel_count, self.channels)
        self.channels.edited.connect(self.edited)

    def rows(self) -> tuple[Row, ...]:
        """From top to bottom."""
        return (
            ("Name", self.name, "name"),
            ("Modality", self.modality, "modality"),
            ("Channels", self.channel_count, None),
            (None, self.channels, "channels"),
        )

    def put(self, draft: SideDraft) -> None:
        """Show its part of `draft`."""
        self.name.setText(draft.name)
        self.modality.setCurrentText(draft.modality)
        self.channels.put(draft.channels)
        with QSignalBlocker(self.channel_count):
            self.channel_count.setValue(len(draft.channels))

    def filled_in(self, draft: SideDraft) -> SideDraft:
        """`draft` with these fields as they are filled in."""
        return replace(
            draft,
            name=self.name.text(),
            modality=self.modality.currentText(),
            channels=self.channels.rows(),
        )


class InputFields(QObject):  # type: ignore[misc]
    """How the volume becomes the network's array. edited : a field was changed."""

    edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.by = parts.combo("How the volume is resampled for the network.", BROUGHT)
        self.sides = [line(SIDES) for _ in range(3)]
        self.orientation = parts.combo(ORIENTATION, ORIENTATIONS)
        self.orientation.setEditable(True)
        self.interpolation = parts.combo("The interpolation for resampling.", ("linear", "nearest", "area"))
        self.patch = [line(PATCH) for _ in range(3)]
        self.multiple_of = [line(MULTIPLE_OF) for _ in range(3)]
        _report(self.edited, self._boxes(), (self.by, self.orientation, self.interpolation))

    def _boxes(self) -> tuple[QLineEdit, ...]:
        return (*self.sides, *self.patch, *self.multiple_of)

    def rows(self) -> tuple[Row, ...]:
        """From top to bottom."""
        return (
            ("Input", self.by, None),
            ("", parts.row(*self.sides), "spacing"),
            ("Orientation", self.orientation, "orientation"),
            ("Interpolation", self.interpolation, "interpolation"),
            ("Sliding window", parts.row(*self.patch), "patch"),
            ("Multiples of", parts.row(*self.multiple_of), "multiple_of"),
        )

    def put(self, draft: SideDraft) -> None:
        """Show its part of `draft`."""
        self.by.setCurrentIndex(int(draft.by_size))
        texts = (*draft.sides, *draft.patch, *draft.multiple_of)
        for box, text in zip(self._boxes(), texts, strict=True):
            box.setText(text)
        self.orientation.setCurrentText(draft.orientation)
        self.interpolation.setCurrentText(draft.interpolation)

    def filled_in(self, draft: SideDraft) -> SideDraft:
        """`draft` with these fields as they are filled in."""
        return replace(
            draft,
            by_size=self.by.currentIndex() == 1,
            sides=_texts(self.sides),
            orientation=self.orientation.currentText(),
            interpolation=self.interpolation.currentText(),
            patch=_texts(self.patch),
            multiple_of=_texts(self.multiple_of),
        )

    def draw(self, draft: SideDraft) -> None:
        """Name the axes in the empty fields, and grey out what a fixed size leaves no choice in."""
        for letter, *boxes in zip(
            draft.orientation.upper(), self.sides, self.patch, self.multiple_of, strict=False
        ):
            for box in boxes:
                box.setPlaceholderText(f"{letter} axis")
        why_not = "With a fixed size the whole volume is processed at once." if draft.by_size else ""
        for boxes, tip in ((self.patch, PATCH), (self.multiple_of, MULTIPLE_OF)):
            for box in boxes:
                parts.able(box, why_not, tip)


class OutputFields(QObject):  # type: ignore[misc]
    """What the network gives. edited : a field was changed."""

    edited = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.kind = parts.combo(
            "The network's output: logits (before the softmax), probabilities, or class numbers.",
            list(KINDS.values()),
        )
        self.exclusive = QCheckBox("mutually exclusive classes")
        self.exclusive.setToolTip("On: one softmax over all classes. Off: a sigmoid for each class.")
        self.map_count = _count("The number of output classes, background included.", MOST_MAPS)
        self.maps = MapTable()
        _report(self.edited, (), (self.kind,))
        self.exclusive.toggled.connect(self.edited)
        _size_by(self.map_count, self.maps)
        self.maps.edited.connect(self.edited)

    def rows(self) -> tuple[Row, ...]:
        """From top to bottom."""
        return (
            ("Output", parts.row(self.kind, self.exclusive), "output"),
            ("Classes", self.map_count, None),
            (None, self.maps, "labels"),
        )

    def put(self, draft: SideDraft) -> None:
        """Show its part of `draft`."""
        self.kind.setCurrentText(KINDS[draft.kind])
        self.exclusive.setChecked(draft.exclusive)
        self.maps.put(draft.maps)
        with QSignalBlocker(self.map_count):
            self.map_count.setValue(len(draft.maps))

    def filled_in(self, draft: SideDraft) -> SideDraft:
        """`draft` with these fields as they are filled in."""
        return replace(
            draft,
            kind=list(KINDS)[self.kind.currentIndex()],
            exclusive=self.exclusive.isChecked(),
            maps=self.maps.rows(),
        )


def line(tip: str) -> QLineEdit:
    """A line of text."""
    box = QLineEdit()
    box.setToolTip(tip)
    return box


def _texts(boxes: Sequence[QLineEdit]) -> tuple[str, str, str]:
    a, b, c = (box.text() for box in boxes)
    return a, b, c


def _count(tip: str, most: int) -> QSpinBox:
    box = QSpinBox()
    box.setRange(1, most)
    box.setToolTip(tip)
    return box


def _size_by(count: QSpinBox, table: ChannelTable | MapTable) -> None:
    """Give the table `count` rows."""

    def resize(rows: int) -> None:
        table.resize_to(rows)
        table.edited.emit()

    count.valueChanged.connect(resize)


def _report(edited: Signal, lines: Sequence[QLineEdit], combos: Sequence[QComboBox]) -> None:
    for box in lines:
        box.textChanged.connect(lambda _: edited.emit())
    for combo in combos:
        combo.currentTextChanged.connect(lambda _: edited.emit())
