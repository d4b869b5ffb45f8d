"""Two processes over gloo against one that takes the same batches one after the other: the same mean
gradient, so the same weights.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ctseg_imaging.errors import RecipeError
from ctseg_imaging.progress import finish
from ctseg_training.job import Job
from ctseg_training.job_order import JobState
from ctseg_training.recipes import load_recipe
from ctseg_training.run.checkpoint import load_checkpoint
from ctseg_training.run.engine import train
from ctseg_training.run.training import LAST
from tests.training.conftest import TINY_SCN


def test_two_processes_train_as_one_does_with_twice_the_batches(dataset_folder: Path, tmp_path: Path) -> None:
    recipe = load_recipe(
        "scn-segment-small",
        [
            *TINY_SCN,
            "network.dropout=0",
            "network.label_dropout=0",
            "network.image_dropout=0",
            "network.salt_and_pepper=0",
        ],
    )
    job = Job.start(recipe, dataset_folder, tmp_path / "two", steps=3, threads=1, processes=2, device="cpu")
    alone = recipe.model_copy(update={"accumulate": 2})
    finish(train(alone, dataset_folder, tmp_path / "one", steps=3, device="cpu"))
    assert job.wait(240), (tmp_path / "two" / "job.log").read_text()
    assert job.state is JobState.DONE, (tmp_path / "two" / "job.log").read_text()
    two, one = (load_checkpoint(tmp_path / name / LAST).network for name in ("two", "one"))
    assert two.keys() == one.keys()
    for key in one:
        assert torch.allclose(two[key], one[key], atol=1e-6), key
    start = next(event for event in job.events() if event.kind == "start")
    assert start.data["processes"] == 2 and sum(event.kind == "done" for event in job.events()) == 1
    assert job.bundle is not None


def test_duals_belong_to_one_process(
    dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ctseg_training.run import engine
    from ctseg_training.run.parallel import World

    monkeypatch.setattr(engine.World, "join", classmethod(lambda cls, device: World(0, 2)))
    with pytest.raises(RecipeError, match="train it with one"):
        finish(train(load_recipe("geometric-sunet-small"), dataset_folder, tmp_path))
