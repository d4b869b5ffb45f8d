"""The review of the mask: how far it is, its strip, and the marks of the slice and of the class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QPushButton

from napari_ctseg import parts
from napari_ctseg.docks.correct.review.widgets.review_strip import ReviewStrip
from napari_ctseg.keys import Gesture
from napari_ctseg.keys import table as keys
from napari_ctseg.viewer.review import Mark

if TYPE_CHECKING:
    from napari_ctseg.docks.correct.review.reviewing import Reviewing
    from napari_ctseg.docks.correct.review.state import ReviewState
    from napari_ctseg.docks.correct.state import ClassRow

NO_CLASS = "Choose a class first."


class ReviewSection(parts.Section):
    """Buttons that are down where the mark is set."""

    def __init__(self) -> None:
        super().__init__()
        self.told, self.edited, self.strip = parts.text(), parts.remark(), ReviewStrip()
        self.slice = {
            Mark.REVIEWED: _button("Reviewed", keys.SLICE_REVIEWED),
            Mark.NEEDS_WORK: _button("Needs work", keys.SLICE_NEEDS_WORK),
        }
        self.classes = {
            Mark.REVIEWED: _button("Reviewed", keys.CLASS_REVIEWED),
            Mark.NEEDS_WORK: _button("Needs work", keys.CLASS_NEEDS_WORK),
        }
        self.next = parts.button("Next", _tip(keys.NEXT_UNREVIEWED))
        marks = parts.form(
            ("Slice", parts.row(*self.slice.values(), self.next)),
            ("Class", parts.row(*self.classes.values())),
        )
        self.stack(self.told, self.strip, marks, self.edited)

    def connect_to(self, reviewing: Reviewing) -> None:
        """Pass clicks on to `reviewing`."""
        self.slice[Mark.REVIEWED].clicked.connect(reviewing.slice_reviewed)
        self.slice[Mark.NEEDS_WORK].clicked.connect(reviewing.slice_needs_work)
        self.classes[Mark.REVIEWED].clicked.connect(reviewing.class_reviewed)
        self.classes[Mark.NEEDS_WORK].clicked.connect(reviewing.class_needs_work)
        self.next.clicked.connect(reviewing.next_unreviewed)
        self.strip.asked.connect(reviewing.go_to)

    def draw(self, review: ReviewState, on: ClassRow | None) -> None:
        """on : the class that is painted."""
        self.setVisible(bool(review.slices))
        self.told.setText(f"{review.in_words}.")
        self.strip.draw(review.slices, review.here)
        for mark, pressed in self.slice.items():
            pressed.setChecked(review.mark is mark)
            parts.able(pressed, review.why_not, str(pressed.property("tip")))
        for mark, pressed in self.classes.items():
            pressed.setChecked(on is not None and on.mark is mark)
            parts.able(pressed, "" if on is not None else NO_CLASS, str(pressed.property("tip")))
        parts.show_text(self.edited, review.edited)


def _button(words: str, gesture: Gesture) -> QPushButton:
    made = parts.button(words, _tip(gesture))
    made.setCheckable(True)
    made.setProperty("tip", _tip(gesture))
    return made


def _tip(gesture: Gesture) -> str:
    return f"{gesture.does}. Key: {gesture.name}"
