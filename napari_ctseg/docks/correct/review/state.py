"""What the dock shows of the review: values only."""

from __future__ import annotations

from dataclasses import dataclass

from napari_ctseg.viewer.review import Mark


@dataclass(frozen=True)
class ReviewState:
    """slices : the mark of each axial slice, from the feet; empty without a mask. here : the slice that is
    shown. why_not : why nothing can be marked, "" if it can. edited : what an edit has taken marks from.
    """

    slices: tuple[Mark | None, ...] = ()
    here: int = 0
    why_not: str = ""
    edited: str = ""

    @property
    def mark(self) -> Mark | None:
        """The mark of the slice that is shown."""
        return self.slices[self.here] if self.here < len(self.slices) else None

    def count(self, mark: Mark) -> int:
        """How many slices have it."""
        return self.slices.count(mark)

    @property
    def in_words(self) -> str:
        """How far the review is."""
        done = f"{self.count(Mark.REVIEWED)} of {len(self.slices)} slices reviewed"
        waiting = self.count(Mark.NEEDS_WORK)
        return done if not waiting else f"{done}, {waiting} {'needs' if waiting == 1 else 'need'} work"
