"""Paint, fill, operations, undo, redo, slices, locks, export, crash and restore in any order: the array is always the plain model's."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.plugin.journal.model import Model


def run(sequences, steps):
    run_state_machine_as_test(Model, settings=settings(max_examples=sequences, stateful_step_count=steps, deadline=None, database=None,
                                                       derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)))


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """Flushing guards against a power cut, which these tests do not have."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


def test_300_sequences(qapp):
    run(300, 15)


@pytest.mark.long
@pytest.mark.timeout(5400)
def test_10_000_sequences(qapp):
    run(10_000, 30)
