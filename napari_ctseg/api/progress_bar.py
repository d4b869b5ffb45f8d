"""Following long work: silently, with a callback, or with a bar in the notebook or terminal."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from ctseg_imaging.progress import Progress, finish

T = TypeVar("T")
ProgressOption = bool | Callable[[Progress], None]


def follow(work: Generator[Progress, None, T], progress: ProgressOption) -> T:
    """Drive `work` to its end and return its value.

    progress : True shows a bar; a callable gets every Progress; False shows nothing. An interrupt closes
    `work`, which cancels it.
    """
    try:
        if progress is False:
            return finish(work)
        if progress is True:
            with _Bar() as bar:
                return finish(_reported(work, bar.show))
        return finish(_reported(work, progress))
    finally:
        work.close()


def _reported(
    work: Generator[Progress, None, T], callback: Callable[[Progress], None]
) -> Generator[Progress, None, T]:
    """`work`, with each step also given to `callback`."""
    while True:
        try:
            step = next(work)
        except StopIteration as end:
            value: T = end.value
            return value
        callback(step)
        yield step


class _Bar:
    """One tqdm bar that starts again with every stage."""

    def __enter__(self) -> _Bar:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without ipywidgets tqdm shows a text bar and warns about it
            from tqdm.auto import tqdm

            self._bar: Any = tqdm(
                total=0, bar_format="{desc}: {percentage:3.0f}% |{bar}| {elapsed} {postfix}"
            )
        self._stage = ""
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, step: Progress) -> None:
        """Draw `step`."""
        if step.stage != self._stage:
            self._stage = step.stage
            self._bar.reset(total=step.total or None)
            self._bar.set_description_str(step.stage, refresh=False)
        self._bar.set_postfix_str(step.message, refresh=False)
        self._bar.n = step.done
        self._bar.refresh()
