import errno
import gc
import os
import signal
import subprocess
import sys
import time
import traceback
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import psutil
import pytest

from ctseg_imaging.errors import BundleError, CtsegError
from ctseg_imaging.progress import Progress, finish
from napari_ctseg.background import queue
from napari_ctseg.compute import client, computing_process
from napari_ctseg.compute.array_pickling import PickledMessage, receive
from napari_ctseg.compute.client import NETWORKS, run_in_worker, shut_down
from napari_ctseg.compute.exit_reason import ended
from napari_ctseg.compute.messages import ComputingProcessError
from tests.pace import PATIENCE_S, at_most

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import worker_jobs as jobs  # noqa: E402 - both processes know it by this name


@pytest.fixture(scope="module", autouse=True)
def computing():
    """A computing process that finds this folder's jobs, gone after the last test."""
    before = os.environ.get("PYTHONPATH")
    shut_down()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), before]))
    yield
    shut_down()
    os.environ.pop("PYTHONPATH")
    if before is not None:
        os.environ["PYTHONPATH"] = before


def pid():
    return finish(run_in_worker(jobs.process, title="toy"))[0]


def until(condition):
    """Wait for what another process does."""
    end = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def running(job, *arguments):
    """The generator of a job that has reported its first step."""
    generator = run_in_worker(job, *arguments, title="toy")
    while next(generator) is computing_process.STARTING:
        pass
    return generator


def gone(number):
    return not psutil.pid_exists(number) or psutil.Process(number).status() == psutil.STATUS_ZOMBIE


def test_steps_and_the_value_come_back_and_the_process_stays_warm():
    steps, values = [], []

    def followed():
        values.append(
            (yield from run_in_worker(jobs.thresholded, np.arange(24).reshape(2, 3, 4), 11, title="toy"))
        )

    steps += followed()
    reported = [step for step in dict.fromkeys(steps) if step is not computing_process.STARTING]
    assert reported == [Progress("segment", 1, 2, "half"), Progress("assemble", 2, 2, "all")]
    assert values[0]["sum"] == 276 and values[0]["mask"].sum() == 12
    first = finish(run_in_worker(jobs.process, title="toy"))
    assert first == (pid(), True, False) and first[0] != os.getpid()


@pytest.mark.parametrize("layout", ["C", "F", "flipped", "gaps", "4D"])
def test_large_arrays_arrive_equal_whatever_their_layout(layout):
    array = np.random.default_rng(3).integers(-1000, 3000, (41, 52, 63), np.int16)
    array = {
        "C": array,
        "F": np.asfortranarray(array),
        "flipped": array[::-1, :, ::-1].transpose(2, 0, 1),
        "gaps": array[:, 1:, ::2],
        "4D": np.stack([array, array + 1]),
    }[layout]
    assert array.nbytes > 65536 and array.nbytes % 4096
    answer = finish(run_in_worker(jobs.thresholded, array, 900, title="toy"))
    assert answer["sum"] == array.sum(dtype=np.int64) and answer["writable"]
    np.testing.assert_array_equal(answer["mask"], array > 900)
    order = np.argsort([-abs(stride) for stride in array.strides])
    assert list(np.argsort([-stride for stride in answer["strides"]])) == list(
        order
    )  # memory runs along the same axis as here
    answer["mask"][0, 0, 0] ^= True


def test_no_file_or_name_is_left_and_the_viewer_holds_no_copy():
    array = np.zeros((64, 128, 128), np.int16)
    finish(run_in_worker(jobs.thresholded, array, 0, title="toy"))
    gc.collect()
    held = list(Path("/proc/self/fd").iterdir())
    assert not [link for link in held if link.is_symlink() and "memfd:napari-ctseg" in str(link.readlink())]
    assert "memfd:napari-ctseg" not in Path("/proc/self/maps").read_text()
    child = NETWORKS.process.process.pid
    assert until(lambda: "memfd:napari-ctseg" not in Path(f"/proc/{child}/maps").read_text())
    assert "torch" not in vars(client)


def test_memory_of_a_job_is_given_back():
    array = np.ones((50, 256, 256), np.int16)
    before = psutil.Process(pid()).memory_info().rss / 1e6
    during, _ = finish(run_in_worker(jobs.resident, array, title="toy"))
    child = psutil.Process(NETWORKS.process.process.pid)
    assert during > before + 25
    assert until(lambda: child.memory_info().rss / 1e6 < before + 10)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("ours", BundleError, "toy: is damaged; get it again."),
        ("two", BundleError, "toy: is damaged"),
        ("foreign", RuntimeError, "Foreign: seven"),
        ("python", KeyError, "'seven'"),
        ("memory", MemoryError, "8 GB"),
        ("answer", AttributeError, "Can't pickle local object 'raising.<locals>.<lambda>'"),
    ],
)
def test_an_error_arrives_with_its_sentence_and_its_traceback_and_the_process_lives(
    name, kind, expected, capfd
):
    before = pid()
    with pytest.raises(kind) as raised:
        finish(run_in_worker(jobs.raising, name, title="toy"))
    assert type(raised.value) is kind and str(raised.value) == expected
    where = "in raising" if name != "answer" else "compute/__main__.py"
    assert where in queue.details(raised.value)
    assert pid() == before
    assert capfd.readouterr() == ("", "")  # what a job prints may hold a patient's name


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGSEGV, "SIGSEGV"), (0, "exit code 7")])
def test_a_death_is_a_sentence_and_the_next_job_runs(number, expected):
    with pytest.raises(CtsegError) as raised:
        finish(run_in_worker(jobs.dying, number, title="liver-net"))
    text = queue.sentence(raised.value)
    assert (
        text.startswith("liver-net: the computing process ended unexpectedly (")
        and expected in text
        and "run it again" in text
    )
    assert "last words" in "".join(traceback.format_exception(raised.value))
    assert pid()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (-9, "it was killed, SIGKILL, most likely because memory ran out"),
        (-11, "it crashed, SIGSEGV"),
        (1, "exit code 1"),
    ],
)
def test_how_it_ended_is_worded_for_the_user(code, expected):
    assert f"liver-net: the computing process ended unexpectedly ({expected}); " in str(
        ended("liver-net", code)
    )


def test_killed_from_outside_in_mid_run_and_while_idle():
    generator = running(jobs.deaf)
    os.kill(NETWORKS.process.process.pid, signal.SIGKILL)
    with pytest.raises(CtsegError, match="SIGKILL"):
        finish(generator)
    first = pid()
    os.kill(first, signal.SIGKILL)
    assert until(lambda: not NETWORKS.process.is_alive)  # its first thread is gone before the others are
    assert pid() != first


@pytest.mark.skipif(sys.platform != "linux", reason="Limits of memory are Linux's.")
def test_no_memory_is_told_as_such():
    with pytest.raises(MemoryError) as raised:
        finish(run_in_worker(jobs.hungry, 4000, title="toy"))
    assert "memory" in queue.sentence(raised.value)
    shut_down()  # the limit stays with that process


def test_a_cancelled_job_is_closed_and_its_process_stays(tmp_path):
    before = pid()
    generator = running(jobs.endless, tmp_path / "closed")
    with at_most(1):
        generator.close()
    assert (tmp_path / "closed").read_text() == "closed"
    assert pid() == before


def test_a_real_network_is_cancelled_in_time():
    generator = running(jobs.network, 60)
    with at_most(1.5):
        generator.close()
    assert pid() == NETWORKS.process.process.pid


def test_a_job_that_does_not_listen_is_killed_and_a_fresh_process_warms_up():
    generator = running(jobs.deaf)
    assert {next(generator) for _ in range(4)} == {
        Progress("segment")
    }  # sent again every tenth of a second: by now it is deaf
    deaf = NETWORKS.process.process.pid
    with at_most(2):
        generator.close()
    assert gone(deaf)
    assert NETWORKS.process.is_alive and pid() != deaf


def test_waiting_for_a_busy_process_can_be_cancelled():
    generator = running(jobs.network, 60)
    second = run_in_worker(jobs.process, title="toy")
    assert next(second) is computing_process.STARTING and next(second) is computing_process.STARTING
    second.close()
    generator.close()
    assert pid()


def test_preload_waits_for_nothing_and_an_idle_process_is_ended(monkeypatch):
    shut_down()
    monkeypatch.setattr(computing_process, "IDLE_MINUTES", 0.3 / 60)
    with at_most(0.2):
        NETWORKS.preload()
        NETWORKS.preload()
    assert NETWORKS.process is not None
    process = NETWORKS.process.process
    monkeypatch.setattr(client, "MUCH_MB", 10.0)
    assert until(lambda: NETWORKS.process is None and process.poll() is not None)
    assert pid()


@pytest.mark.parametrize(
    "lacking",
    [
        (computing_process.subprocess, "Popen"),
        (computing_process.tempfile, "TemporaryFile"),
        (computing_process, "Pipe"),
    ],
)
def test_a_start_that_fails_is_a_sentence_and_the_next_run_starts_afresh(monkeypatch, lacking):
    def refused(*_, **__):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    shut_down()
    open_before = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
    with monkeypatch.context() as without:
        without.setattr(*lacking, refused)
        NETWORKS.preload()
        with pytest.raises(ComputingProcessError) as raised:
            finish(run_in_worker(jobs.process, title="toy"))
        assert (
            "could not be started (Cannot allocate memory); " in queue.sentence(raised.value)
            and NETWORKS.process is None
        )
        assert sys.platform != "linux" or len(list(Path("/proc/self/fd").iterdir())) == open_before
    assert not NETWORKS.busy.locked() and pid()


def test_a_killed_process_that_cannot_be_replaced_frees_the_queue_all_the_same(monkeypatch):
    generator = running(jobs.deaf)
    for _ in range(4):
        next(generator)
    with monkeypatch.context() as without:
        without.setattr(
            computing_process.tempfile,
            "TemporaryFile",
            lambda: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")),
        )
        generator.close()
    assert not NETWORKS.busy.locked() and pid()


class MadeWhilePickling:
    """An object that pickles arrays made for the purpose, as lazily stored ones do: gone before the next is
    made.
    """

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return np.copy, (np.full((40, 50, 60), self.value, np.int16),)


def test_arrays_that_live_only_while_they_are_packed_are_not_taken_for_each_other():
    here, there = Pipe()
    pickled = PickledMessage([MadeWhilePickling(value) for value in range(5)])
    pickled.send(there, os.getpid())
    assert [int(array.max()) for array in receive(here)] == [0, 1, 2, 3, 4]
    pickled.close()


def test_a_system_that_does_not_let_it_be_the_first_to_go_is_no_obstacle(monkeypatch):
    from napari_ctseg.compute import containment

    tried = []

    def forbidden(path, *_):
        tried.append(path.name)
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(containment.Path, "write_text", forbidden)
    containment.give_way()
    assert tried == (["oom_score_adj"] if sys.platform == "linux" else [])


@pytest.mark.parametrize("end", ["return", "deaf"])
def test_it_ends_with_the_viewers_process(end):
    script = f"""
import os, signal, sys, time
sys.path.insert(0, {str(HERE)!r})
import worker_jobs as jobs
from napari_ctseg.compute import computing_process
from napari_ctseg.compute.client import NETWORKS, run_in_worker
work = (jobs.deaf,) if {end!r} == "deaf" else (jobs.network, 600)
generator = run_in_worker(*work, title="toy")
while next(generator) is computing_process.STARTING:
    pass
assert "torch" not in sys.modules
print(NETWORKS.process.process.pid, flush=True)
if {end!r} == "deaf":
    for _ in range(4):
        next(generator)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    child = int(answer.stdout)
    assert (answer.returncode == 0) == (end == "return"), answer.stderr
    assert until(lambda: gone(child))
