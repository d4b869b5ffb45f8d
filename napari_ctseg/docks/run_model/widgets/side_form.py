"""The form for a network's side file: the description that a bare network file lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from qtpy.QtWidgets import QDialog, QFormLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_ctseg import parts
from napari_ctseg.docks.run_model.library.side_draft import SideDraft, draft_of, side_of
from napari_ctseg.docks.run_model.library.side_faults import by_place
from napari_ctseg.docks.run_model.state import FormNeeded
from napari_ctseg.docks.run_model.widgets.side_fields import InputFields, ModelFields, OutputFields, Row, line

WIDTH, HEIGHT = 600, 780
FURTHER = 'More fields of the side file as JSON, e.g. {"pad": 0}; see docs/side-files.md.'


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
        self.model = ModelFields()
        self.input = InputFields()
        self.output = OutputFields()
        self.further = line(FURTHER)
        self.faults = {"": _fault()}  # by field; "" is the form as a whole
        self.add = parts.button("Save" if self._rewrite else "Add model", "")
        self._build()
        self._put(draft_of(needed.guess))
        self._connect()
        self._check()
        self.resize(WIDTH, HEIGHT)

    # ---- building

    def _rows(self) -> Iterator[Row]:
        for group in (self.model, self.input, self.output):
            yield from group.rows()
        yield "More fields", self.further, "further"

    def _build(self) -> None:
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        for title, item, field in self._rows():
            form.addRow(item) if title is None else form.addRow(title, item)
            if field is not None:
                self.faults[field] = _fault()
                form.addRow("", self.faults[field])
        intro = QLabel(
            f"{self._network.name} is a bare network. Describe its input and output; see the model's "
            "documentation or ask its author."
        )
        intro.setWordWrap(True)
        body = QWidget()
        parts.scrolled(body, [intro, form]).addStretch()
        leave = parts.button("Cancel", "Nothing is written. Key: Esc")
        leave.clicked.connect(self.reject)
        leave.setAutoDefault(False)
        outer = QVBoxLayout(self)
        outer.addWidget(body)
        outer.addWidget(self.faults[""])
        outer.addLayout(parts.row(leave, self.add))

    def _put(self, draft: SideDraft) -> None:
        """Fill every field from `draft`."""
        for group in (self.model, self.input, self.output):
            group.put(draft)
        self.further.setText(draft.further)

    def _connect(self) -> None:
        for group in (self.model, self.input, self.output):
            group.edited.connect(self._check)
        self.further.textChanged.connect(self._check)
        self.add.clicked.connect(self._write)

    # ---- what is filled in

    def draft(self) -> SideDraft:
        """All fields as they are filled in."""
        draft = SideDraft(further=self.further.text())
        for group in (self.model, self.input, self.output):
            draft = group.filled_in(draft)
        return draft

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
        self.input.draw(draft)
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
