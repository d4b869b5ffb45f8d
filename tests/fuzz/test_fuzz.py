"""Damaged files of every kind that is read: each ends as a result or as one sentence, never as another error,
a crash or a hang.
"""

import pytest

from tests.fuzz.fuzzing import Tally, fuzz
from tests.fuzz.targets import TARGETS

pytest.importorskip("resource", reason="Limits of memory are set by POSIX's means.")
REFUSED_WHEN_SOUND = ("analyze",)  # no NIfTI: a format that is refused by name


def check(target: str, tally: Tally, count: int) -> None:
    """Every sound input was read, every damaged one had an outcome, and none was a fault."""
    if target == "nnunet" and not tally.sound:
        pytest.skip("The real data has no results folder of nnU-Net.")
    assert tally.sound
    if target not in REFUSED_WHEN_SOUND:
        assert set(tally.sound) == {"result"}
    assert tally.inputs == count
    assert not tally.faults, "\n".join(tally.faults[:5])


@pytest.mark.parametrize("target", TARGETS)
def test_a_few_damaged_files(target: str) -> None:
    check(target, fuzz(target, 17, 25), 25)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("target", TARGETS)
def test_many_damaged_files(target: str, seed: int) -> None:
    check(target, fuzz(target, seed, 500), 500)
