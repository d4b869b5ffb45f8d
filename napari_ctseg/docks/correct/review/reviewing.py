"""Marks slices and classes of the dock's mask, and goes to those that are left."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ctseg_imaging.volume import slice_number
from napari_ctseg.docks.correct.mask_dock import MaskDock
from napari_ctseg.viewer.layers import go_to_slice, slice_of
from napari_ctseg.viewer.review import Mark, Review

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Labels as LabelsLayer

NOT_AXIAL = "Axial slices are marked; show the axial plane (Ctrl+E)."


class Reviewing:
    """The marks are of axial slices; an edit takes those of what it changes."""

    def __init__(self, dock: MaskDock) -> None:
        self._dock = dock
        self._review: Review | None = None

    # ---- what the user does

    def slice_reviewed(self) -> None:
        """The slice is reviewed; if it is marked so, it is not."""
        self._mark_slice(Mark.REVIEWED)

    def slice_needs_work(self) -> None:
        """The slice needs work; if it is marked so, it does not."""
        self._mark_slice(Mark.NEEDS_WORK)

    def class_reviewed(self) -> None:
        """As `slice_reviewed`, for the selected class."""
        self._mark_class(Mark.REVIEWED)

    def class_needs_work(self) -> None:
        """As `slice_needs_work`, for the selected class."""
        self._mark_class(Mark.NEEDS_WORK)

    def next_unreviewed(self) -> None:
        """Go to the next slice that is not reviewed, after the last one to the first."""
        self._go(lambda mark: mark is not Mark.REVIEWED, "All slices are reviewed.")

    def next_needs_work(self) -> None:
        """Go to the next slice that needs work, after the last one to the first."""
        self._go(lambda mark: mark is Mark.NEEDS_WORK, "No slice is marked as needing work.")

    def go_to(self, index: int) -> None:
        """Show this slice."""
        if (layer := self._dock.layer) is not None:
            go_to_slice(self._dock.viewer, layer, index)

    # ---- what happens elsewhere

    def follow(self, layer: LabelsLayer | None) -> None:
        """Mark this mask from now on, None for none."""
        if self._review is not None:
            self._review.changed.disconnect(self._changed)
            self._review.edited.disconnect(self._edited)
        self._review = None if layer is None else Review.of(layer)
        if self._review is not None:
            self._review.changed.connect(self._changed)
            self._review.edited.connect(self._edited)
        self._dock.update(review=replace(self._dock.state.review, edited=""))
        self.show()

    def show(self) -> None:
        """Show the marks and the slice."""
        dock, layer = self._dock, self._dock.layer
        state = replace(dock.state.review, slices=(), why_not=self._why_not())
        if layer is not None and self._review is not None:
            marks = self._review.marks.slices
            slices = tuple(marks.get(index) for index in range(len(layer.data)))
            state = replace(state, slices=slices, here=slice_of(dock.viewer, layer))
        dock.update(review=state)

    # ---- inside

    def _why_not(self) -> str:
        mask, dims = self._dock.state.mask, self._dock.viewer.dims
        if mask.why_not:
            return mask.why_not
        axial = dims.ndisplay == 2 and dims.ndim - 3 not in dims.displayed
        return "" if axial else NOT_AXIAL

    def _mark_slice(self, mark: Mark) -> None:
        self.show()
        dock, state = self._dock, self._dock.state.review
        if self._review is None or state.why_not:
            dock.update(message=state.why_not or dock.state.mask.why_not, details="")
            return
        dock.update(review=replace(state, edited=""), message="", details="")
        self._review.mark_slice(state.here, None if state.mark is mark else mark)

    def _mark_class(self, mark: Mark) -> None:
        dock, row = self._dock, self._dock.state.classes.selected_row
        if self._review is None or dock.state.mask.why_not or row is None:
            dock.update(message=dock.state.mask.why_not or "Choose a class first.", details="")
            return
        dock.update(review=replace(dock.state.review, edited=""), message="", details="")
        self._review.mark_class(row.value, None if row.mark is mark else mark)

    def _go(self, wanted: Callable[[Mark | None], bool], none: str) -> None:
        self.show()
        state = self._dock.state.review
        count = len(state.slices)
        others = ((state.here + step) % count for step in range(1, count + 1))
        found = next((index for index in others if wanted(state.slices[index])), None)
        if found is None:
            self._dock.update(message=none if count else state.why_not, details="")
        else:
            self.go_to(found)

    def _changed(self) -> None:
        self.show()
        self._dock.show_numbers()  # the classes with their marks

    def _edited(self, slices: tuple[int, ...], classes: tuple[int, ...]) -> None:
        followed = self._dock.followed
        names = [] if followed is None else [followed.labels.name(value) for value in classes]
        what = [*([_slices(slices)] if slices else []), *names]
        listed = what[0] if len(what) == 1 else f"{', '.join(what[:-1])} and {what[-1]}"
        is_one = len(what) == 1 and len(slices) <= 1
        were = "was" if is_one else "were"
        sentence = f"{listed[:1].upper()}{listed[1:]} {were} edited: no longer reviewed."
        self._dock.update(review=replace(self._dock.state.review, edited=sentence))


def _slices(slices: tuple[int, ...]) -> str:
    if len(slices) == 1:
        return f"slice {slice_number(slices[0])}"
    if slices[-1] - slices[0] == len(slices) - 1:
        return f"slices {slice_number(slices[0])} to {slice_number(slices[-1])}"
    return f"{len(slices)} slices"
