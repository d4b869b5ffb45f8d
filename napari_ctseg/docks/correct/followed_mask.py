"""The one mask that is corrected: what napari's own controls do to it, and its counts, kept up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ctseg_imaging.metrics.live import LiveMetrics
from ctseg_imaging.volume import Labels
from napari_ctseg.background.threads import ThreadedCall
from napari_ctseg.docks.correct.classes import labels_in
from napari_ctseg.viewer.painting import Painting
from napari_ctseg.viewer.pairs import LivePair, occurring

if TYPE_CHECKING:
    from napari.layers import Labels as LabelsLayer

CONTROLS = ("mode", "brush_size", "selected_label", "preserve_labels", "n_edit_dimensions")


@dataclass(frozen=True)
class MaskCallbacks:
    """What the dock is notified of."""

    controls: Callable[[], None]  # napari's own controls changed
    stroke: Callable[[], None]  # one undo step was made
    refused: Callable[[str], None]  # why a stroke did nothing
    painted: Callable[[], None]  # the voxels changed
    counted: Callable[[], None]  # the numbers changed
    failed: Callable[[Exception], None]  # the mask cannot be compared with the truth
    use: Callable[[], None]  # another viewer began or ceased to edit the image


class FollowedMask:
    """Follows `layer` until `close`. Raises GeometryError for one that cannot be painted or has no patient
    coordinates.
    """

    def __init__(
        self, layer: LabelsLayer, truth: LabelsLayer | None, callbacks: MaskCallbacks, aside: ThreadedCall
    ) -> None:
        self.layer, self.truth, self._callbacks = layer, truth, callbacks
        self.painting = Painting.of(layer)
        self._pair: LivePair | None = None
        self._alone: LiveMetrics | None = None
        if truth is None:
            self._count_alone()
        else:
            self._pair = LivePair(layer, truth, aside)
            self._pair.ready.connect(self._counted)
            self._pair.changed.connect(self._counted)
            self._pair.failed.connect(callbacks.failed)
            self._pair.start()
        self.painting.replaced.connect(self._replaced)
        self.painting.touched.connect(self._touched)
        self.painting.refused.connect(self._refused)
        self.painting.read_only_changed.connect(self._use)
        for name in CONTROLS:
            getattr(layer.events, name).connect(self._controls)
        layer.events.paint.connect(self._stroke)

    def close(self) -> None:
        """Follow no longer."""
        self.painting.replaced.disconnect(self._replaced)
        self.painting.touched.disconnect(self._touched)
        self.painting.refused.disconnect(self._refused)
        self.painting.read_only_changed.disconnect(self._use)
        for name in CONTROLS:
            getattr(self.layer.events, name).disconnect(self._controls)
        self.layer.events.paint.disconnect(self._stroke)
        if self._pair is not None:
            self._pair.close()

    @property
    def judged(self) -> bool:
        """Whether the numbers are against a truth."""
        return self._pair is not None and self._pair.counted is not None

    @property
    def note(self) -> str:
        """What a user has to know about the numbers."""
        return self._pair.counted.note if self._pair is not None and self._pair.counted is not None else ""

    @property
    def live(self) -> LiveMetrics | None:
        """Against the truth where there is one, else the mask against itself, for its volumes; None while it
        is being counted.
        """
        return (
            self._pair.counted.live
            if self._pair is not None and self._pair.counted is not None
            else self._alone
        )

    @property
    def labels(self) -> Labels:
        """The mask's classes, those painted beyond its list included."""
        return labels_in(self.layer, self.live)

    def _count_alone(self) -> None:
        """The mask against itself, for its volumes."""
        data = self.layer.data
        self._alone = LiveMetrics(data, data, occurring(data), tuple(self.layer.scale))

    def _replaced(self) -> None:
        if self._pair is None:
            self._count_alone()

    def _touched(self, slices: tuple[int, ...]) -> None:
        if self._alone is not None:
            new = {*occurring(self._alone.truth[list(slices)])} - set(self._alone.values)
            if not (new and self._alone.follow({*self._alone.values, *new})):
                self._alone.update(slices)
            self._callbacks.counted()
        self._callbacks.painted()

    def _counted(self) -> None:
        self._callbacks.counted()

    def _refused(self, why: str) -> None:
        self._callbacks.refused(why)

    def _use(self) -> None:
        self._callbacks.use()

    def _controls(self, event: Any = None) -> None:
        self._callbacks.controls()

    def _stroke(self, event: Any = None) -> None:
        self._callbacks.stroke()
