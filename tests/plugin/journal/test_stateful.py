"""Paint, fill, operations, undo, redo, slices, locks, export, crash and restore in any order: the array is
always the plain model's.
"""

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.plugin.journal.model import Model


def run(sequences, steps, number):
    """The sequences of the seed `number`, the same each time."""
    seed(number)(Model)
    before = Model.begun
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=sequences,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert Model.begun - before >= sequences


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """Flushing guards against a power cut, which these tests do not have."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


def test_300_sequences(qapp):
    run(300, 15, 0)


@pytest.mark.long
@pytest.mark.parametrize("number", range(1, 21))
def test_10_000_sequences(qapp, number):
    run(500, 30, number)
