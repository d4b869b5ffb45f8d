"""`napari-ctseg train`: one stage of a bundle, from a recipe and a data set."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_ctseg.commands.console import follow, note, say

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
        Path, typer.Option("--out", metavar="DIR", help="Gets checkpoints, events.jsonl and the bundle.")
    ],
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a field; repeatable.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in DIR, with the same recipe.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="BUNDLE", help="Start from its weights, network and spacing."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What the bundle is called; default: the recipe's name."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 or auto.")] = "auto",
    minutes: Annotated[
        float | None,
        typer.Option(min=0.01, metavar="M", help="Train so long instead of the recipe's budget."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Train so many steps instead of the recipe's budget."),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, metavar="P", help="That train together, one per GPU where there are some.")
    ] = 1,
) -> None:
    """Train, score on held-out cases, and write a bundle to DIR/bundle. A file DIR/stop ends it early, with a
    bundle.
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
        note(f"Ctrl-C asks the {processes} processes to end with a bundle, as a file {out / 'stop'} does.")
        say(str(_told(follow(_followed(job)))))
        return
    note(
        f"Ctrl-C ends it and keeps the last checkpoint (go on with --resume); a file {out / 'stop'} ends it "
        "with a bundle."
    )
    say(
        str(
            _told(
                follow(
                    train_stage(
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
                )
            )
        )
    )


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
    """What the job says, as progress; the folder of its bundle. Closing it asks the job to stop."""
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
            job.message
            or f"{job.folder}: ended without a bundle; {job.folder / 'job.log'} has what was printed."
        )
    return job.bundle


def _told(folder: Path) -> Path:
    """Say the scores of a finished bundle on stderr; its folder."""
    from ctseg_models.bundles.own.bundle import read_own

    scores = read_own(folder).block.scores
    before = scores.get("dice_before", {})
    for label, value in scores.get("dice", {}).items():
        earlier = f" (before {before[label]:.3f})" if before.get(label) is not None else ""
        note(f"Dice {label}: {'none' if value is None else f'{value:.3f}'}{earlier}")
    return folder
