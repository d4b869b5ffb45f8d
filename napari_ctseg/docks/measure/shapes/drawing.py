"""The shapes on one image, with undo."""

from __future__ import annotations

from collections.abc import Iterable

from ctseg_imaging.measurements import DrawnShape

Shapes = tuple[DrawnShape, ...]
DEEPEST = 200  # undo steps


class Drawing:
    """shapes : in the order they were drawn. Every step from `begin` to `commit` is one undo step."""

    def __init__(self, shapes: Iterable[DrawnShape] = ()) -> None:
        self.shapes: Shapes = tuple(shapes)
        self._before: Shapes | None = None
        self._done: list[Shapes] = []

    @property
    def under_way(self) -> bool:
        """Whether a step was begun."""
        return self._before is not None

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._done)

    def begin(self) -> None:
        """A step begins; one that is under way ends first."""
        self.commit()
        self._before = self.shapes

    def add(self, shapes: Iterable[DrawnShape]) -> None:
        """Add shapes behind the others."""
        self.shapes = (*self.shapes, *shapes)

    def replace(self, number: int, shape: DrawnShape) -> None:
        """Put `shape` in the place of another."""
        self.shapes = (*self.shapes[:number], shape, *self.shapes[number + 1 :])

    def remove(self, number: int) -> None:
        """Take a shape out."""
        self.shapes = (*self.shapes[:number], *self.shapes[number + 1 :])

    def commit(self) -> None:
        """End the step; without a change it is none."""
        if self._before is not None and self._before != self.shapes:
            self._done = [*self._done[1 - DEEPEST :], self._before]
        self._before = None

    def cancel(self) -> None:
        """Take back what the step has changed so far."""
        if self._before is not None:
            self.shapes, self._before = self._before, None

    def undo(self) -> None:
        """Take back the step under way, or else the last one."""
        if self.under_way:
            self.cancel()
        elif self._done:
            self.shapes = self._done.pop()
