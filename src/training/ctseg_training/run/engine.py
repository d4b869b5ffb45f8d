"""Training one stage: a data set and a recipe go in, a folder with checkpoints, events and a bundle comes
out.

The folder: recipe.yaml (every field), events.jsonl, curves.csv, report.html, checkpoints/last.pt and best.pt,
samples/ (pictures), bundle/, and cases/ (the data set as memory maps) while it runs. A file named `stop`
there ends the run after the current step, with a bundle. Torch's global random state is set at every step.
Several processes: see `ctseg_training.run.parallel`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

from ctseg_imaging.errors import CtsegError, RecipeError
from ctseg_imaging.progress import Progress
from ctseg_models.bundles.own.bundle import OwnBundle
from ctseg_models.contract.bundle import Bundle
from ctseg_training.checks.half_check import wrong_layers
from ctseg_training.checks.preflight import check, fingerprint
from ctseg_training.data.cases import CaseStore
from ctseg_training.data.decathlon import Decathlon, open_dataset
from ctseg_training.data.heldout import Split, split_cases
from ctseg_training.data.sampling import PatchSampler
from ctseg_training.data.statistics import with_statistics
from ctseg_training.recipes.loading import save_recipe
from ctseg_training.recipes.schema import Budget, Recipe
from ctseg_training.recipes.stages import check_fits, stage_of
from ctseg_training.record.events import EVENTS, EventLog, NoLog, holds_run
from ctseg_training.run.constraint import GeometricConstraint
from ctseg_training.run.parallel import World
from ctseg_training.run.state import Run
from ctseg_training.run.steps import Hardware
from ctseg_training.run.training import CASES, CHECKED, LAST, TrainingRun


def train(
    recipe: Recipe,
    dataset_folder: str | Path,
    out_folder: str | Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    resume: bool = False,
    init_from: Bundle | None = None,
    device: str = "auto",
    name: str | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Generator[Progress, None, Path]:
    """Train; the return value is the folder of the bundle.

    minutes, steps : replace the recipe's budget. resume : go on from checkpoints/last.pt. init_from : start
    from its weights (see `stages.recipe_for`). name : of the bundle. should_stop : checked after every step,
    like the file `stop`. Closing the generator leaves a checkpoint and no bundle. Raises CtsegError, whose
    sentence is also the last event.
    """
    out = Path(out_folder)
    if minutes is not None or steps is not None:
        recipe = recipe.model_copy(update={"budget": Budget(minutes=minutes, steps=steps)})
    if recipe.budget == Budget():
        raise RecipeError(f"{recipe.name}: has no budget; give minutes or steps.")
    if init_from is not None and not isinstance(init_from, OwnBundle):
        raise RecipeError(
            f"{init_from.name}: is a {init_from.kind} file and cannot be trained further; choose a bundle of "
            "this project."
        )
    world = World.join(Hardware.device_of(device))
    _refuse_impossible(recipe, out, world, resume)
    _make_folder(out)
    log = EventLog(out / EVENTS) if world.leads else NoLog()
    training: TrainingRun | None = None
    try:
        training = yield from opened(
            recipe,
            Path(dataset_folder),
            out,
            log,
            init_from,
            device,
            name or recipe.name,
            should_stop,
            resume,
            world,
        )
        return (yield from training.go())
    except GeneratorExit:
        if training is not None and training.run.step:
            training.save(LAST)
        log.write(
            "stopped",
            bundle=None,
            message="Ended before a bundle was written; resume it from its last checkpoint.",
        )
        raise
    except CtsegError as error:
        log.write("error", message=str(error))
        raise


def _refuse_impossible(recipe: Recipe, out: Path, world: World, resume: bool) -> None:
    """Raise RecipeError for a folder that is taken, and for what several processes cannot train."""
    if world.leads and not resume and holds_run(out):
        raise RecipeError(f"{out}: holds a run already; resume it, or name another folder.")
    if world.size > 1 and (
        recipe.geometric is not None or (recipe.content is not None and recipe.content.trainable)
    ):
        raise RecipeError(
            f"{recipe.name}: its duals, or the features it trains, are kept by one process; train it with "
            "one."
        )


def _make_folder(out: Path) -> None:
    """Make the run's folder, and take an earlier wish to stop out of it. Raises RecipeError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "stop").unlink(missing_ok=True)
    except OSError as error:
        raise RecipeError(f"{out}: cannot be written ({error.strerror}); choose another folder.") from error


def opened(
    recipe: Recipe,
    folder: Path,
    out: Path,
    log: EventLog,
    init_from: OwnBundle | None,
    device: str,
    name: str,
    should_stop: Callable[[], bool],
    resume: bool,
    world: World,
) -> Generator[Progress, None, TrainingRun]:
    """Prepare a run; every fault of recipe and data is reported here, before the first step."""
    dataset = open_dataset(
        folder, init_from.labels if init_from is not None and recipe.stage == "segment" else None
    )
    split = split_cases(dataset, recipe)
    notes = split.notes
    if world.leads:
        notes += yield from _checked(
            recipe, dataset, split, out, init_from is not None, Hardware.device_of(device)
        )
    recipe = with_statistics(recipe, split.training)
    stage = stage_of(recipe, dataset.labels)
    if init_from is not None:
        init_from.verify()
        check_fits(init_from, stage)
    hardware = Hardware.choose(device, recipe.precision)
    geometric = GeometricConstraint.of(recipe, out / "duals", len(split.training), stage.outputs)
    run = Run.begin(recipe, stage, hardware, init_from, geometric, _names_hash(split), world)
    _avoid_wrong_bf16(run, log)
    if resume:
        run.resume(out / LAST)
    elif geometric is not None:
        geometric.store.clear()
    if world.leads:
        save_recipe(recipe, out / "recipe.yaml")
        for note in notes:
            log.write("warning", message=note)
    plan = stage.plan
    cases = CaseStore(out / CASES, plan.channels)
    return TrainingRun(
        run,
        dataset,
        split,
        PatchSampler.of(recipe, plan, dataset),
        cases,
        out,
        log,
        init_from,
        name,
        should_stop,
    )


def _avoid_wrong_bf16(run: Run, log: EventLog) -> None:
    """Train in float32 where this processor computes a layer wrongly in bfloat16."""
    recipe, hardware = run.recipe, run.learner.hardware
    if (size := recipe.sampling.size) is None or not hardware.bf16 or hardware.device != "cpu":
        return
    shape = (1, len(run.stage.channels), *size[-recipe.network.dimensions :])
    if wrong := wrong_layers(run.network, shape):
        run.learner = replace(run.learner, hardware=replace(hardware, bf16=False))
        log.write(
            "warning",
            wrong_layers=wrong,
            message="On this processor bfloat16 gives wrong results for small maps of the "
            f"network ({wrong[0]}), so float32 is used.",
        )


def _checked(
    recipe: Recipe,
    dataset: Decathlon,
    split: Split,
    out: Path,
    fine_tuning: bool,
    device: str,
) -> Generator[Progress, None, tuple[str, ...]]:
    """Notes on the data set, before any training; the check is not repeated for unchanged files."""
    mark, print_of = out / CHECKED, fingerprint((*split.training, *split.held_out))
    if mark.is_file() and mark.read_text(encoding="utf-8") == print_of:
        return ()
    notes = yield from check(
        recipe, dataset, split.training, held_out=split.held_out, fine_tuning=fine_tuning, device=device
    )
    mark.write_text(print_of, encoding="utf-8")
    return notes


def _names_hash(split: Split) -> str:
    return hashlib.sha256(repr([entry.name for entry in split.training]).encode()).hexdigest()[:16]
