"""Volume and mean of the labels of a mask, counted in a thread and again after it was painted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ctseg_imaging.errors import CtsegError, GeometryError
from ctseg_imaging.measurements import LabelValues, label_values
from ctseg_imaging.volume import LabelMap, Volume
from napari_ctseg.background.threads import ThreadedCall
from napari_ctseg.background.timers import single_shot
from napari_ctseg.viewer.layers import label_map_of
from napari_ctseg.viewer.painting import Painting

if TYPE_CHECKING:
    from napari.layers import Labels

IDLE_MS = 700  # after the last stroke
Values = tuple[LabelValues, ...]
OTHER_GRID = "The mask lies on another grid than the image, so its labels have volumes but no mean."


class MaskValues:
    """values : of the labels of `mask`, None while they are counted. note : what a user has to know about
    them. changed : called when either is new. failed : called with what went wrong.
    """

    def __init__(
        self, aside: ThreadedCall, changed: Callable[[], None], failed: Callable[[Exception], None]
    ) -> None:
        self._aside, self._changed, self._failed = aside, changed, failed
        self.mask: Labels | None = None
        self.values: Values | None = None
        self.note = ""
        self._image: Volume | None = None
        self._painting: Painting | None = None
        self._version, self._counted, self._busy = 0, -1, False
        self._awake = False
        self._timer = single_shot(IDLE_MS, self._count)

    def follow(self, mask: Labels | None, image: Volume | None) -> None:
        """Count another mask, or with the values of another image."""
        same_image = (None if image is None else id(image.array)) == (
            None if self._image is None else id(self._image.array)
        )
        if mask is self.mask and same_image:
            return
        self._let_go()
        self.mask, self._image, self.values, self.note = mask, image, None, ""
        if mask is not None:
            try:
                self._painting = Painting.of(mask)
                self._painting.touched.connect(self._touched)
                self._painting.replaced.connect(self._touched)
            except CtsegError as error:
                self.mask, self.note = None, str(error)
        self._version += 1
        self._count()

    def set_awake(self, awake: bool) -> None:
        """Whether anybody sees the numbers; nothing is counted otherwise."""
        self._awake = awake
        if awake and self._counted != self._version:
            self._count()

    def close(self) -> None:
        """Follow no longer."""
        self._timer.stop()
        self._let_go()
        self.mask = None
        self._version += 1

    @property
    def counting(self) -> bool:
        """Whether a count is under way."""
        return self._busy

    def _let_go(self) -> None:
        if self._painting is not None:
            self._painting.touched.disconnect(self._touched)
            self._painting.replaced.disconnect(self._touched)
        self._painting = None

    def _touched(self, *_: object) -> None:
        self._version += 1
        self._timer.start()

    def _count(self) -> None:
        if self.mask is None or not self._awake or self._busy:
            return
        version, mask, image = self._version, self.mask, self._image

        def done(found: tuple[Values, str]) -> None:
            self._busy = False
            if version == self._version:
                self._counted, (self.values, self.note) = version, found
                self._changed()
            else:
                self._count()

        def failed(error: Exception) -> None:
            self._busy = False
            if version == self._version:
                self._counted = version
                self._failed(error)
                self._changed()
            else:
                self._count()

        self._busy = True
        self._aside(lambda: counted(label_map_of(mask), image), done, failed)


def counted(label_map: LabelMap, image: Volume | None) -> tuple[Values, str]:
    """The labels' values, and a note where the image lies on another grid."""
    try:
        return label_values(label_map, image), ""
    except GeometryError:
        return label_values(label_map), OTHER_GRID
