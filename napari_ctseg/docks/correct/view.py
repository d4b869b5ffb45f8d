"""The Correct & export dock in Qt: draws the state, hands clicks to the controller."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_ctseg import parts
from napari_ctseg.docks.correct.controller import CorrectController
from napari_ctseg.docks.correct.pointed.widgets.pointed_section import PointedSection
from napari_ctseg.docks.correct.previews.widgets.propagate_section import PropagateSection
from napari_ctseg.docks.correct.previews.widgets.refine_section import RefineSection
from napari_ctseg.docks.correct.previews.widgets.snap_section import SnapSection
from napari_ctseg.docks.correct.review.widgets.review_section import ReviewSection
from napari_ctseg.docks.correct.state import CorrectState
from napari_ctseg.docks.correct.widgets.brush_section import BrushSection
from napari_ctseg.docks.correct.widgets.class_section import ClassSection
from napari_ctseg.docks.correct.widgets.export_section import ExportSection
from napari_ctseg.docks.correct.widgets.grow_section import GrowSection
from napari_ctseg.docks.correct.widgets.mask_section import MaskSection
from napari_ctseg.docks.correct.widgets.operation_section import OperationSection
from napari_ctseg.docks.correct.widgets.start_section import StartSection
from napari_ctseg.keys import Gesture, bind, release
from napari_ctseg.keys import table as keys
from napari_ctseg.preferences import Preferences

if TYPE_CHECKING:
    import napari


def bound_keys(controller: CorrectController) -> dict[Gesture, Callable[[], None]]:
    """What the keys of the window do while the dock is open."""
    pointing, reviewing = controller.pointing, controller.reviewing
    return {
        keys.GROW: controller.growing.begin,
        keys.REFINE: controller.refining.begin,
        keys.PROPAGATE: controller.propagating.begin,
        keys.SNAP: controller.snapping.begin,
        keys.ACCEPT_COMPONENT: pointing.accept_component,
        keys.ACCEPT_SLICE: pointing.accept_slice,
        keys.ACCEPT_CLASS: pointing.accept_class,
        keys.RELABEL: pointing.relabel,
        keys.DELETE_COMPONENT: pointing.delete,
        keys.MERGE: pointing.merge,
        keys.SPLIT: pointing.split,
        keys.SLICE_REVIEWED: reviewing.slice_reviewed,
        keys.SLICE_NEEDS_WORK: reviewing.slice_needs_work,
        keys.CLASS_REVIEWED: reviewing.class_reviewed,
        keys.CLASS_NEEDS_WORK: reviewing.class_needs_work,
        keys.NEXT_UNREVIEWED: reviewing.next_unreviewed,
        keys.NEXT_NEEDS_WORK: reviewing.next_needs_work,
    }


class CorrectDock(parts.Dock):
    """One section for each part of the state, from the choice of the mask to the export."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._build()
        self.controller = CorrectController(self, viewer, Preferences())
        self._connect()
        self.show(self.controller.state)

    def _build(self) -> None:
        self.start, self.mask = StartSection(), MaskSection()
        self.brush, self.classes = BrushSection(), ClassSection()
        self.operations, self.grow, self.export = OperationSection(), GrowSection(), ExportSection()
        self.refine, self.propagate, self.snap = RefineSection(), PropagateSection(), SnapSection()
        self.pointed, self.review, self.message = PointedSection(), ReviewSection(), parts.Message()
        above = [self.start, self.mask, self.brush, self.classes, self.review, self.pointed]
        tools = self.refine, self.propagate, self.snap
        previews = [parts.row(*(tool.begin for tool in tools)), *tools]
        below = [self.grow, self.operations, self.export, self.message]
        parts.scrolled(self, [*above, *previews, *below]).addStretch(1)

    def _connect(self) -> None:
        controller = self.controller
        self.brush.connect_to(controller.brush)
        self.operations.connect_to(controller.operations)
        self.grow.connect_to(controller.growing)
        self.pointed.connect_to(controller.pointing)
        self.review.connect_to(controller.reviewing)
        self.refine.connect_to(controller.refining)
        self.propagate.connect_to(controller.propagating)
        self.snap.connect_to(controller.snapping)
        self._bound = bound_keys(controller)
        for gesture, act in self._bound.items():
            bind(controller.viewer, gesture, act)
        for section in (self.start, self.mask, self.classes, self.export):
            section.connect_to(controller)

    def closed(self) -> None:
        """Save the last edits for recovery and disconnect from the viewer."""
        for gesture in self._bound:
            release(self.controller.viewer, gesture)
        self.controller.close()

    def show(self, state: CorrectState | None = None) -> None:
        """Draw `state`; without one, Qt's own show()."""
        if state is None:
            super().show()
            return
        self.start.draw(state)
        self.mask.draw(state.mask)
        self.brush.draw(state.brush, state.hu, state.mask.why_not)
        self.classes.draw(state)
        self.review.draw(state.review, state.classes.selected_row)
        self.pointed.draw(state.accept, state.mask.why_not)
        self.operations.draw(state.sizes, state.classes.selected_row, state.operation_why_not)
        self.grow.draw(state.grow, state.classes.selected_row, state.operation_why_not)
        self.refine.draw(state)
        self.propagate.draw(state)
        self.snap.draw(state)
        self.export.draw(state.export, state.export_why_not)
        working = f"{state.working.capitalize()}…" if state.working else ""
        self.message.draw(working or state.message, state.details, remark=bool(state.details))
