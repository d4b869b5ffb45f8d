import threading

import pytest

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import Progress
from napari_ctseg.background import queue
from tests.pace import PATIENCE_MS, PATIENCE_S


class Heard:
    """Collects the callbacks."""

    def __init__(self):
        self.steps, self.values, self.errors = [], [], []

    def run(self, factory):
        return queue.run(factory, self.steps.append, self.values.append, self.errors.append)


@pytest.fixture(autouse=True)
def nothing_left(qtbot):
    yield
    qtbot.waitUntil(lambda: not queue.is_busy(), timeout=PATIENCE_MS)


def counting(n):
    for i in range(n):
        yield Progress("count", i + 1, n)
    return n


def test_a_generator_reports_and_returns_in_the_gui_thread(qtbot):
    threads = []
    heard = Heard()

    def factory():
        threads.append(threading.current_thread())
        return counting(3)

    def on_progress(step):
        heard.steps.append(step)
        threads.append(threading.current_thread())

    queue.run(factory, on_progress, heard.values.append, heard.errors.append)
    qtbot.waitUntil(lambda: heard.values == [3], timeout=PATIENCE_MS)
    assert [step.done for step in heard.steps] == [1, 2, 3]
    assert threads[0] is not threading.main_thread() and set(threads[1:]) == {threading.main_thread()}


@pytest.mark.parametrize(
    "error", [BundleError("toy: is damaged; get it again."), RuntimeError("mat1 and mat2"), MemoryError()]
)
def test_an_error_is_told_whatever_its_kind(qtbot, error):
    def failing():
        yield Progress("start")
        raise error

    heard = Heard()
    heard.run(failing)
    qtbot.waitUntil(lambda: len(heard.errors) == 1, timeout=PATIENCE_MS)
    assert heard.errors[0] is error and not heard.values


def test_sentences_hold_no_traceback():
    assert queue.sentence(BundleError("toy: is damaged.")) == "toy: is damaged."
    assert "RuntimeError" in queue.sentence(RuntimeError("boom")) and "memory" in queue.sentence(
        MemoryError()
    )
    assert "boom" in queue.details(RuntimeError("boom"))


def test_cancel_closes_the_generator_and_nothing_is_called_back(qtbot):
    closed, go = threading.Event(), threading.Event()

    def slow():
        try:
            while True:
                yield Progress("slow")
                go.wait(PATIENCE_S)
        finally:
            closed.set()

    heard = Heard()
    task = heard.run(slow)
    qtbot.waitUntil(lambda: len(heard.steps) == 1, timeout=PATIENCE_MS)
    task.cancel()
    assert task.done
    go.set()
    assert closed.wait(PATIENCE_S)
    qtbot.waitUntil(lambda: not queue.is_busy(), timeout=PATIENCE_MS)
    assert not heard.values and not heard.errors and len(heard.steps) == 1


def test_one_at_a_time_and_in_order(qtbot):
    running, most, order = [0], [0], []

    def job(name):
        def generator():
            running[0] += 1
            most[0] = max(most[0], running[0])
            for i in range(5):
                yield Progress(name, i, 5)
            running[0] -= 1
            return name

        return generator

    for name in "abc":
        queue.run(job(name), lambda step: None, order.append, order.append)
    qtbot.waitUntil(lambda: len(order) == 3, timeout=PATIENCE_MS)
    assert order == ["a", "b", "c"] and most[0] == 1


def test_a_waiting_task_can_be_cancelled_before_it_starts(qtbot):
    go, started = threading.Event(), []

    def first():
        yield Progress("first")
        go.wait(PATIENCE_S)

    def second():
        started.append(True)
        yield Progress("second")

    heard = Heard()
    heard.run(first)
    task = heard.run(second)
    task.cancel()
    go.set()
    qtbot.waitUntil(lambda: not queue.is_busy(), timeout=PATIENCE_MS)
    assert not started and heard.values == [None]
