"""`napari-ctseg train`: one stage of a bundle, from a recipe and a data set."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_ctseg.commands.console import follow, note, print_result

if TYPE_CHECKING:
    from ctseg_imaging.progress import Progress
    from ctseg_models.bundles.own.bundle import OwnBundle
    from ctseg_training.job import Job
    from ctseg_training.recipes import Recipe

WAIT_S = 0.5


def train(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A name (`napari-ctseg recipes`) or a YAML file.")
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="DATASET", help="A folder with dataset.json (Decathlon or nnU-Net raw)."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="The folder for checkpoints, events.jsonl and the bundle."),
    ],
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a field; repeatable.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the last checkpoint in DIR, with the same recipe.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="BUNDLE", help="Start from its weights, network and spacing."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the bundle; by default that of the recipe."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 or auto.")] = "auto",
    minutes: Annotated[
        float | None,
        typer.Option(min=0.01, metavar="M", help="Training time, instead of the recipe's budget."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Training steps, instead of the recipe's budget."),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, metavar="P", help="Number of processes, one per GPU if there are GPUs.")
    ] = 1,
) -> None:
    """Train a network, evaluate it on held-out cases, and write it to DIR/bundle.

    A file DIR/stop ends the training early and still writes the bundle.
    """
    from ctseg_training.job import Job
    from ctseg_training.recipes import load_recipe
    from ctseg_training.run.engine import train as train_stage

    chosen = load_recipe(recipe, values or ())
    bundle = None
    if start is not None:
        bundle, chosen = _start_from(start, chosen)
    if processes > 1:
        job = Job.start(
            chosen,
            data,
            out,
            minutes=minutes,
            steps=steps,
            resume=resume,
            init_from=None if bundle is None else bundle.path,
            device=device,
            name=name,
            processes=processes,
        )
        note(f"Ctrl-C, or a file {out / 'stop'}, ends the {processes} processes and writes the bundle.")
        print_result(str(_with_scores_shown(follow(_followed(job)))))
        return
    note(
        "Ctrl-C ends the training and keeps the last checkpoint (continue with --resume); a file "
        f"{out / 'stop'} ends it and writes the bundle."
    )
    work = train_stage(
        chosen,
        data,
        out,
        minutes=minutes,
        steps=steps,
        resume=resume,
        init_from=bundle,
        device=device,
        name=name,
    )
    print_result(str(_with_scores_shown(follow(work))))


def _start_from(name: str, recipe: Recipe) -> tuple[OwnBundle, Recipe]:
    from ctseg_imaging.errors import BundleError
    from ctseg_models.bundles.own.bundle import OwnBundle
    from ctseg_models.bundles.store import find
    from ctseg_training.recipes.stages import recipe_for

    bundle = find(name)
    if not isinstance(bundle, OwnBundle):
        raise BundleError(
            f"{name}: is a {bundle.kind} file and cannot be trained further; choose a bundle of this project."
        )
    return bundle, recipe_for(bundle, recipe)


def _followed(job: Job) -> Generator[Progress, None, Path]:
    """The job's events as progress; returns the folder of its bundle. Closing it asks the job to stop."""
    from ctseg_imaging.errors import RecipeError
    from ctseg_imaging.progress import Progress
    from ctseg_training.job_order import JobState

    seen = 0
    try:
        while True:
            ended = job.wait(WAIT_S)
            for event in job.events(seen):
                seen = event.end
                if event.kind == "step":
                    yield Progress(
                        "train",
                        round(1000 * event.data["spent"]),
                        1000,
                        f"step {event.data['step']}, loss {event.data['loss']:.3f}",
                    )
            if ended:
                break
    except GeneratorExit:
        job.stop()
        raise
    if job.state is JobState.FAILED or job.bundle is None:
        raise RecipeError(
            job.message or f"{job.folder}: ended without a bundle; see {job.folder / 'job.log'}."
        )
    return job.bundle


def _with_scores_shown(folder: Path) -> Path:
    """Print the scores of a finished bundle to stderr; returns its folder."""
    from ctseg_models.bundles.own.bundle import read_own

    scores = read_own(folder).block.scores
    before = scores.get("dice_before", {})
    for label, value in scores.get("dice", {}).items():
        earlier = f" (before {before[label]:.3f})" if before.get(label) is not None else ""
        note(f"Dice {label}: {'none' if value is None else f'{value:.3f}'}{earlier}")
    return folder
