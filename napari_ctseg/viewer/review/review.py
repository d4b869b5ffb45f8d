"""The review of one Labels layer: its marks, which an edit takes away from what it changes."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_ctseg.viewer.painting import Painting
from napari_ctseg.viewer.painting.painting import layer_of
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.review.marks import Mark, Marks

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_ctseg.journal.frames import FrameKind
    from napari_ctseg.journal.history import Gesture
    from napari_ctseg.journal.patches import Patch

REVIEW = "ctseg_review"  # the marks, in the layer's metadata: they go where the layer goes


def marks_of(layer: Labels) -> Marks:
    """The marks of a layer."""
    marks = layer.metadata.get(REVIEW)
    return marks if isinstance(marks, Marks) else Marks()


def keep_marks(layer: Labels, marks: Marks) -> None:
    """Give a layer the marks that were kept elsewhere, in its file or in the recovery folder."""
    layer.metadata[REVIEW] = marks


class Review:
    """Watches one Labels layer; `of` returns the one object of a layer.

    changed : there are other marks. edited : the slices (axis 0 of layer.data) and the values of the classes
    that an edit has just changed and that are reviewed no longer, ascending.
    """

    changed = Signal()
    edited = Signal(tuple, tuple)

    def __init__(self, layer: Labels) -> None:
        self._layer = weakref.ref(layer)
        steps = Painting.of(layer).steps
        steps.ended.connect(self._ended)
        steps.moved.connect(self._moved)
        steps.replaced.connect(self._replaced)

    @classmethod
    def of(cls, layer: Labels) -> Review:
        """The layer's Review, made at the first call. Raises GeometryError unless it can be painted."""
        layer = unwrapped(layer)
        if (known := layer.__dict__.get("_ctseg_review")) is None:
            known = layer.__dict__["_ctseg_review"] = cls(layer)
        review: Review = known
        return review

    @property
    def marks(self) -> Marks:
        """The marks as they are now."""
        return marks_of(layer_of(self._layer))

    def mark_slice(self, index: int, mark: Mark | None) -> None:
        """Give a slice this mark, None for none."""
        self._set(self.marks.with_slice(index, mark))

    def mark_class(self, value: int, mark: Mark | None) -> None:
        """Give a class this mark, None for none."""
        self._set(self.marks.with_class(value, mark))

    # ---- inside

    def _set(self, marks: Marks) -> None:
        if marks != self.marks:
            keep_marks(layer_of(self._layer), marks)
            self.changed.emit()

    def _ended(self, gesture: Gesture) -> None:
        if self.marks:
            self._edit(gesture.patch())

    def _moved(self, kind: FrameKind, patch: Patch) -> None:
        if self.marks:
            self._edit(patch)

    def _replaced(self, changed: bool) -> None:
        """Another array took the place of the layer's."""
        if changed:
            self._take(set(self.marks.slices), set(self.marks.classes))

    def _edit(self, patch: Patch) -> None:
        differs = patch.where(patch.old != patch.new)
        plane = int(np.prod(layer_of(self._layer).data.shape[1:]))
        slices = np.unique(differs.index // plane)
        values = np.union1d(np.unique(differs.old), np.unique(differs.new))
        self._take({int(one) for one in slices}, {int(one) for one in values})

    def _take(self, slices: set[int], classes: set[int]) -> None:
        before, after = self.marks, self.marks.after_edit(slices, classes)
        self._set(after)
        gone = tuple(sorted(set(before.slices) - set(after.slices)))
        gone_classes = tuple(sorted(set(before.classes) - set(after.classes)))
        if gone or gone_classes:
            self.edited.emit(gone, gone_classes)
