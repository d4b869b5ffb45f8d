"""Which slices and classes of a mask are reviewed or need work."""

from napari_ctseg.viewer.review.marks import Mark, Marks
from napari_ctseg.viewer.review.review import Review, keep_marks, marks_of

__all__ = ["Mark", "Marks", "Review", "keep_marks", "marks_of"]
