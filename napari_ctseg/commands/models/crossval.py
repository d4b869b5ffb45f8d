"""`napari-ctseg crossval`: a recipe trained once per fold, cases sorted by slices, and the spread of the
scores over all cases.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from napari_ctseg.commands.console import follow, note, print_result

if TYPE_CHECKING:
    from ctseg_imaging.progress import Progress
    from ctseg_training.data.decathlon import CaseEntry
    from ctseg_training.data.folds import CaseSlices, MeanAndDeviation
    from ctseg_training.recipes import Recipe

T = TypeVar("T")
Dice = dict[str, float | None]

PLAN, SCORES, TABLE = "folds.json", "scores.json", "crossval"


def crossval(
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
        typer.Option(
            "--out", metavar="DIR", help="The folder for fold_1, fold_2, ..., crossval.json and .csv."
        ),
    ],
    folds: Annotated[int, typer.Option(min=2, metavar="N", help="Number of folds.")] = 5,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a field; repeatable.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue in DIR with the same recipe; finished folds are kept.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 or auto.")] = "auto",
    minutes: Annotated[
        float | None, typer.Option(min=0.01, metavar="M", help="Training time of each fold.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Training steps of each fold.")
    ] = None,
) -> None:
    """Cross-validate a recipe: train on all folds but one, evaluate on that one, and report mean and standard
    deviation over the cases.

    The folds are contiguous in the number of slices, then in slice thickness, so the networks are evaluated
    on volumes unlike those they were trained on: the worst case for generalisation.
    """
    from ctseg_training.data.folds import spread_table
    from ctseg_training.recipes import load_recipe
    from ctseg_training.recipes.schema import Budget

    chosen = load_recipe(recipe, values or ())
    if minutes is not None or steps is not None:
        chosen = chosen.model_copy(update={"budget": Budget(minutes=minutes, steps=steps)})
    plan = _plan(chosen, data, out, folds, resume)
    note(f"{folds} folds by number of slices: " + "; ".join(_slices_of(fold) for fold in plan) + ".")
    if _chooses_by_held_out(chosen):
        note(
            "This recipe uses the held-out cases for model selection (schedule, patience or keep) and is "
            "evaluated on the same cases, so its scores are optimistic."
        )
    scores = follow(_cross_validate(chosen, data, out, plan, device))
    table = spread_table([dice for fold in scores for dice in fold.values()])
    _write(out, chosen.name, plan, scores, table)
    show_spread({"": table})
    note(f"Also in {out / TABLE}.json and {out / TABLE}.csv.")


def show_spread(tables: Mapping[str, Mapping[str, MeanAndDeviation]]) -> None:
    """Mean and standard deviation of Dice over cases, one line a label. tables : by what they are of; ""
    names none.
    """
    titles = [f"{name} Dice".strip() for name in tables]
    labels = list(dict.fromkeys(label for table in tables.values() for label in table))
    body = [(label, *(_shown(table.get(label)) for table in tables.values())) for label in labels]
    lines = [("label", *titles), *body]
    widths = [max(len(line[column]) for line in lines) for column in range(1 + len(titles))]
    for line in lines:
        print_result("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _shown(found: MeanAndDeviation | None) -> str:
    if found is None or found.mean is None:
        return "-"
    deviation = "" if found.deviation is None else f" ± {found.deviation:.3f}"
    return f"{found.mean:.3f}{deviation} ({found.cases} case{'s' * (found.cases != 1)})"


def _chooses_by_held_out(recipe: Recipe) -> bool:
    validation = recipe.validation
    return validation.keep == "best" or validation.patience is not None or recipe.schedule.kind == "plateau"


def _slices_of(fold: Sequence[CaseSlices]) -> str:
    low, high = min(case.slices for case in fold), max(case.slices for case in fold)
    return f"{len(fold)} case{'s' * (len(fold) != 1)} of {low if low == high else f'{low} to {high}'}"


def _plan(recipe: Recipe, data: Path, out: Path, folds: int, resume: bool) -> list[list[CaseSlices]]:
    """Cut the folds and note them in DIR, or find the same there. Raises RecipeError."""
    from ctseg_imaging.errors import RecipeError
    from ctseg_imaging.formats.disk.atomic import write_bytes
    from ctseg_training.data.decathlon import open_dataset
    from ctseg_training.data.folds import slice_counts, sorted_folds

    counted = {case.name: case for case in slice_counts(open_dataset(data))}
    names = sorted_folds(list(counted.values()), folds)
    path = out / PLAN
    wanted = json.dumps({"recipe": recipe.model_dump(mode="json"), "folds": names}, indent=2)
    if path.exists():
        if not resume:
            raise RecipeError(
                f"{out}: already contains a cross-validation; use --resume, or choose another folder."
            )
        if path.read_text(encoding="utf-8") != wanted:
            raise RecipeError(
                f"{path}: was started with another recipe, budget, data set or number of folds; resume with "
                "the same, or choose another folder."
            )
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_bytes(path, wanted.encode())
    return [[counted[name] for name in fold] for fold in names]


def _cross_validate(
    recipe: Recipe,
    data: Path,
    out: Path,
    plan: Sequence[Sequence[CaseSlices]],
    device: str,
) -> Generator[Progress, None, list[dict[str, Dice]]]:
    """Per fold the Dice of its cases by label."""
    from ctseg_training.data.decathlon import open_dataset

    entries = {entry.name: entry for entry in open_dataset(data).training}
    scores = []
    for number, fold in enumerate(plan, 1):
        held_out = [entries[case.name] for case in fold]
        work = _one_fold(
            recipe, data, held_out, out / f"fold_{number}", f"{recipe.name}-fold-{number}", device
        )
        scores.append((yield from _named(work, f"fold {number} of {len(plan)}")))
    return scores


def _one_fold(
    recipe: Recipe,
    data: Path,
    held_out: Sequence[CaseEntry],
    folder: Path,
    name: str,
    device: str,
) -> Generator[Progress, None, dict[str, Dice]]:
    """Train what is not trained and score what is not scored. A fold ended by its `stop` file counts as it
    is.
    """
    from ctseg_imaging.formats.disk.atomic import write_bytes
    from ctseg_models.bundles.own.bundle import read_own
    from ctseg_training.record.events import EVENTS
    from ctseg_training.run.engine import train
    from ctseg_training.run.steps import Hardware
    from ctseg_training.run.training import LAST
    from ctseg_training.scoring import bundle_scores

    if (folder / SCORES).is_file():
        found: dict[str, Dice] = json.loads((folder / SCORES).read_text(encoding="utf-8"))
        return found
    if not _trained(folder):
        begun = (folder / LAST).is_file()
        if not begun:  # ended before its first checkpoint: nothing to go on from
            (folder / EVENTS).unlink(missing_ok=True)
        validation = recipe.validation.model_copy(update={"cases": tuple(entry.name for entry in held_out)})
        yield from train(
            recipe.model_copy(update={"validation": validation}),
            data,
            folder,
            resume=begun,
            device=device,
            name=name,
        )
    bundle, where = read_own(folder / "bundle"), Hardware.device_of(device)
    whole = recipe.sampling.mode in ("whole", "slices")  # as the engine scores it
    scores: dict[str, Dice] = {}
    for entry in held_out:
        scores[entry.name] = (yield from bundle_scores(bundle, (entry,), whole=whole, device=where)).dice
    write_bytes(folder / SCORES, json.dumps(scores, indent=2).encode())
    return scores


def _trained(folder: Path) -> bool:
    """Whether the last run there came to its end, or was stopped with a bundle."""
    from ctseg_training.record.events import ENDS, EVENTS, read_events

    ends = [event for event in read_events(folder / EVENTS) if event.kind in (*ENDS, "start")]
    return bool(ends) and (
        ends[-1].kind == "done" or (ends[-1].kind == "stopped" and ends[-1].data.get("bundle") is not None)
    )


def _named(work: Generator[Progress, None, T], where: str) -> Generator[Progress, None, T]:
    """The same work, with its stages marked to distinguish them from those of other folds."""
    try:
        while True:
            try:
                progress = next(work)
            except StopIteration as end:
                value: T = end.value
                return value
            yield replace(progress, stage=f"{where}, {progress.stage}")
    finally:
        work.close()


def _write(
    out: Path,
    recipe: str,
    plan: Sequence[Sequence[CaseSlices]],
    scores: Sequence[Mapping[str, Dice]],
    table: Mapping[str, MeanAndDeviation],
) -> None:
    """crossval.json with every case, crossval.csv with the table."""
    from ctseg_imaging.formats.disk.atomic import write_bytes

    cases: list[dict[str, Any]] = [
        {
            "case": case.name,
            "fold": number,
            "slices": case.slices,
            "thickness_mm": round(case.thickness_mm, 4),
            "dice": found[case.name],
        }
        for number, (fold, found) in enumerate(zip(plan, scores, strict=True), 1)
        for case in fold
    ]
    whole = {
        "recipe": recipe,
        "folds": len(plan),
        "dice": {label: asdict(found) for label, found in table.items()},
        "cases": cases,
    }
    write_bytes(
        out / f"{TABLE}.json",
        (json.dumps(whole, indent=2, ensure_ascii=False) + "\n").encode(),
        overwrite=True,
    )
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("label", "mean", "deviation", "cases"))
    lines.writerows((label, found.mean, found.deviation, found.cases) for label, found in table.items())
    write_bytes(out / f"{TABLE}.csv", text.getvalue().encode(), overwrite=True)
