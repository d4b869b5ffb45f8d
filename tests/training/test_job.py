"""Jobs as processes of their own: followed from outside, stopped, found again, and dying with a word."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from ctseg_imaging.errors import RecipeError
from ctseg_imaging.progress import finish
from ctseg_models.bundles.own.bundle import read_own
from ctseg_training.job import Job
from ctseg_training.job_order import JobState
from ctseg_training.recipes import Recipe
from ctseg_training.recipes.schema import Checkpoints
from ctseg_training.run.checkpoint import load_checkpoint
from ctseg_training.run.engine import train
from ctseg_training.run.training import LAST
from tests.training.conftest import write_dataset

PATIENCE_S = 120.0


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def stepped(job: Job) -> bool:
    return any(event.kind == "step" for event in job.events())


def test_a_job_runs_to_its_end_and_is_found_again(tiny: Recipe, dataset_folder: Path, tmp_path: Path) -> None:
    job = Job.start(tiny, dataset_folder, tmp_path / "job", steps=2, threads=1, name="mine")
    with pytest.raises(RecipeError, match="still running"):
        Job.start(tiny, dataset_folder, tmp_path / "job", steps=2)
    assert job.wait(PATIENCE_S)
    again = Job(tmp_path / "job")
    assert job.state is again.state is JobState.DONE and again.message == ""
    assert again.bundle is not None and read_own(again.bundle).name == "mine"
    events = list(again.events())
    assert [events[0].kind, events[-1].kind] == ["start", "done"]
    assert [event.kind for event in again.events(events[0].end)] == [event.kind for event in events[1:]]
    assert again.recipe.network == tiny.network
    with pytest.raises(RecipeError, match="holds a run already"):
        Job.start(tiny, dataset_folder, tmp_path / "job")


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
def test_stopping_leaves_a_scored_bundle_and_resuming_goes_on(
    tiny: Recipe, dataset_folder: Path, tmp_path: Path
) -> None:
    job = Job.start(tiny, dataset_folder, tmp_path / "job", steps=100_000, threads=1)
    until(lambda: stepped(job))
    other = Job(tmp_path / "job")  # as another process would follow it
    assert other.state is JobState.RUNNING
    other.stop()
    assert job.wait(PATIENCE_S)
    assert other.state is JobState.STOPPED and other.bundle is not None
    first = list(other.events())[-1].data
    assert first["step"] >= 1 and first["after"] is not None
    resumed = Job.start(tiny, dataset_folder, tmp_path / "job", steps=100_000, threads=1, resume=True)
    end = list(other.events())[-1].end
    until(lambda: any(event.kind == "step" for event in resumed.events(end)))
    began, *_, last = resumed.events(end)
    assert began.kind == "start" and began.data["from_step"] == first["step"] < last.data["step"]
    os.kill(json.loads((tmp_path / "job" / "process.json").read_text())["pid"], signal.SIGKILL)
    assert resumed.wait(PATIENCE_S)
    assert (
        resumed.state is other.state is JobState.FAILED and "job.log" in other.message
    )  # it died without a word


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM ends a process at once there")
def test_sigterm_is_a_stop_too(tiny: Recipe, dataset_folder: Path, tmp_path: Path) -> None:
    job = Job.start(tiny, dataset_folder, tmp_path / "job", steps=100_000, threads=1)
    until(lambda: stepped(job))
    os.kill(json.loads((tmp_path / "job" / "process.json").read_text())["pid"], signal.SIGTERM)
    assert job.wait(PATIENCE_S)
    assert job.state is JobState.STOPPED and job.bundle is not None


def test_a_job_that_fails_says_why(tiny: Recipe, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="does not exist"):
        Job.start(tiny, tmp_path / "no data", tmp_path / "job")
    folder = write_dataset(tmp_path / "data", 2)
    next((folder / "labelsTr").iterdir()).write_bytes(b"no label map")
    job = Job.start(tiny, folder, tmp_path / "job", threads=1)
    assert job.wait(PATIENCE_S)
    assert job.state is JobState.FAILED and "labelsTr" in job.message and "\n" not in job.message
    assert [event.kind for event in job.events()].count("error") == 1


def test_following_a_job_needs_no_torch() -> None:
    """The docks import this module when they open."""
    code = "import sys, ctseg_training.job, ctseg_training.recipes.stages; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_killed_in_the_middle_goes_on_as_if_it_had_not_been(
    tiny: Recipe, dataset_folder: Path, tmp_path: Path
) -> None:
    """kill -9 at an arbitrary moment after the first checkpoint; the same weights as an uninterrupted run,
    to the bit.
    """
    recipe = tiny.model_copy(update={"checkpoints": Checkpoints(every_steps=3)})
    finish(train(recipe, dataset_folder, tmp_path / "whole", steps=40))
    job = Job.start(recipe, dataset_folder, tmp_path / "killed", steps=40, threads=1)
    until(lambda: sum(event.kind == "checkpoint" for event in job.events()) >= 2)
    os.kill(json.loads((tmp_path / "killed" / "process.json").read_text())["pid"], signal.SIGKILL)
    assert job.wait(30) and job.state is JobState.FAILED
    stopped_at = load_checkpoint(tmp_path / "killed" / LAST).step
    assert 3 <= stopped_at < 40
    finish(train(recipe, dataset_folder, tmp_path / "killed", steps=40, resume=True))
    whole, killed = (load_checkpoint(tmp_path / name / LAST) for name in ("whole", "killed"))
    assert all(torch.equal(whole.network[key], killed.network[key]) for key in whole.network)
    assert all(torch.equal(whole.ema[key], killed.ema[key]) for key in whole.ema)


@pytest.mark.parametrize(
    "recorded", [{}, {"created": 0}, {"pid": -1}, {"pid": 2**70}, {"pid": "x"}, [], 7, None]
)
def test_stop_signals_no_process_that_is_not_the_job_s(tmp_path: Path, recorded: object) -> None:
    """A folder from another machine, or a number that another process has now: that one, begun at the very
    time, lives on.
    """
    with subprocess.Popen(
        [sys.executable, "-c", "print('up', flush=True); input()"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None and other.stdout.readline()
        true = {"pid": other.pid, "created": psutil.Process(other.pid).create_time()}
        (tmp_path / "process.json").write_text(
            json.dumps(true | recorded if isinstance(recorded, dict) else recorded)
        )
        job = Job(tmp_path)
        assert job.state is JobState.FAILED
        job.stop()
        job.stop(patience_s=0)
        assert other.poll() is None
        other.communicate(b"\n")
        assert other.returncode == 0
