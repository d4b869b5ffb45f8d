"""Lines by slice, made in a thread before they are needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from napari_ctseg.background.threads import ThreadedCall
from napari_ctseg.viewer.contours.lines import Lines

Slice = tuple[int, int]  # axis, index
KEPT = 200  # slices


class LineCache:
    """The lines of slices that were asked for. make : computes the lines of a slice; is called in a thread.
    ready : called in the GUI thread when lines that were asked for are there. running : whether some are
    being made.
    """

    def __init__(
        self,
        make: Callable[[int, int], Lines],
        aside: ThreadedCall,
        ready: Callable[[], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._make, self._aside, self._ready, self._on_error = make, aside, ready, on_error
        self._lines: OrderedDict[Slice, Lines] = OrderedDict()
        self._asked: tuple[Sequence[Slice], ...] = ()
        self.running = False
        self._changes = 0

    def get(self, where: Slice) -> Lines | None:
        """The lines of a slice, None if they have not been made."""
        return self._lines.get(where)

    def ask(self, *groups: Sequence[Slice]) -> None:
        """Make the lines of these groups one after the other, and no longer those of earlier calls."""
        self._asked = groups
        self._next()

    def forget(self, gone: Callable[[Slice], bool] = lambda where: True) -> None:
        """The slices for which `gone` is true have changed."""
        self._changes += 1
        for where in [where for where in self._lines if gone(where)]:
            del self._lines[where]

    def _next(self) -> None:
        missing: Iterable[list[Slice]] = (
            [where for where in group if where not in self._lines] for group in self._asked
        )
        wanted = next(filter(None, missing), None)
        if self.running or wanted is None:
            return
        self.running, changes = True, self._changes

        def done(made: list[Lines]) -> None:
            self.running = False
            if changes == self._changes:  # what changed meanwhile is made again
                self._keep(zip(wanted, made, strict=True))
                self._ready()
            self._next()

        self._aside(lambda: [self._make(*where) for where in wanted], done, self._failed)

    def _keep(self, made: Iterable[tuple[Slice, Lines]]) -> None:
        self._lines.update(made)
        while len(self._lines) > KEPT:
            self._lines.popitem(last=False)

    def _failed(self, error: Exception) -> None:
        self.running, self._asked = False, ()
        self._on_error(error)
