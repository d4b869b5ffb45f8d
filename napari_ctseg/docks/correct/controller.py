"""Decides what the Correct & export dock does: which mask is corrected, its reference, and the export."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.volume import LabelMap, Labels, exact
from napari_ctseg.background.threads import ThreadedCall, run_in_thread
from napari_ctseg.docks.correct.brush import Brush
from napari_ctseg.docks.correct.classes import add_class
from napari_ctseg.docks.correct.followed_mask import FollowedMask, MaskCallbacks
from napari_ctseg.docks.correct.grow.growing import Growing
from napari_ctseg.docks.correct.mask_dock import MaskDock, remembered
from napari_ctseg.docks.correct.operations import Operations
from napari_ctseg.docks.correct.pointed.pointing import Pointing
from napari_ctseg.docks.correct.previews.propagating import Propagating
from napari_ctseg.docks.correct.previews.refining import Refining
from napari_ctseg.docks.correct.previews.snapping import Snapping
from napari_ctseg.docks.correct.review.reviewing import Reviewing
from napari_ctseg.docks.correct.state import (
    CorrectState,
    ExportState,
)
from napari_ctseg.docks.correct.steps import Steps
from napari_ctseg.docks.dock_controller import DockView
from napari_ctseg.export.mask import Written, export, export_message
from napari_ctseg.recovery.autosave import autosave_of
from napari_ctseg.viewer.copying import correct_copy
from napari_ctseg.viewer.layers import is_label_map, label_map_of, source_of, volume_of
from napari_ctseg.viewer.painting import BrushRules, Painting, edits_of
from napari_ctseg.viewer.reference import is_locked, lock, release
from napari_ctseg.viewer.review import marks_of
from napari_ctseg.viewer.showing import show_labels
from napari_ctseg.viewer.study import ROLES, open_sources

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels as LabelsLayer

    from napari_ctseg.preferences import Preferences


class CorrectController(MaskDock):
    """Holds the state and the mask that is corrected. brush, operations, growing, steps : what is
    done to it."""

    def __init__(
        self,
        view: DockView[CorrectState],
        viewer: napari.viewer.Viewer,
        preferences: Preferences,
        aside: ThreadedCall = run_in_thread,
    ) -> None:
        super().__init__(view, viewer, preferences, remembered(preferences))
        self._aside = aside
        self._chosen: LabelsLayer | None = None  # by the user; goes before the study's roles
        self._autosave = autosave_of(self.viewer)
        self.brush, self.operations = Brush(self), Operations(self, aside)
        self.growing = Growing(self, aside)
        self.refining = Refining(self, aside)
        self.propagating = Propagating(self, aside)
        self.snapping = Snapping(self, aside)
        self.pointing, self.reviewing = Pointing(self, aside), Reviewing(self)
        self._previewed = self.refining, self.propagating, self.snapping
        self.steps = Steps(self, self._autosave, aside)
        layers = self.viewer.layers.events
        self.follow(self._inserted, layers.inserted)
        self.follow(self.refresh, layers.removed, *(getattr(self.study.events, role) for role in ROLES))
        self.follow(self._moved, self.viewer.dims.events.current_step)
        self.follow(self.steps.show, self._autosave.changed)
        self.follow(self.steps.show_kept, self._autosave.listed)
        self.refresh()

    def on_close(self) -> None:
        """Leave the mask; edits that were not exported are asked about. Locks stay on their layers."""
        for layer in self.viewer.layers:
            if is_label_map(layer):
                layer.events.locked.disconnect(self.refresh)
        if self.followed is not None:
            self.followed.painting.rules = BrushRules(self.followed.painting.rules.locked)
            self._autosave.left(self.followed.layer)
        self.growing.discard()
        for tool in self._previewed:
            tool.cancel()
        self._leave_mask()
        self.reviewing.follow(None)

    # ---- which mask

    def refresh(self, event: Any = None) -> None:
        """Bring the choices in line with the viewer."""
        layers = tuple(layer.name for layer in self.viewer.layers if is_label_map(layer))
        for layer in layers:
            self.viewer.layers[layer].events.locked.connect(self.refresh)
        name, reference = self._wanted(layers), self.study.truth if self.study.truth in layers else None
        truth = reference if reference != name else None
        before = self.state.mask
        changed = (name, truth) != (before.layer, before.truth) or self._named(name) is not self.layer
        mask = replace(
            before,
            layers=layers,
            layer=name,
            truth=truth,
            locked=is_locked(self._named(name)),
            reference=reference,
            reference_locked=is_locked(self._named(reference)),
        )
        hu = replace(self.state.hu, why_not=self.brush.hu_why_not(name))
        self.update(mask=mask, hu=hu, kept=self._autosave.waiting)
        if changed:
            self._follow_mask()
        self.growing.refresh()
        self.pointing.refresh()
        for tool in self._previewed:
            tool.refresh()
        self.brush.apply_rules()

    def _wanted(self, layers: tuple[str, ...]) -> str | None:
        """The user's choice; else the edited mask, the prediction, what was followed, the newest: none of
        them locked, and no truth unless it is all there is.
        """
        if self._chosen is not None and self._chosen in self.viewer.layers:
            return str(self._chosen.name)
        unlocked = [one for one in layers if not is_locked(self.viewer.layers[one])]
        others = [one for one in unlocked if one != self.study.truth]
        followed = self.layer.name if self.layer is not None and self.layer in self.viewer.layers else None
        wanted = (self.study.edited, self.study.prediction, followed, *reversed(others))
        return next((one for one in wanted if one in others), unlocked[-1] if unlocked else None)

    def _named(self, name: str | None) -> LabelsLayer | None:
        return None if name is None or name not in self.viewer.layers else self.viewer.layers[name]

    def _inserted(self, event: Any = None) -> None:
        """A new layer may be what is to be corrected: a locked one is not held on to."""
        if is_locked(self._chosen):
            self._chosen = None
        self.refresh()

    def choose(self, name: str) -> None:
        """Correct this mask; it becomes the study's edited mask, unless it is the truth."""
        if name in self.state.mask.layers:
            self._chosen = self.viewer.layers[name]
            if name != self.study.truth and not is_locked(self._chosen):
                self.study.edited = name
            self.refresh()

    # ---- the reference

    def correct_copy(self) -> None:
        """Add a copy of the locked layer and correct that; the layer itself stays as it is, hidden below."""
        if (name := self.state.mask.to_copy) is not None:
            self.choose(correct_copy(self.viewer, name).name)

    def take_over(self) -> None:
        """Edit here what another viewer edits; it becomes read-only there."""
        self._autosave.take_over()

    def set_lock(self, on: bool) -> None:
        """Close or open the padlock of the layer that `state.mask.padlock` names. Unlocked where nothing else
        is there, it is corrected.
        """
        layer = self._named(self.state.mask.padlock)
        if layer is not None:
            (lock if on else release)(layer)

    def begin_empty(self, names: tuple[str, ...] = ("label 1",)) -> None:
        """Add an empty mask on the image's grid."""
        if self.study.image is None:
            self.update(message="Open an image first.")
            return
        try:
            volume = exact(volume_of(self.viewer.layers[self.study.image]), "carry a mask")
        except CtsegError as error:
            self.show_error(error)
            return
        labels = Labels.from_names(dict(enumerate(names, start=1)))
        empty = LabelMap(np.zeros(volume.geometry.shape, np.uint8), volume.geometry, labels)
        self.choose(show_labels(self.viewer, empty, "mask", role="edited").name)

    def add_class(self, name: str) -> None:
        """A new class with the next free value, ready to be painted."""
        if self.followed is None or not name.strip() or self.state.mask.locked:
            return
        judge = source_of(self.followed.truth) if self.followed.truth is not None else None
        try:
            labels = None if judge is None else judge.labels
            add_class(self.followed.layer, name.strip(), self.followed.live, labels)
        except CtsegError as error:
            self.show_error(error)
            return
        self.show_numbers()

    # ---- recovery and export

    def save(self, path: Path) -> None:
        """Export to `path`; asks no questions: the file dialog has asked about overwriting."""
        if self.followed is None or self.state.export.running:
            self.update(message=self.state.mask.why_not or "Still exporting.")
            return
        layer = self.followed.layer
        source, image, marks = source_of(layer), self.image_volume(), marks_of(layer)
        label_map = label_map_of(layer)
        label_map = replace(label_map, array=label_map.array.copy(), labels=self.followed.labels)
        provenance, edits = ({} if source is None else source.provenance), list(edits_of(layer))
        version, opened = Painting.of(layer).version, open_sources()
        self.update(export=replace(self.state.export, running=True), message="Exporting…", details="")

        def done(written: Written) -> None:
            if (version, marks) == (Painting.of(layer).version, marks_of(layer)):
                recording = self._autosave.recording(layer)
                if recording is not None:
                    recording.exported()
            self.update(export=ExportState(), message=export_message(written))

        write = partial(export, path, label_map, image, provenance, edits, opened, marks)
        self._aside(write, done, self.show_error)

    # ---- inside: following the layer

    def _follow_mask(self) -> None:
        self._leave_mask()
        layer, truth = self._named(self.state.mask.layer), self._named(self.state.mask.truth)
        self.reviewing.follow(layer)
        if layer is None:
            classes = replace(self.state.classes, rows=(), note="")
            self.update(classes=classes, mask=replace(self.state.mask, in_use=""))
            return
        try:
            self.followed = FollowedMask(layer, truth, self._callbacks(), self._aside)
        except CtsegError as error:
            self.show_error(error)
            return
        self.brush.restore_diameter(layer)
        self.brush.show()
        self._use_changed()
        self.steps.show()
        self.show_numbers()

    def _callbacks(self) -> MaskCallbacks:
        return MaskCallbacks(
            controls=self._controls,
            stroke=self._stroke,
            refused=self._refused,
            painted=self.steps.show,
            counted=self.show_numbers,
            failed=self.show_error,
            use=self._use_changed,
        )

    def _leave_mask(self) -> None:
        if self.followed is not None:
            self.followed.close()
        self.followed = None

    def _controls(self) -> None:
        self.brush.show()
        self.refining.refresh()

    def _use_changed(self) -> None:
        if self.followed is not None:
            self.update(mask=replace(self.state.mask, in_use=self.followed.painting.read_only))

    def _stroke(self) -> None:
        if self.layer is not None and self.layer.name != self.study.truth:
            self.study.edited = self.layer.name  # from now on no new prediction takes its place here
        if self.state.message:
            self.update(message="", details="")

    def _refused(self, why: str) -> None:
        if why not in (self.state.message, self.state.mask.in_use):
            self.update(message=why, details="")

    def _moved(self, event: Any = None) -> None:
        self.reviewing.show()
        if self.followed is not None and self.followed.judged:
            self.show_numbers()
