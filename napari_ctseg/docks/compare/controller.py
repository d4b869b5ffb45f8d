"""Decides what the Compare dock does: the two layers, their numbers, overlays, navigation and the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ctseg_imaging.errors import CtsegError
from napari_ctseg.background.threads import ThreadedCall, run_in_thread
from napari_ctseg.docks.compare.measuring import SurfaceDistances, write_report
from napari_ctseg.docks.compare.next_slice import next_missed_slice, next_worse_slice
from napari_ctseg.docks.compare.pair_overlays import PairOverlays
from napari_ctseg.docks.compare.rows import dice_curves, table_rows
from napari_ctseg.docks.compare.state import CompareState, Phase
from napari_ctseg.docks.compare.suggested_pair import suggested_pair
from napari_ctseg.docks.dock_controller import DockController, DockView
from napari_ctseg.viewer.layers import go_to_slice, is_label_map, label_map_of, slice_of
from napari_ctseg.viewer.pairs import Counted, LivePair, occurring

if TYPE_CHECKING:
    import napari

    from napari_ctseg.preferences import Preferences


class CompareView(DockView[CompareState], Protocol):
    """What the controller needs of the view."""

    def move_cursor(self, index: int) -> None:
        """The slider moved, and nothing else changed."""

    def idle(self, then: Callable[[], None]) -> None:
        """Call `then` once no more calls come for a moment."""


class CompareController(DockController[CompareState]):
    """Holds the state and the pair of layers that is compared."""

    NAME = "compare"
    view: CompareView

    def __init__(
        self,
        view: CompareView,
        viewer: napari.viewer.Viewer,
        preferences: Preferences,
        aside: ThreadedCall = run_in_thread,
    ) -> None:
        state = CompareState(tolerance_mm=preferences.get(self.NAME, "tolerance_mm", 2.0))
        super().__init__(view, viewer, preferences, state)
        self._aside = aside
        self._chosen: dict[str, str] = {}  # by the user; goes before the study's roles
        self._pair: LivePair | None = None
        self._overlays = PairOverlays(self.viewer)
        self._surfaces = SurfaceDistances()
        self.follow_layers_and_roles("prediction", "truth", "edited")
        self.follow(self._moved, self.viewer.dims.events.current_step, self.viewer.dims.events.order)
        self.refresh()

    def on_close(self) -> None:
        """Remove the overlays."""
        self._close_pair()

    # ---- which layers

    def refresh(self, event: Any = None) -> None:
        """Bring the choices in line with the viewer and the study's roles."""
        layers = tuple(layer.name for layer in self.viewer.layers if is_label_map(layer))
        before = self.state.prediction, self.state.truth
        prediction, truth = suggested_pair(layers, self._chosen, self.study, before)
        guessed = truth is not None and truth != self.study.truth
        self.update(layers=layers, prediction=prediction, truth=truth, truth_guessed=guessed)
        if (prediction, truth) != before or self._replaced():
            self._open_pair()

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
            setattr(self.study, role, name)
        self.state = replace(self.state, truth_guessed=self.state.truth != self.study.truth)
        if (self.state.prediction, self.state.truth) != (before.prediction, before.truth):
            self._open_pair()

    def swap(self) -> None:
        """Make the prediction the truth and the other way round."""
        self.choose(prediction=self.state.truth, truth=self.state.prediction)

    # ---- what is drawn

    def set_contours(self, on: bool) -> None:
        """Outlines of both: the prediction's solid, the truth's dashed."""
        self.update(contours=on)
        self._overlays.draw_contours(self._counted_pair, on, self.state.focus)

    def set_errors(self, on: bool) -> None:
        """A layer of where the two differ."""
        self.update(errors=on)
        self._draw_errors()

    def set_focus(self, value: int | None) -> None:
        """Error map and plot of one label; None: of all."""
        if value != self.state.focus:
            self.update(focus=value)
            self._draw_errors()
            self._draw_outline()

    def set_tolerance(self, tolerance_mm: float) -> None:
        """The distance that NSD tolerates; every label is measured again."""
        if tolerance_mm != self.state.tolerance_mm:
            self._surfaces.changed(self._surfaces.measured)
            self.update(tolerance_mm=tolerance_mm)
            self.remember("tolerance_mm", tolerance_mm)
            self._show_numbers()
            self.measure()

    # ---- going places

    def go_to(self, index: int) -> None:
        """Move the slider to slice `index` of the truth."""
        if self._pair is not None and 0 <= index < self.state.slice_count:
            go_to_slice(self.viewer, self._pair.truth, index)

    def next_worse(self) -> None:
        """Go to the next-worst slice, beginning with the worst."""
        if (counted := self._ready()) is None:
            return
        index = next_worse_slice(counted.live, self.state.focus, self.state.slice_index)
        if index is None:
            self.update(message="No slice has a label.")
        else:
            self.go_to(index)

    def next_missed(self) -> None:
        """Go to the next slice in which a label of the truth is missed altogether."""
        if (counted := self._ready()) is None:
            return
        found = next_missed_slice(counted.live, self.state.focus, self.state.slice_index)
        if found is None:
            self.update(message="No label is missed in any slice.")
            return
        index, value = found
        self.go_to(index)
        self.update(message=f"Slice {index + 1}: {counted.names.name(value)} is missed.")

    # ---- report

    def save(self, path: Path) -> None:
        """Write the report as .html, .csv or .json; the file dialog has asked about overwriting."""
        if self._pair is None or self.state.why_not:
            self.update(message=self.state.why_not)
            return
        maps = label_map_of(self._pair.prediction), label_map_of(self._pair.truth)
        image = self.image_volume()
        tolerance = self.state.tolerance_mm
        self.update(saving=True, message="Writing the report…", details="")
        self._aside(
            lambda: write_report(path, maps, image, tolerance),
            lambda _: self.update(saving=False, message=f"Written: {path.name}"),
            lambda error: self.show_error(error, saving=False),
        )

    # ---- inside: the pair

    def _open_pair(self) -> None:
        self._close_pair()
        self.state = replace(
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
        names = self.state.prediction, self.state.truth
        if None in names or names[0] == names[1]:
            self.update(message=self.state.why_not if len(self.state.layers) > 1 else "")
            return
        prediction, truth = (self.viewer.layers[name] for name in names)
        try:
            self._pair = LivePair(prediction, truth, self._aside)
            self._pair.ready.connect(self._show_counts)
            self._pair.changed.connect(self._changed)
            self._pair.failed.connect(self._failed)
            self.update(phase=Phase.COUNTING)
            self._pair.start()
        except CtsegError as error:
            self._failed(error)

    def _close_pair(self) -> None:
        self._overlays.remove()
        if self._pair is not None:
            self._pair.close()
        self._pair, self._surfaces = None, SurfaceDistances()

    def _show_counts(self) -> None:
        pair = self._pair
        assert pair is not None and pair.counted is not None
        self._surfaces.changed(pair.counted.live.values)
        self.update(
            phase=Phase.READY,
            note=pair.counted.note,
            slice_count=pair.counted.live.slices,
            slice_index=slice_of(self.viewer, pair.truth),
        )
        self._show_numbers()
        self._overlays.draw_contours(self._counted_pair, self.state.contours, self.state.focus)
        self._draw_errors()
        self.measure()

    def _changed(self, slices: tuple[int, ...]) -> None:
        pair = self._pair
        assert pair is not None and pair.counted is not None
        live, touched = pair.counted.live, list(slices)
        before = {row.value: (row.volume_pred_ml, row.volume_truth_ml) for row in self.state.rows}
        self._surfaces.changed({*occurring(live.truth[touched]), *occurring(live.prediction[touched])})
        self._surfaces.changed(
            row.value
            for row in live.table()
            if before.get(row.value) != (row.volume_pred_ml, row.volume_truth_ml)
        )
        self._show_numbers()
        self._overlays.update_errors(pair, slices, self.state.focus)
        self._draw_outline()
        self.view.idle(self.measure)

    def _show_numbers(self) -> None:
        """Rows and curves from the current counts."""
        if (counted := self._ready()) is not None:
            rows = table_rows(counted, self._surfaces)
            curves = dice_curves(counted.live, rows)
            self.update(rows=rows, curves=curves, mean_dice=counted.live.mean_dice())

    def measure(self) -> None:
        """Measure the surface distances of the labels that changed, in a thread."""
        pair, surfaces = self._counted_pair, self._surfaces
        if pair is None or self.state.measuring or not surfaces.stale:
            return

        def measured() -> None:
            self.update(measuring=False)
            if surfaces is not self._surfaces:  # of a pair that is no longer compared
                self.measure()
                return
            self._show_numbers()
            if surfaces.stale:
                self.view.idle(self.measure)

        self.update(measuring=True)
        surfaces.measure(
            pair,
            self.state.tolerance_mm,
            self._aside,
            measured,
            lambda error: self.show_error(error, measuring=False),
        )

    # ---- inside: the rest

    def _moved(self, event: Any = None) -> None:
        if self._pair is None or self._ready() is None:
            return
        index = slice_of(self.viewer, self._pair.truth)
        if index != self.state.slice_index:
            self.state = replace(self.state, slice_index=index)
            self.view.move_cursor(index)
        self._draw_outline()

    def _draw_errors(self) -> None:
        self._overlays.draw_errors(self._counted_pair, self.state.errors, self.state.focus)

    def _draw_outline(self) -> None:
        self._overlays.draw_outline(self._counted_pair, self.state.focus)

    @property
    def _counted_pair(self) -> LivePair | None:
        return self._pair if self._ready() is not None else None

    def _ready(self) -> Counted | None:
        return self._pair.counted if self._pair is not None and self.state.phase is Phase.READY else None

    def _replaced(self) -> bool:
        """Whether a compared layer was removed, or replaced by another one of its name."""
        return self._pair is not None and not {self._pair.prediction, self._pair.truth} <= set(
            self.viewer.layers
        )

    def _failed(self, error: Exception) -> None:
        self.show_error(error, phase=Phase.FAILED)
