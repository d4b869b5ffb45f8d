"""Progress of work that is a piece of more."""

from __future__ import annotations

from collections.abc import Generator

from ctseg_imaging.progress import Progress, finish, in_part


def counting(closed: list[bool]) -> Generator[Progress, None, str]:
    try:
        yield Progress("load", 0, 1, "Loading")
        yield Progress("segment", 1, 2)
    finally:
        closed.append(True)
    return "done"


def test_every_step_names_its_part_and_the_value_comes_through() -> None:
    closed: list[bool] = []
    assert list(in_part(counting(closed), 1, 3)) == [
        Progress("load", 0, 1, "Loading", 1, 3),
        Progress("segment", 1, 2, "", 1, 3),
    ]
    assert finish(in_part(counting(closed), 0, 2)) == "done"
    assert closed == [True, True]


def test_closing_closes_the_work() -> None:
    closed: list[bool] = []
    work = in_part(counting(closed), 0, 2)
    next(work)
    work.close()
    assert closed == [True]
