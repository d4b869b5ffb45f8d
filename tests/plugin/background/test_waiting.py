"""The GUI goes on while a file is read for it, and Cancel ends the reading."""

import threading

import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QProgressDialog, QPushButton

from ctseg_imaging.errors import FormatError
from ctseg_imaging.progress import Progress
from napari_ctseg.background.waiting import WaitingCancelled, waited
from napari_ctseg.compute import reading
from napari_ctseg.files import readers


@pytest.fixture
def ticks(qtbot):
    """Counts the turns of the event loop; calls `ticks.then` at each."""

    class Ticks:
        count, then = 0, staticmethod(lambda: None)

    found, timer = Ticks(), QTimer()

    def tick():
        found.count += 1
        found.then()

    timer.timeout.connect(tick)
    timer.start(5)
    yield found
    timer.stop()


def until(event):
    """Work that ends once `event` is set, and reports how it ended."""
    ends = []

    def work():
        try:
            while not event.wait(0.01):
                yield Progress("read", 1, 3, "Reading case")
            return threading.current_thread()
        finally:
            ends.append("closed" if not event.is_set() else "done")

    return work(), ends


def dialog():
    return next(
        (
            widget
            for widget in QApplication.topLevelWidgets()
            if isinstance(widget, QProgressDialog) and widget.isVisible()
        ),
        None,
    )


def test_the_event_loop_turns_while_the_work_runs_in_a_thread(ticks):
    event = threading.Event()
    ticks.then = lambda: (
        event.set() if ticks.count == 7 else None
    )  # without the loop the work would never end
    work, ends = until(event)
    assert waited(work, "case") is not threading.main_thread()
    assert (ticks.count >= 7, ends) == (True, ["done"])


@pytest.mark.parametrize("key", [False, True], ids=["button", "Esc"])
def test_cancel_closes_the_work_and_the_reader_opens_nothing(key, ticks, qtbot, monkeypatch, tmp_path):
    event, shown = threading.Event(), []
    work, ends = until(event)

    def press():
        if (waiting := dialog()) is not None:
            shown.append(waiting.labelText())
            if key:
                QTest.keyClick(waiting, Qt.Key.Key_Escape)
            else:
                QTest.mouseClick(waiting.findChild(QPushButton), Qt.MouseButton.LeftButton)

    ticks.then = press
    monkeypatch.setattr(reading, "reading", lambda path, **choice: work)
    path = tmp_path / "case.nrrd"
    path.write_text("NRRD0004\n")
    assert readers.read_for_napari(str(path)) == readers.NOTHING
    assert shown == ["Reading case"] and dialog() is None
    qtbot.waitUntil(lambda: ends == ["closed"], timeout=60_000)


def test_what_the_work_raises_comes_out_with_its_type(qtbot):
    def broken():
        yield Progress("read", 0, 0, "Reading")
        raise FormatError("case: is damaged; export it again.")

    with pytest.raises(FormatError, match="is damaged"):
        waited(broken(), "case")


def test_outside_the_gui_thread_the_work_runs_in_place(qtbot):
    event, found = threading.Event(), []
    event.set()
    thread = threading.Thread(target=lambda: found.append(waited(until(event)[0], "case")))
    thread.start()
    thread.join()
    assert found == [thread]


def test_cancelling_is_no_error():
    assert not issubclass(WaitingCancelled, FormatError)
