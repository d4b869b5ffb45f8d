"""A run must not be felt in the viewer: what the event loop, the brush, the slider and the end of the viewer
notice of it.
"""

import statistics
import subprocess
import sys
import textwrap
import time
from itertools import count

import numpy as np
import psutil
import pytest
from qtpy.QtCore import QEventLoop, Qt, QTimer
from qtpy.QtWidgets import QApplication

from ctseg_imaging import phantom
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import LabelMap, Labels, Volume
from ctseg_models.contract.prediction import Prediction
from napari_ctseg.background import queue
from napari_ctseg.compute.client import NETWORKS, shut_down
from napari_ctseg.docks.run_model.run.request import InstalledModels
from napari_ctseg.docks.run_model.state import Phase
from napari_ctseg.docks.run_model.view import RunModelDock
from napari_ctseg.viewer.layers import BOXES, label_map_of
from napari_ctseg.viewer.showing import show_labels, show_volume
from tests.pace import PATIENCE_MS, PATIENCE_S, at_most, slowness

BUNDLE = "phantom-abdomen-scn"
TICK_MS = 5
LIMIT_MS = 50.0
FREE = 1.5  # how slow work may be on a machine that has nothing else to do


@pytest.fixture(scope="module")
def whole():
    """A run on it takes a few seconds."""
    return phantom.abdomen(90_100, (70, 100, 112), (5.0, 3.6, 3.4), tilt_deg=4).image


@pytest.fixture(scope="module")
def case(whole):
    """Its middle, for runs of a second."""
    grid = whole.geometry
    part = Geometry.from_parts((24, 60, 70), grid.spacing_mm, grid.index_to_lps((20, 20, 20)), grid.direction)
    return Volume(np.ascontiguousarray(whole.array[20:44, 20:80, 20:90]), part, modality="CT")


@pytest.fixture(scope="module", autouse=True)
def nothing_computes_afterwards():
    yield
    shut_down()


@pytest.fixture
def as_many_threads_as_a_person_has(monkeypatch):
    """Not the one thread of a test run, and a cold start."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    shut_down()
    yield
    shut_down()


@pytest.fixture
def opened(make_plugin_viewer, qtbot, request):
    """A viewer with the phantom's middle, or all of it for a test that says so, and the Run model dock, all
    drawn.
    """
    viewer = make_plugin_viewer(show=True)
    image = show_volume(viewer, request.getfixturevalue(getattr(request, "param", "case")), "ct")
    dock = RunModelDock(viewer)
    viewer.window.add_dock_widget(dock, name="Run model", area="right")
    dock.controller.choose_bundles([BUNDLE])
    qtbot.waitUntil(lambda: dock.run_panel.go.isEnabled(), timeout=PATIENCE_MS)
    qtbot.wait(500)
    yield viewer, image, dock
    qtbot.waitUntil(lambda: not queue.is_busy(), timeout=PATIENCE_MS)


def gaps_ms(until, on_tick=lambda: None, longest=2 * PATIENCE_S):
    """How many milliseconds later than it should the event loop came round, for every tick until `until` is
    true.
    """
    loop, timer, late = QEventLoop(), QTimer(), []
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    begun = last = time.perf_counter()

    def tick():
        nonlocal last
        now = time.perf_counter()
        late.append(1000 * (now - last) - TICK_MS)
        last = now
        on_tick()
        if until() or now - begun > longest:
            loop.quit()

    timer.timeout.connect(tick)
    timer.start(TICK_MS)
    loop.exec()
    timer.stop()
    assert until(), "It took too long."
    return late


def p99(values):
    return float(np.percentile(values, 99))


def after(seconds):
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() > end


def ended(dock):
    return lambda: not dock.controller.state.busy


class OnlyReports:
    """Models that give the dock what a run gives, at the rate of one, and compute nothing."""

    def __init__(self, prediction):
        self.prediction = prediction

    def bundles(self):
        return InstalledModels().bundles()

    def run(self, request):
        for number in range(20):
            yield Progress("segment", number, 20, "Segmenting")
            time.sleep(0.2)
        return self.prediction


def run(dock):
    dock.run_panel.go.click()
    assert dock.controller.state.busy


@pytest.mark.parametrize("opened", ["whole"], indirect=True)
def test_the_event_loop_stays_quick_through_two_runs_in_a_row(as_many_threads_as_a_person_has, opened):
    viewer, _, dock = opened
    idle, during, busy = p99(gaps_ms(after(2))), [], [slowness()]
    for _ in range(2):
        run(dock)
        during.append(p99(gaps_ms(ended(dock))))
        busy.append(slowness())
        assert dock.controller.state.phase is Phase.DONE, dock.controller.state.message
    labels = label_map_of(viewer.layers[BUNDLE])
    dock.controller.models = OnlyReports(
        Prediction(labels, tuple(viewer.layers[f"{BUNDLE} box"].metadata[BOXES]))
    )
    run(dock)
    drawing = p99(gaps_ms(ended(dock)))
    print(
        f"machine {max(busy):.1f} times as slow as a free one; event loop, p99 of {TICK_MS} ms ticks: idle "
        f"{idle:.1f} ms, "
        f"a run's reports without a run {drawing:.1f} ms, "
        f"cold run {during[0]:.1f} ms, warm run {during[1]:.1f} ms"
    )
    # what else the machine does may disturb one of the two, and the drawing
    assert min(during) <= max(LIMIT_MS * max(busy), 2 * drawing, 3 * idle)
    first, second = (viewer.layers[name] for name in (BUNDLE, f"{BUNDLE} [1]"))
    assert first.data.any() and np.array_equal(first.data, second.data)


@pytest.mark.parametrize("opened", ["whole"], indirect=True)
def test_moving_the_slider_takes_no_longer_while_a_run_goes_on(as_many_threads_as_a_person_has, opened):
    viewer, _, dock = opened

    def steps(until):
        """Seconds from a move of the slider to the picture of it, and how much the viewer's thread computed
        for that.
        """
        took, computed, number = [], [], 0
        while not until():
            begun, before = time.perf_counter(), time.thread_time()
            number += 1
            viewer.dims.set_current_step(0, 10 + number % 50)
            viewer.window._qt_viewer.canvas.native.repaint()
            QApplication.processEvents()
            took.append(time.perf_counter() - begun)
            computed.append(time.thread_time() - before)
        return statistics.median(took), statistics.median(computed), len(took)

    steps(after(0.5))
    busy = [slowness()]
    before = steps(after(3))
    run(dock)
    during = steps(lambda: dock.controller.state.phase is not Phase.WAITING and ended(dock)())
    again = steps(after(3))
    busy.append(slowness())
    took, computed = (max(before[k], again[k]) for k in (0, 1))
    print(
        f"machine {max(busy):.1f} times as slow as a free one; slider, median step: alone {1000 * took:.1f} "
        "ms, "
        f"next to a run {1000 * during[0]:.1f} ms; computed {1000 * computed:.1f} and {1000 * during[1]:.1f} "
        "ms"
    )
    assert dock.controller.state.phase is Phase.DONE and during[2] > 20
    assert during[1] <= 1.5 * computed, (
        before,
        during,
        again,
    )  # the run puts no work into the viewer's thread
    if max(busy) < FREE:  # else the run and the viewer share what others leave
        assert during[0] <= 1.5 * took, (before, during, again)


def test_painting_goes_on_during_a_run_and_its_result_touches_nothing(opened, case):
    viewer, _, dock = opened
    mine = show_labels(
        viewer,
        LabelMap(np.zeros(case.geometry.shape, np.uint8), case.geometry, Labels.from_names({1: "mine"})),
        "mine",
        role="edited",
    )
    mine.brush_size, painted, strokes = 5, set(), count()

    def stroke():
        if next(strokes) % 10:  # twenty a second at most, as from a hand
            return
        place = (len(painted) % 23, 5 + len(painted) % 41, 5 + len(painted) % 53)
        mine.paint(place, 1)
        painted.add(place)

    run(dock)
    gaps_ms(ended(dock), stroke)
    assert dock.controller.state.phase is Phase.DONE and viewer.layers[BUNDLE].data.any()
    assert len(painted) > 5 and all(mine.data[place] == 1 for place in painted)
    mine.undo()
    assert not all(mine.data[place] == 1 for place in painted)


def test_the_result_comes_although_the_image_was_removed(opened, qtbot):
    viewer, image, dock = opened
    run(dock)
    qtbot.waitUntil(lambda: (dock.controller.state.progress.share or 0) > 0.1, timeout=PATIENCE_MS)
    viewer.layers.remove(image)
    qtbot.waitUntil(ended(dock), timeout=PATIENCE_MS)
    assert BUNDLE in viewer.layers and viewer.layers[BUNDLE].data.any()
    assert not dock.run_panel.go.isEnabled() and dock.controller.state.why_not == "Open an image first."


def test_a_killed_computing_process_is_a_sentence_and_the_next_run_works(opened, qtbot):
    viewer, _, dock = opened
    run(dock)
    qtbot.waitUntil(lambda: (dock.controller.state.progress.share or 0) > 0.1, timeout=PATIENCE_MS)
    NETWORKS.process.process.kill()
    qtbot.waitUntil(ended(dock), timeout=PATIENCE_MS)
    state = dock.controller.state
    assert state.phase is Phase.FAILED and state.message.startswith(
        f"{BUNDLE}: the computing process ended unexpectedly"
    )
    assert dock.run_panel.go.isEnabled() and BUNDLE not in viewer.layers
    run(dock)
    qtbot.waitUntil(ended(dock), timeout=PATIENCE_MS)
    assert dock.controller.state.phase is Phase.DONE and BUNDLE in viewer.layers


def test_cancel_leaves_the_dock_ready_and_no_computing(opened, qtbot):
    viewer, _, dock = opened
    run(dock)
    qtbot.waitUntil(lambda: (dock.controller.state.progress.share or 0) > 0.1, timeout=PATIENCE_MS)
    child = psutil.Process(NETWORKS.process.process.pid)
    with at_most(1):
        dock.run_panel.stop.click()
    assert dock.run_panel.go.isEnabled()
    with at_most(2):
        qtbot.waitUntil(lambda: not queue.is_busy(), timeout=PATIENCE_MS)
    qtbot.wait(300)  # memory is given back
    if child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        used = child.cpu_times().user
        qtbot.wait(700)
        assert child.cpu_times().user - used < 0.1
    assert BUNDLE not in viewer.layers


def test_closing_the_viewer_during_a_run_ends_both_processes(tmp_path):
    script = textwrap.dedent(f"""
        import sys
        import napari
        from qtpy.QtCore import QTimer
        from ctseg_imaging import phantom
        from napari_ctseg.compute.client import NETWORKS
        from napari_ctseg.docks.run_model.view import RunModelDock
        from napari_ctseg.viewer.showing import show_volume

        viewer = napari.Viewer()
        show_volume(viewer, phantom.abdomen(90_100, (70, 100, 112), (5.0, 3.6, 3.4)).image, "ct")
        dock = RunModelDock(viewer)
        viewer.window.add_dock_widget(dock, name="Run model")
        dock.controller.choose_bundles([{BUNDLE!r}])

        draw = dock.show

        def show(state=None):
            # Every report of progress comes through here; a timer would miss those of a quick run.
            draw(state)
            if state is not None and state.busy and (state.progress.share or 0) > 0.1 and timer.isActive():
                timer.stop()
                print("computing", NETWORKS.process.process.pid, "torch" in sys.modules, flush=True)
                QTimer.singleShot(0, viewer.close)

        def look():
            if not dock.controller.state.busy:
                dock.run_panel.go.click()

        dock.show = show
        timer = QTimer()
        timer.timeout.connect(look)
        timer.start(20)
        napari.run()
        print("ended", flush=True)
    """)
    answer = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        cwd=tmp_path,
    )
    messages = [
        line.split() for line in answer.stdout.splitlines() if line.startswith(("computing", "ended"))
    ]
    assert len(messages) == 2 and answer.returncode == 0, answer.stderr
    number, torch_loaded = messages[0][1:]
    assert torch_loaded == "False"
    assert "Traceback" not in answer.stderr
    psutil.wait_procs(
        [psutil.Process(int(number))] if psutil.pid_exists(int(number)) else [], timeout=PATIENCE_S
    )
    assert not psutil.pid_exists(int(number))
