"""Bounds on time that a slow or busy machine keeps too: in multiples of a fixed piece of work, timed just
before and just after.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_S = 120.0  # how long a test waits for what has to happen, however long it takes
PATIENCE_MS = int(1000 * PATIENCE_S)
UNIT_S = 0.014  # of the piece of work, on a free core of a current machine
SLACK = 2.0  # a machine does not slow all work down alike


def slowness(clock: Callable[[], float] = time.perf_counter) -> float:
    """How many times as long as on a free core of a current machine work takes now, by `clock`; at least
    1.
    """
    return max(1.0, max(_unit(clock) for _ in range(5)) / UNIT_S)


@contextmanager
def at_most(seconds: float, clock: Callable[[], float] = time.perf_counter) -> Iterator[None]:
    """The block takes at most `seconds` of a free core of a current machine, by `clock`; longer in proportion
    on a slower one.
    """
    before, begun = slowness(clock), clock()
    yield
    took = clock() - begun
    allowed = seconds * SLACK * max(before, slowness(clock))
    assert took <= allowed, (
        f"It took {took:.2f} s, and {allowed:.2f} s would be in keeping with how busy the machine is."
    )


def _unit(clock: Callable[[], float]) -> float:
    begun, total = clock(), 0
    for k in range(200_000):
        total += k
    return clock() - begun
