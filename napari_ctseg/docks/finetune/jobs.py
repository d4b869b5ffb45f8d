"""The seam to training: a job by its folder, and the bundle that it leaves behind. Nothing here imports
torch.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from platformdirs import user_data_path

from napari_ctseg.docks.finetune.state import HoldOut, RecipeRow

if TYPE_CHECKING:
    from ctseg_models.contract.bundle import Bundle
    from ctseg_training.recipes import Recipe

ADDED = "added.txt"  # in a job's folder, once its bundle is in the store: the name it has there

FURTHER = "finetune"  # the recipe that trains a bundle further; from scratch it would be a placeholder
POINTS = 15  # of the validation curve, over the time that was given


@dataclass(frozen=True, eq=False)
class Order:
    """What to train. base : to be trained further; else `recipe` starts from scratch, with `features` where
    it needs VGG-19's weights. write_cases : writes the open cases into the folder that it is given; None when
    `data` is a data set already.
    """

    base: Bundle | None
    data: Path | None
    write_cases: Callable[[Path], None] | None
    trainable: str
    minutes: float
    hold_out: HoldOut
    name: str
    recipe: str | None = None
    features: Path | None = None


class RunningJob(Protocol):
    """ctseg_training.job.Job, as far as the dock needs it."""

    folder: Path

    @property
    def state(self) -> str:
        """running, done, stopped, paused or failed."""

    @property
    def message(self) -> str:
        """Why it failed."""

    @property
    def resumable(self) -> bool:
        """Whether it ended with a checkpoint and without a bundle."""

    def events(self, offset: int = 0) -> Iterator[Any]:
        """Events after a byte, each with kind, data and end."""

    def stop(self, patience_s: float | None = None) -> None:
        """Ask it to end with a bundle."""

    def pause(self) -> None:
        """Ask it to end with a checkpoint."""

    def resume(self, *, to_finish: bool = False) -> None:
        """Start its process again. to_finish : for one more step, and a bundle."""


class Jobs(Protocol):
    """Starts jobs, finds them again, and takes over what they made."""

    def bundles(self) -> Sequence[Bundle]:
        """Models that can be trained further."""

    def recipes(self) -> Sequence[RecipeRow]:
        """Recipes that train from scratch; takes a moment, so it is called in a thread."""

    def start(self, order: Order) -> RunningJob:
        """Write the cases and start the process; takes a moment, so it is called in a thread."""

    def find(self, folder: Path) -> RunningJob | None:
        """The job in a folder, None if there is none."""

    def add(self, folder: Path) -> str:
        """Put the job's bundle into the user's store, once; returns its name there."""


class TrainingJobs:
    """Jobs of ctseg_training in the user's data folder."""

    def bundles(self) -> Sequence[Bundle]:
        """This project's own bundles with a segmenting stage; TorchScript and ONNX files cannot be
        trained.
        """
        from ctseg_models.bundles.store import list_bundles

        return [
            bundle
            for bundle in list_bundles()
            if any(stage.name == "segment" for stage in getattr(bundle, "stages", ()))
        ]

    def recipes(self) -> Sequence[RecipeRow]:
        """Those that ship; checking them all takes half a second."""
        from ctseg_training.recipes import load_recipe
        from ctseg_training.recipes.loading import SHIPPED

        recipes = {
            path.stem: load_recipe(path.stem)
            for path in sorted(SHIPPED.glob("*.yaml"))
            if path.stem != FURTHER
        }
        return [
            RecipeRow(
                name,
                recipe.description,
                recipe.modality,
                recipe.stage == "localise",
                recipe.content is not None,
            )
            for name, recipe in recipes.items()
        ]

    def start(self, order: Order) -> RunningJob:
        """Raises CtsegError, one sentence."""
        from ctseg_training.job import Job

        recipe = recipe_of(order)
        name = free_name(order.name)
        folder = jobs_folder() / f"{datetime.now():%Y%m%d-%H%M%S}-{name}"  # as `model_of` reads it
        data = order.data
        if order.write_cases is not None:
            data = folder / "data"
            order.write_cases(data)
        assert data is not None, "an order has a data set or writes one"
        init_from = None if order.base is None else order.base.path
        job: RunningJob = Job.start(
            recipe, data, folder, minutes=order.minutes, init_from=init_from, name=name
        )
        return job

    def find(self, folder: Path) -> RunningJob | None:
        """A folder without job.json holds none."""
        from ctseg_training.job import Job

        return Job(folder) if (folder / "job.json").is_file() else None

    def add(self, folder: Path) -> str:
        """Raises BundleError."""
        from ctseg_models.bundles.store import add, read

        if (folder / ADDED).is_file():
            return (folder / ADDED).read_text(encoding="utf-8").strip()
        name = plain(read(folder / "bundle").name)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            shutil.copytree(folder / "bundle", Path(work) / name)
            added = add(Path(work) / name)
        (folder / ADDED).write_text(added.name, encoding="utf-8")
        return added.name


def jobs_folder() -> Path:
    """Where jobs run."""
    return user_data_path("napari-ctseg", appauthor=False) / "jobs"


def model_of(job: Path) -> str:
    """The name that the model of a job will have, from the job's folder."""
    return job.name.split("-", 2)[-1]


def plain(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^\w.-]+", "-", name.strip()).strip("-.") or "model"


def free_name(name: str) -> str:
    """`name`, made plain, with a number when a bundle has it already."""
    from ctseg_models.bundles.store import list_bundles, user_folder

    taken = {bundle.name for bundle in list_bundles()}
    free, number = plain(name), 2
    while free in taken or (user_folder() / free).exists():
        free, number = f"{plain(name)}-{number}", number + 1
    return free


def recipe_of(order: Order) -> Recipe:
    """The recipe of an order: the bundle's own network trained further, or one that ships, with the user's
    time and held-out cases.

    Raises RecipeError.
    """
    from ctseg_training.recipes import load_recipe
    from ctseg_training.recipes.stages import recipe_for

    every = f"validation.every_minutes={max(0.5, order.minutes / POINTS):.2f}"
    chosen = [
        f"budget={{minutes: {order.minutes}}}",
        *_held_out(order.hold_out),
        every,
        "validation.every_steps=null",
    ]
    if order.base is not None:
        return recipe_for(order.base, load_recipe(FURTHER, [f"trainable={order.trainable}", *chosen]))  # type: ignore[arg-type]
    assert order.recipe is not None, "an order has a bundle or a recipe"
    if order.features is not None:
        chosen.append(
            f"content.features={json.dumps(str(order.features), ensure_ascii=False)}"
        )  # as JSON has it: any character is fine
    return load_recipe(order.recipe, chosen)


def _held_out(hold_out: HoldOut) -> list[str]:
    share = {HoldOut.SHARE: 0.2, HoldOut.VALIDATION: 0.2, HoldOut.NONE: 0.0}[hold_out]
    split = "validation" if hold_out is HoldOut.VALIDATION else "training"
    return ["validation.cases=[]", f"validation.share={share}", f"validation.split={split}"]
