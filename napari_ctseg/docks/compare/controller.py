"""Decides what the Compare dock does: which two layers, the numbers, the overlays, where to go next, and the
report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ctseg_imaging.errors import CtsegError
from napari_ctseg.background import queue
from napari_ctseg.background.threads import ThreadedCall, run_in_thread
from napari_ctseg.docks.compare.measuring import surfaces, write_report
from napari_ctseg.docks.compare.state import CompareState, DiceCurve, Phase, Row, Surface
from napari_ctseg.viewer.layers import MADE, go_to_slice, label_map_of, slice_of, volume_of
from napari_ctseg.viewer.overlays import DashedOutline, ErrorMap, contour_px, error_codes
from napari_ctseg.viewer.pairs import Counted, LivePair, occurring
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.study import study_of

if TYPE_CHECKING:
    import napari

    from napari_ctseg.preferences import Preferences

DOCK = "compare"
REPORTS = (".html", ".csv", ".json")


class CompareView(Protocol):
    """The seam to Qt."""

    def show(self, state: CompareState) -> None:
        """Draw all of `state`."""

    def move_cursor(self, index: int) -> None:
        """The slider moved, and nothing else changed."""

    def idle(self, then: Callable[[], None]) -> None:
        """Call `then` once no more calls come for a moment."""


class CompareController:
    """Holds the state and the pair that is followed."""

    def __init__(
        self,
        view: CompareView,
        viewer: napari.viewer.Viewer,
        preferences: Preferences,
        aside: ThreadedCall = run_in_thread,
    ) -> None:
        viewer = unwrapped(viewer)
        self.view, self.viewer, self._preferences, self._aside = view, viewer, preferences, aside
        self._study = study_of(viewer)
        self._chosen: dict[str, str] = {}  # by the user; goes before the study's roles
        self._pair: LivePair | None = None
        self._errors: ErrorMap | None = None
        self._outline: DashedOutline | None = None
        self._drawn: tuple[Any, ...] = ()  # what the outline shows: drawing it again costs more than counting
        self._solid: tuple[Any, int, Any, bool] | None = (
            None  # prediction layer, its contour before; truth layer, its visibility before
        )
        self._surfaces: dict[int, tuple[float, float]] = {}
        self._stale: set[int] = set()
        self.state = CompareState(tolerance_mm=preferences.get(DOCK, "tolerance_mm", 2.0))
        self._heard = [
            (viewer.layers.events.inserted, self.refresh),
            (viewer.layers.events.removed, self.refresh),
            (viewer.dims.events.current_step, self._moved),
            (viewer.dims.events.order, self._moved),
            *(
                (getattr(self._study.events, role), self.refresh)
                for role in ("prediction", "truth", "edited")
            ),
        ]
        for event, callback in self._heard:
            event.connect(callback)
        self.refresh()

    def close(self) -> None:
        """The dock goes: follow nothing any more, take the overlays out."""
        for event, callback in self._heard:
            event.disconnect(callback)
        self._heard = []
        self._close()

    # ---- which layers

    def refresh(self, event: Any = None) -> None:
        """Bring the choices in line with the viewer; the study's roles are chosen until a user chooses
        otherwise.
        """
        layers = tuple(layer.name for layer in self.viewer.layers if is_label_map(layer))
        ours = (
            self._chosen.get("prediction"),
            self._study.prediction,
            self._study.edited,
            self.state.prediction,
        )
        guesses = [name for name in layers if name not in ours] or list(layers)
        truth = _first(
            (self._chosen.get("truth"), self._study.truth, self.state.truth),
            layers,
            guesses if len(layers) > 1 else [],
        )
        others = tuple(name for name in layers if name != truth)
        prediction = _first(ours, others, others)
        chosen = (prediction, truth) != (self.state.prediction, self.state.truth)
        guessed = truth is not None and truth != self._study.truth
        self._show(
            replace(self.state, layers=layers, prediction=prediction, truth=truth, truth_guessed=guessed)
        )
        if chosen or self._gone():
            self._open()

    def choose(self, *, prediction: str | None = None, truth: str | None = None) -> None:
        """Compare other layers. They get these roles in the study too, so the truth is locked and not
        corrected.
        """
        given = {
            role: name for role, name in (("truth", truth), ("prediction", prediction)) if name is not None
        }
        self._chosen |= given
        before = self.state
        self.state = replace(before, prediction=prediction or before.prediction, truth=truth or before.truth)
        for role, name in given.items():
            setattr(self._study, role, name)
        self.state = replace(self.state, truth_guessed=self.state.truth != self._study.truth)
        if (self.state.prediction, self.state.truth) != (before.prediction, before.truth):
            self._open()

    def swap(self) -> None:
        """Make the prediction the truth and the other way round."""
        self.choose(prediction=self.state.truth, truth=self.state.prediction)

    # ---- what is drawn

    def set_contours(self, on: bool) -> None:
        """Outlines of both: the prediction's solid, the truth's dashed."""
        self._show(replace(self.state, contours=on))
        self._draw_contours()

    def set_errors(self, on: bool) -> None:
        """A layer of where the two differ."""
        self._show(replace(self.state, errors=on))
        self._draw_errors()

    def set_focus(self, value: int | None) -> None:
        """Error map and plot of one label, None: of all."""
        if value != self.state.focus:
            self._show(replace(self.state, focus=value))
            self._draw_errors()
            self._draw_outline()

    def set_tolerance(self, tolerance_mm: float) -> None:
        """The distance that NSD forgives; every label is measured again."""
        if tolerance_mm != self.state.tolerance_mm:
            self._stale.update(self._surfaces)
            self._show(replace(self.state, tolerance_mm=tolerance_mm))
            self._remember("tolerance_mm", tolerance_mm)
            self._tell()
            self.measure()

    # ---- going places

    def go_to(self, index: int) -> None:
        """Move the slider to slice `index` of the truth."""
        if self._pair is not None and 0 <= index < self.state.slice_count:
            go_to_slice(self.viewer, self._pair.truth, index)

    def next_worse(self) -> None:
        """The slice with the next higher Dice than this one; from a slice without labels, or after the best,
        the worst.
        """
        counted = self._ready()
        if counted is None:
            return
        worst = counted.live.worst_slices(self._focused())
        if not worst:
            self._show(replace(self.state, message="No slice has a label."))
            return
        here = self.state.slice_index
        following = worst.index(here) + 1 if here in worst else 0
        self.go_to(worst[following % len(worst)])

    def next_missed(self) -> None:
        """The next slice above, and after the top from below, where the truth has a label of which nothing is
        predicted.
        """
        counted = self._ready()
        if counted is None:
            return
        missed = {
            k: value
            for value in reversed(self._focused() or counted.live.values)
            for k in counted.live.missed_slices(value)
        }
        if not missed:
            self._show(replace(self.state, message="No label is missed in any slice."))
            return
        here = self.state.slice_index
        index = min(missed, key=lambda k: (k <= here, k))
        self.go_to(index)
        self._show(
            replace(self.state, message=f"Slice {index + 1}: {counted.names.name(missed[index])} is missed.")
        )

    # ---- report

    def save(self, path: Path) -> None:
        """Write the report; the ending decides: .html, .csv or .json. Asks no questions: the file dialog has
        asked about overwriting.
        """
        if self._pair is None or self.state.why_not:
            self._show(replace(self.state, message=self.state.why_not))
            return
        if path.suffix.lower() not in REPORTS:
            self._show(replace(self.state, message=f"{path.name}: end the name in {', '.join(REPORTS)}."))
            return
        maps = label_map_of(self._pair.prediction), label_map_of(self._pair.truth)
        image = self._image()
        tolerance = self.state.tolerance_mm
        self._show(replace(self.state, saving=True, message="Writing the report…", details=""))
        self._aside(
            lambda: write_report(path, maps, image, tolerance), lambda _: self._saved(path), self._not_saved
        )

    # ---- inside: the pair

    def _open(self) -> None:
        self._close()
        state = replace(
            self.state,
            phase=Phase.EMPTY,
            rows=(),
            curves=(),
            note="",
            message="",
            details="",
            mean_dice=float("nan"),
            focus=None,
        )
        if state.prediction is None or state.truth is None or state.prediction == state.truth:
            self._show(replace(state, message=state.why_not if len(state.layers) > 1 else ""))
            return
        try:
            self._pair = LivePair(
                self.viewer.layers[state.prediction], self.viewer.layers[state.truth], self._aside
            )
            self._pair.ready.connect(self._counted)
            self._pair.changed.connect(self._changed)
            self._pair.failed.connect(self._failed)
            self._show(replace(state, phase=Phase.COUNTING))
            self._pair.start()
        except (CtsegError, ValueError) as error:
            self._failed(error)

    def _close(self) -> None:
        self._remove_overlays()
        if self._pair is not None:
            self._pair.close()
        self._pair, self._surfaces, self._stale = None, {}, set()

    def _counted(self) -> None:
        pair = self._pair
        assert pair is not None and pair.counted is not None
        self._stale = set(pair.counted.live.values)
        self._show(
            replace(
                self.state,
                phase=Phase.READY,
                note=pair.counted.note,
                slice_count=pair.counted.live.slices,
                slice_index=slice_of(self.viewer, pair.truth),
            )
        )
        self._tell()
        self._draw_contours()
        self._draw_errors()
        self.measure()

    def _changed(self, slices: tuple[int, ...]) -> None:
        pair = self._pair
        assert pair is not None and pair.counted is not None
        live, touched = pair.counted.live, list(slices)
        before = {row.value: (row.volume_pred_ml, row.volume_truth_ml) for row in self.state.rows}
        self._stale.update(occurring(live.truth[touched]), occurring(live.prediction[touched]))
        self._stale.update(
            row.value
            for row in live.table()
            if before.get(row.value) != (row.volume_pred_ml, row.volume_truth_ml)
        )
        self._tell()
        if self._errors is not None:
            self._errors.update(live.prediction, live.truth, slices, self.state.focus)
        self._draw_outline()
        self.view.idle(self.measure)

    def _tell(self) -> None:
        """Rows and curves as the counts stand."""
        counted = self._ready()
        if counted is None:
            return
        names, live = counted.names, counted.live
        rows = []
        for row in live.table():
            hd95, nsd = self._surfaces.get(row.value, (None, None))
            fresh = row.value in self._surfaces and row.value not in self._stale
            rows.append(
                Row(
                    row.value,
                    names.name(row.value),
                    names.colour(row.value),
                    row.dice,
                    row.volume_pred_ml,
                    row.volume_truth_ml,
                    hd95,
                    nsd,
                    Surface.FRESH if fresh else Surface.WAITING,
                )
            )
        curves = tuple(DiceCurve(row.value, row.name, row.colour, live.per_slice(row.value)) for row in rows)
        self._show(replace(self.state, rows=tuple(rows), curves=curves, mean_dice=live.mean_dice()))

    def measure(self) -> None:
        """Surface distances of the labels that changed, in a thread; a stroke meanwhile leaves its labels to
        be measured again.
        """
        counted, pair = self._ready(), self._pair
        if counted is None or pair is None or self.state.measuring or not self._stale:
            return
        wanted, version, tolerance = (
            sorted(self._stale & set(counted.live.values)),
            pair.version,
            self.state.tolerance_mm,
        )
        self._show(replace(self.state, measuring=True))

        def measured(found: dict[int, tuple[float, float]]) -> None:
            self._show(replace(self.state, measuring=False))
            if pair is not self._pair:
                self.measure()
                return
            self._surfaces |= found
            if version == pair.version and tolerance == self.state.tolerance_mm:
                self._stale -= set(found)
            self._tell()
            if self._stale:
                self.view.idle(self.measure)

        def failed(error: Exception) -> None:
            self._show(
                replace(
                    self.state, measuring=False, message=queue.sentence(error), details=queue.details(error)
                )
            )

        self._aside(lambda: surfaces(counted, wanted, tolerance), measured, failed)

    # ---- inside: overlays

    def _draw_errors(self) -> None:
        counted, pair = self._ready(), self._pair
        if self._errors is not None and (
            not self.state.errors or self._errors.layer not in self.viewer.layers
        ):
            layer, self._errors = self._errors.layer, None
            self._take_out(layer)
        if counted is None or pair is None or not self.state.errors:
            return
        live = counted.live
        if self._errors is None:
            self._errors = ErrorMap(
                self.viewer, pair.truth, error_codes(live.prediction, live.truth, self.state.focus)
            )
        else:
            self._errors.update(live.prediction, live.truth, range(live.slices), self.state.focus)

    def _draw_contours(self) -> None:
        pair = self._pair
        on = self.state.contours and pair is not None and self._ready() is not None
        if not on:
            if self._outline is not None:
                layer, self._outline = self._outline.layer, None
                self._take_out(layer)
            self._restore_fill()
            return
        assert pair is not None
        if self._solid is None:
            self._solid = (pair.prediction, pair.prediction.contour, pair.truth, pair.truth.visible)
            pair.prediction.contour, pair.truth.visible = contour_px(pair.prediction), False
        if self._outline is None:
            self._outline = DashedOutline(self.viewer, pair.truth)
        self._draw_outline()

    def _draw_outline(self) -> None:
        counted, pair = self._ready(), self._pair
        if self._outline is None or counted is None or pair is None or self.viewer.dims.ndisplay != 2:
            return
        axis = self.viewer.dims.order[-3] if self.viewer.dims.ndim >= 3 else 0
        axis -= self.viewer.dims.ndim - 3
        drawn = (
            self._outline,
            pair.version[1],
            axis,
            slice_of(self.viewer, pair.truth, axis),
            self.state.focus,
        )
        if drawn == self._drawn:
            return
        self._drawn = drawn
        shown = counted.live.values if self.state.focus is None else (self.state.focus,)
        colours = {value: counted.names.colour(value) for value in shown}
        self._outline.draw(counted.live.truth, axis, drawn[3], colours)

    def _restore_fill(self) -> None:
        if self._solid is not None:
            prediction, contour, truth, visible = self._solid
            prediction.contour, truth.visible, self._solid = contour, visible, None

    def _remove_overlays(self) -> None:
        layers = [part.layer for part in (self._errors, self._outline) if part is not None]
        self._errors = self._outline = None
        for layer in layers:
            self._take_out(layer)
        self._restore_fill()

    def _take_out(self, layer: Any) -> None:
        if layer in self.viewer.layers:
            self.viewer.layers.remove(layer)

    # ---- inside: the rest

    def _moved(self, event: Any = None) -> None:
        if self._pair is None or self._ready() is None:
            return
        index = slice_of(self.viewer, self._pair.truth)
        if index != self.state.slice_index:
            self.state = replace(self.state, slice_index=index)
            self.view.move_cursor(index)
        self._draw_outline()

    def _ready(self) -> Counted | None:
        return self._pair.counted if self._pair is not None and self.state.phase is Phase.READY else None

    def _focused(self) -> tuple[int, ...] | None:
        return None if self.state.focus is None else (self.state.focus,)

    def _gone(self) -> bool:
        """Whether a followed layer was taken out or put in again under its name."""
        return self._pair is not None and not {self._pair.prediction, self._pair.truth} <= set(
            self.viewer.layers
        )

    def _image(self) -> Any:
        name = self._study.image
        return (
            volume_of(self.viewer.layers[name]) if name is not None and name in self.viewer.layers else None
        )

    def _failed(self, error: Exception) -> None:
        self._show(
            replace(
                self.state,
                phase=Phase.FAILED,
                message=queue.sentence(error) if isinstance(error, CtsegError) else str(error),
                details=queue.details(error),
            )
        )

    def _saved(self, path: Path) -> None:
        self._show(replace(self.state, saving=False, message=f"Written: {path.name}"))

    def _not_saved(self, error: Exception) -> None:
        self._show(
            replace(self.state, saving=False, message=queue.sentence(error), details=queue.details(error))
        )

    def _remember(self, key: str, value: Any) -> None:
        try:
            self._preferences.set(DOCK, key, value)
        except CtsegError as error:
            self.state = replace(self.state, message=str(error))

    def _show(self, state: CompareState) -> None:
        self.state = state
        self.view.show(state)


def _first(wanted: Sequence[str | None], layers: Sequence[str], guesses: Sequence[str]) -> str | None:
    """The first of `wanted` that is there, else the newest of `guesses`."""
    return next((name for name in wanted if name in layers), guesses[-1] if guesses else None)


def is_label_map(layer: Any) -> bool:
    """Three-dimensional labels that are no overlay of this project."""
    return (
        hasattr(layer, "n_edit_dimensions")
        and layer.ndim == 3
        and not layer.multiscale
        and not layer.metadata.get(MADE)
    )
