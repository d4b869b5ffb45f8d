"""Decides what the Correct & export dock does: tools, locks, operations, live numbers, recovery and
export.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.geometry import Match
from ctseg_imaging.volume import LabelMap, Labels, exact
from napari_ctseg.background import queue
from napari_ctseg.background.threads import ThreadedCall, run_in_thread
from napari_ctseg.docks.correct.classes import add_class, class_rows
from napari_ctseg.docks.correct.followed_mask import FollowedMask, MaskCallbacks
from napari_ctseg.docks.correct.operations import apply_operation
from napari_ctseg.docks.correct.state import CorrectState, Operation, Tool
from napari_ctseg.docks.correct.stepping import Steps
from napari_ctseg.export.mask import Written, export, export_message
from napari_ctseg.recovery.autosave import autosave_of
from napari_ctseg.viewer.copying import correct_copy
from napari_ctseg.viewer.layers import MADE, label_map_of, slice_of, source_of, volume_of
from napari_ctseg.viewer.painting import BrushRules, Painting, edits_of, set_mask
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.reference import is_locked, lock, release
from napari_ctseg.viewer.showing import show_labels
from napari_ctseg.viewer.study import open_sources, study_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels as LabelsLayer

    from napari_ctseg.preferences import Preferences

DOCK = "correct"
REMEMBERED = ("brush_mm", "window_low_hu", "window_high_hu", "margin_mm", "island_ml")


class CorrectView(Protocol):
    """The seam to Qt."""

    def show(self, state: CorrectState) -> None:
        """Draw all of `state`."""


class CorrectController(Steps):
    """Holds the state, the layer that is corrected, and what was done to it."""

    def __init__(
        self,
        view: CorrectView,
        viewer: napari.viewer.Viewer,
        preferences: Preferences,
        aside: ThreadedCall = run_in_thread,
    ) -> None:
        viewer = unwrapped(viewer)
        self.view, self.viewer, self._preferences, self._aside = view, viewer, preferences, aside
        self._study = study_of(viewer)
        self._followed: FollowedMask | None = None
        self._chosen: LabelsLayer | None = None  # by the user; goes before the study's roles
        self._autosave = autosave_of(viewer)
        self.state = CorrectState(
            **{key: preferences.get(DOCK, key, getattr(CorrectState(), key)) for key in REMEMBERED}
        )
        self._heard = [
            (viewer.layers.events.inserted, self._inserted),
            (viewer.layers.events.removed, self.refresh),
            (viewer.dims.events.current_step, self._moved),
            (self._autosave.changed, self._show_steps),
            (self._autosave.listed, self._list_kept),
            *(
                (getattr(self._study.events, role), self.refresh)
                for role in ("image", "prediction", "truth", "edited")
            ),
        ]
        for event, callback in self._heard:
            event.connect(callback)
        self.refresh()

    def close(self) -> None:
        """The dock goes: follow nothing any more. Locks stay on their layers. Edits that were not exported
        are asked about.
        """
        for event, callback in self._heard:
            event.disconnect(callback)
        for layer in self.viewer.layers:
            if _is_mask(layer):
                layer.events.locked.disconnect(self.refresh)
        self._heard = []
        if self._followed is not None:
            self._followed.painting.rules = BrushRules(self._followed.painting.rules.locked)
            self._autosave.left(self._followed.layer)
        self._unfollow()

    # ---- which mask

    def refresh(self, event: Any = None) -> None:
        """Bring the choices in line with the viewer."""
        layers = tuple(layer.name for layer in self.viewer.layers if _is_mask(layer))
        for layer in layers:
            self.viewer.layers[layer].events.locked.connect(self.refresh)
        name, reference = self._wanted(layers), self._study.truth if self._study.truth in layers else None
        truth = reference if reference != name else None
        changed = (
            name != self.state.layer or truth != self.state.truth or self._named(name) is not self._layer
        )
        self._show(
            replace(
                self.state,
                layers=layers,
                layer=name,
                truth=truth,
                locked=is_locked(self._named(name)),
                reference=reference,
                reference_locked=is_locked(self._named(reference)),
                kept=self._autosave.waiting,
                window_why_not=self._window_why_not(name),
            )
        )
        if changed:
            self._follow()
        self._set_rules()

    def _wanted(self, layers: tuple[str, ...]) -> str | None:
        """The user's choice; else the edited mask, the prediction, what was followed, the newest: none of
        them locked, and no truth unless it is all there is.
        """
        if self._chosen is not None and self._chosen in self.viewer.layers:
            return str(self._chosen.name)
        unlocked = [one for one in layers if not is_locked(self.viewer.layers[one])]
        others = [one for one in unlocked if one != self._study.truth]
        followed = self._layer.name if self._layer is not None and self._layer in self.viewer.layers else None
        wanted = (self._study.edited, self._study.prediction, followed, *reversed(others))
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
        if name in self.state.layers:
            self._chosen = self.viewer.layers[name]
            if name != self._study.truth and not is_locked(self._chosen):
                self._study.edited = name
            self.refresh()

    # ---- the reference

    def correct_copy(self) -> None:
        """Add a copy of the locked layer and correct that; the layer itself stays as it is, hidden below."""
        if (name := self.state.to_copy) is not None:
            self.choose(correct_copy(self.viewer, name).name)

    def take_over(self) -> None:
        """Edit here what another viewer edits; it becomes read-only there."""
        self._autosave.take_over()

    def set_lock(self, on: bool) -> None:
        """Close or open the padlock of the layer that `state.padlock` names. Unlocked where nothing else is
        there, it is corrected.
        """
        layer = self._named(self.state.padlock)
        if layer is not None:
            (lock if on else release)(layer)

    def begin_empty(self, names: tuple[str, ...] = ("label 1",)) -> None:
        """Add an empty mask on the image's grid."""
        if self._study.image is None:
            self._show(replace(self.state, message="Open an image first."))
            return
        try:
            volume = exact(volume_of(self.viewer.layers[self._study.image]), "carry a mask")
        except CtsegError as error:
            self._failed(error)
            return
        labels = Labels.from_names(dict(enumerate(names, start=1)))
        empty = LabelMap(np.zeros(volume.geometry.shape, np.uint8), volume.geometry, labels)
        self.choose(show_labels(self.viewer, empty, "mask", role="edited").name)

    def add_class(self, name: str) -> None:
        """A new class with the next free value, ready to be painted."""
        if self._followed is None or not name.strip() or self.state.locked:
            return
        judge = source_of(self._followed.truth) if self._followed.truth is not None else None
        try:
            add_class(
                self._followed.layer,
                name.strip(),
                self._followed.live,
                None if judge is None else judge.labels,
            )
        except CtsegError as error:
            self._failed(error)
            return
        self._tell()

    # ---- tools

    def set_tool(self, tool: Tool) -> None:
        """Take up one of napari's tools; the mask becomes the active layer, so the mouse and the keys
        reach it.
        """
        if self._layer is not None and not self.state.locked:
            self.viewer.layers.selection.active = self._layer
            self._layer.mode = tool.value

    def set_brush(self, diameter_mm: float) -> None:
        """The brush's diameter; rounded to whole voxels of the finer axis, as napari has it."""
        if self._layer is not None:
            self._layer.brush_size = max(1, round(diameter_mm / self.state.brush_step_mm))
        self._remember("brush_mm", float(diameter_mm))

    def set_brush_3d(self, on: bool) -> None:
        """A ball over the neighbouring slices instead of a disc in this one."""
        if self._layer is not None:
            self._layer.n_edit_dimensions = 3 if on else 2

    def select(self, value: int) -> None:
        """Paint this class."""
        if self._layer is not None:
            self._layer.selected_label = value

    def lock(self, value: int, on: bool) -> None:
        """A locked class neither gains nor loses a voxel, by any tool, operation or undo."""
        if self._followed is not None:
            rules = self._followed.painting.rules
            self._followed.painting.rules = replace(
                rules, locked=rules.locked | {value} if on else rules.locked - {value}
            )
            self._tell()

    def set_window(self, on: bool, low_hu: float, high_hu: float) -> None:
        """The brush changes only voxels whose HU lie within, ends included."""
        if low_hu > high_hu:
            low_hu, high_hu = high_hu, low_hu
        self._show(replace(self.state, window_on=on, window_low_hu=low_hu, window_high_hu=high_hu))
        self._remember("window_low_hu", float(low_hu))
        self._remember("window_high_hu", float(high_hu))
        self._set_rules()

    def set_only_background(self, on: bool) -> None:
        """napari's "preserve labels": a brush takes voxels from the background only."""
        if self._layer is not None:
            self._layer.preserve_labels = on

    # ---- operations

    def set_margin(self, margin_mm: float) -> None:
        """How far grow, shrink and smooth go."""
        self._show(replace(self.state, margin_mm=margin_mm))
        self._remember("margin_mm", margin_mm)

    def set_island(self, least_ml: float) -> None:
        """Islands below this volume are dropped."""
        self._show(replace(self.state, island_ml=least_ml))
        self._remember("island_ml", least_ml)

    def operate(self, operation: Operation) -> None:
        """Do it to the selected class, in a thread; the result is one undo step. What is painted meanwhile
        stays.
        """
        layer, state = self._layer, self.state
        if layer is None or state.operation_why_not:
            self._show(replace(state, message=state.operation_why_not))
            return
        value, here = state.selected, slice_of(self.viewer, layer)
        before = np.asarray(layer.data) == value
        spacing = (float(layer.scale[0]), float(layer.scale[1]), float(layer.scale[2]))
        said: dict[str, Any] = {"operation": operation.value, "label": value}
        if operation in (Operation.GROW, Operation.SHRINK, Operation.SMOOTH):
            said["mm"] = state.margin_mm
        elif operation is Operation.DROP_ISLANDS:
            said["ml"] = state.island_ml
        self._show(replace(state, working=operation.value, message="", details=""))

        def done(after: Any) -> None:
            if layer not in self.viewer.layers:
                self._show(replace(self.state, working=""))
                return
            now = np.asarray(layer.data) == value
            changed = set_mask(layer, value, (now | (after & ~before)) & ~(before & ~after), said)
            self._show(
                replace(
                    self.state,
                    working="",
                    message=f"{operation.value.capitalize()}: {changed} voxels changed.",
                )
            )

        self._aside(
            lambda: apply_operation(operation, before, spacing, here, state.margin_mm, state.island_ml),
            done,
            self._failed,
        )

    # ---- recovery and export

    def save(self, path: Path) -> None:
        """Export to `path`; asks no questions: the file dialog has asked about overwriting."""
        if self._followed is None or self.state.exporting:
            self._show(replace(self.state, message=self.state.why_not or "Still exporting."))
            return
        layer = self._followed.layer
        source, image = source_of(layer), self.image_volume()
        label_map = label_map_of(layer)
        label_map = replace(label_map, array=label_map.array.copy(), labels=self._followed.labels)
        provenance, edits = ({} if source is None else source.provenance), list(edits_of(layer))
        version, opened = Painting.of(layer).version, open_sources()
        self._show(replace(self.state, exporting=True, message="Exporting…", details=""))

        def done(written: Written) -> None:
            if version == Painting.of(layer).version:
                self._exported(layer)
            self._show(replace(self.state, exporting=False, saved="", message=export_message(written)))

        self._aside(lambda: export(path, label_map, image, provenance, edits, opened), done, self._failed)

    # ---- inside: following the layer

    def _follow(self) -> None:
        self._unfollow()
        state = self.state
        if state.layer is None:
            self._show(replace(state, classes=(), note="", in_use=""))
            return
        layer = self.viewer.layers[state.layer]
        ears = MaskCallbacks(
            self._layer_changed,
            self._stroke,
            self._refused,
            self._painted,
            self._tell,
            self._failed,
            self._use_changed,
        )
        try:
            self._followed = FollowedMask(
                layer, None if state.truth is None else self.viewer.layers[state.truth], ears, self._aside
            )
        except (CtsegError, ValueError) as error:
            self._failed(error)
            return
        layer.brush_size = max(1, round(state.brush_mm / _finest(layer)))
        self._layer_changed()
        self._use_changed()
        self._show_steps()
        self._tell()

    def _unfollow(self) -> None:
        if self._followed is not None:
            self._followed.close()
        self._followed = None

    @property
    def _layer(self) -> LabelsLayer | None:
        return None if self._followed is None else self._followed.layer

    def _layer_changed(self) -> None:
        """napari's own controls and keys changed the layer: show it."""
        layer = self._layer
        if layer is None:
            return
        tool = Tool(str(layer.mode)) if str(layer.mode) in set(Tool) else None
        step = _finest(layer)
        self._show(
            replace(
                self.state,
                tool=tool,
                brush_step_mm=step,
                brush_mm=layer.brush_size * step,
                selected=int(layer.selected_label),
                only_background=bool(layer.preserve_labels),
                brush_3d=layer.n_edit_dimensions == 3,
            )
        )

    def _use_changed(self) -> None:
        if self._followed is not None:
            self._show(replace(self.state, in_use=self._followed.painting.read_only))

    def _painted(self) -> None:
        self._show_steps()

    def _stroke(self) -> None:
        if self._layer is not None and self._layer.name != self._study.truth:
            self._study.edited = (
                self._layer.name
            )  # from now on no new prediction takes its place in this dock
        if self.state.message:
            self._show(replace(self.state, message="", details=""))

    def _refused(self, why: str) -> None:
        if why not in (self.state.message, self.state.in_use):
            self._show(replace(self.state, message=why, details=""))

    def _moved(self, event: Any = None) -> None:
        if self._followed is not None and self._followed.judged:
            self._tell()

    def _tell(self) -> None:
        """The rows as layer, locks, counts and slider stand."""
        followed = self._followed
        if followed is None:
            return
        here = slice_of(self.viewer, followed.truth) if followed.judged else None
        rows = class_rows(followed.labels, followed.painting.rules.locked, followed.live, here)
        self._show(replace(self.state, classes=rows, note=followed.note))

    # ---- inside: the rest

    def _set_rules(self) -> None:
        if self._followed is None:
            return
        state, painting = self.state, self._followed.painting
        image = (
            self.viewer.layers[self._study.image].data
            if state.window_on and not state.window_why_not and self._study.image
            else None
        )
        limits = (state.window_low_hu, state.window_high_hu) if image is not None else None
        painting.rules = BrushRules(painting.rules.locked, limits, image)

    def _window_why_not(self, name: str | None) -> str:
        image = self._study.image
        if image is None or image not in self.viewer.layers:
            return "Open an image first."
        if name is None:
            return "Choose a mask first."
        ours, theirs = source_of(self.viewer.layers[name]), source_of(self.viewer.layers[image])
        if (
            ours is None
            or theirs is None
            or theirs.shown.matches(ours.shown) not in (Match.SAME, Match.ROUNDING)
        ):
            return "Image and mask lie on different grids, so the brush cannot look at the image's values."
        return ""

    def image_volume(self) -> Any:
        """The image that the mask is drawn on, or None."""
        name = self._study.image
        return (
            volume_of(self.viewer.layers[name]) if name is not None and name in self.viewer.layers else None
        )

    def _failed(self, error: Exception) -> None:
        said = queue.sentence(error) if not isinstance(error, ValueError) else str(error)
        self._show(
            replace(self.state, working="", exporting=False, message=said, details=queue.details(error))
        )

    def _remember(self, key: str, value: Any) -> None:
        try:
            self._preferences.set(DOCK, key, value)
        except CtsegError as error:
            self.state = replace(self.state, message=str(error))

    def _show(self, state: CorrectState) -> None:
        if state != self.state or not state.layers:
            self.state = state
            self.view.show(state)


def _is_mask(layer: Any) -> bool:
    """Three-dimensional labels that are no overlay of this project."""
    return (
        hasattr(layer, "n_edit_dimensions")
        and layer.ndim == 3
        and not layer.multiscale
        and not layer.metadata.get(MADE)
    )


def _finest(layer: LabelsLayer) -> float:
    """The voxel size in mm that napari's brush counts in, of the planes' axes."""
    return float(
        min(
            abs(layer.scale[axis])
            for axis in getattr(layer, "__wrapped__", layer)._slice_input.displayed[-2:]
        )
    )
