"""Training runs to compare: data sets from `../shared/data`, a queue of jobs, Dice of held-out cases, a
table.

Every run is a job of its own with one thread, two at a time; finished ones are kept, interrupted ones
continue.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ctseg_imaging import formats
from ctseg_imaging.phantom import dataset_steps
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import LabelMap, Labels
from ctseg_models.bundles.own.bundle import read_own
from ctseg_models.bundles.own.writing import compose
from ctseg_training.data.decathlon import open_dataset
from ctseg_training.job import Job
from ctseg_training.job_order import JobState
from ctseg_training.recipes import Recipe, load_recipe, save_recipe
from ctseg_training.scoring import bundle_scores

PROJECT = Path(__file__).resolve().parents[2]
SHARED = PROJECT.parent / "shared" / "data"
VGG = SHARED / "vgg19-features"
MANDIBLE = 7
POLL_S = 1.0


@dataclass(frozen=True)
class Trial:
    """name : of its folder. data : a data set's folder; its validation list is scored. localiser : the name
    of another trial whose bundle gives the region.
    """

    name: str
    recipe: str
    data: Path
    overrides: tuple[str, ...] = ()
    seed: int = 0
    localiser: str | None = None


def run(trials: Sequence[Trial], out: Path, at_once: int = 2) -> None:
    """Train the trials that are not trained yet. Raises RuntimeError with the message of one that failed."""
    waiting, running = [trial for trial in trials if not _trained(trial, out)], list[tuple[Trial, Job]]()
    while waiting or running:
        while waiting and len(running) < at_once:
            trial = waiting.pop(0)
            running.append((trial, _start(trial, out)))
        running[0][1].wait(POLL_S)
        for trial, job in [pair for pair in running if pair[1].state is not JobState.RUNNING]:
            running.remove((trial, job))
            if job.state is not JobState.DONE:
                raise RuntimeError(f"{trial.name}: {job.message or 'was stopped'}")
            print(f"{time.strftime('%H:%M:%S')} {trial.name} trained", flush=True)


def _trained(trial: Trial, out: Path) -> bool:
    """Whether the run exists and is of this recipe; one of another recipe is removed."""
    folder = out / trial.name
    if not (folder / "wanted.yaml").is_file():
        return False
    if load_recipe(folder / "wanted.yaml") != _recipe(trial):
        shutil.rmtree(folder)
        return False
    return Job(folder).state is JobState.DONE


def _recipe(trial: Trial) -> Recipe:
    return load_recipe(trial.recipe, [*trial.overrides, f"seed={trial.seed}"])


def _start(trial: Trial, out: Path) -> Job:
    folder = out / trial.name
    resume = (folder / "checkpoints/last.pt").is_file()
    if not resume:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        save_recipe(_recipe(trial), folder / "wanted.yaml")
    return Job.start(_recipe(trial), trial.data, folder, name=trial.name, resume=resume, threads=1)


def scores(trial: Trial, out: Path) -> list[dict[str, float | None]]:
    """Dice by label of every case of the validation list, on the case's own grid; stored next to the run."""
    kept = out / trial.name / "scores.json"
    if not kept.is_file():
        bundle = read_own(out / trial.name / "bundle")
        if trial.localiser is not None:
            bundle = compose(
                read_own(out / trial.localiser / "bundle"),
                bundle,
                out / trial.name / "two-stage",
                overwrite=True,
            )
        whole = load_recipe(trial.recipe, trial.overrides).sees_whole or trial.localiser is not None
        rows = [
            finish(bundle_scores(bundle, [entry], whole=whole)).dice
            for entry in open_dataset(trial.data).validation
        ]
        kept.write_text(json.dumps(rows), encoding="utf-8")
    rows = json.loads(kept.read_text(encoding="utf-8"))
    return list(rows)


def case_means(rows: Sequence[dict[str, float | None]]) -> list[float]:
    """The mean over labels of each case; a label that is in neither mask does not count."""
    means = [[value for value in row.values() if value is not None] for row in rows]
    return [float(np.mean(values)) for values in means if values]


def facts(trial: Trial, out: Path) -> dict[str, Any]:
    """Steps, seconds of training and parameters, as the run recorded them."""
    events = list(Job(out / trial.name).events())
    start = next(event.data for event in events if event.kind == "start")
    end = next(event.data for event in reversed(events) if event.kind == "done")
    return {"steps": end["step"], "seconds": end["seconds"], "parameters": start["parameters"]}


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    lines = [
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def mean_sd(values: Sequence[float]) -> str:
    """0.812 ± 0.034, the standard deviation with n - 1."""
    return f"{np.mean(values):.3f}" + (f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else "")


def hippocampus(out: Path) -> Path:
    """Every fifth case of the sorted list held out."""
    source = SHARED / "hippocampus-mr"
    fields = json.loads((source / "dataset.json").read_text(encoding="utf-8"))
    cases = sorted(fields["training"], key=lambda case: str(case["image"]))
    return write_set(
        out,
        "hippocampus",
        {value: name for value, name in fields["labels"].items() if value != "0"},
        source,
        [case for number, case in enumerate(cases) if number % 5],
        cases[::5],
    )


def headneck(out: Path, train: int = 40, held_out: int = 10) -> Path:
    """Seven organs; the last training cases are held out, the data set's own validation list is not used."""
    source = SHARED / "headneck-ct"
    fields = json.loads((source / "dataset.json").read_text(encoding="utf-8"))
    cases = fields["training"]
    return write_set(
        out,
        "headneck",
        {value: name for value, name in fields["labels"].items() if value != "0"},
        source,
        cases[:train],
        cases[-held_out:],
        fields["labels_present"],
    )


def mandible(out: Path, train: int = 40, held_out: int = 10) -> Path:
    """The same cases, those with a contoured mandible, and that label alone."""
    source, folder = SHARED / "headneck-ct", out / "mandible"
    fields = json.loads((source / "dataset.json").read_text(encoding="utf-8"))
    present = fields["labels_present"]
    cases = [
        case
        for case in fields["training"]
        if "Mandible" in present[Path(case["image"]).name.removesuffix(".nii.gz")]
    ]
    chosen = [*cases[:train], *cases[-held_out:]]
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    for case in chosen:
        target = folder / "labels" / Path(case["label"]).name
        if not target.is_file():
            stored = formats.read_labels(source / case["label"])
            alone = (stored.array == MANDIBLE).astype(np.uint8)
            formats.write(target, LabelMap(alone, stored.geometry, Labels.from_names({1: "Mandible"})))
    pairs = [
        {"image": case["image"], "label": str(folder / "labels" / Path(case["label"]).name)}
        for case in chosen
    ]
    return write_set(out, "mandible", {"1": "Mandible"}, source, pairs[:train], pairs[train:])


def lesions(out: Path, count: int = 25) -> Path:
    """Phantoms of MR with white-matter lesions, every fifth for validation."""
    folder = out / "lesions"
    if not (folder / "dataset.json").is_file():
        finish(dataset_steps(folder, "lesions", count, (24, 96, 96), (3.0, 1.0, 1.0), 0, overwrite=True))
    return folder


def vgg_file() -> Path:
    """The VGG features of the content loss."""
    return next(iter(sorted(VGG.glob("*.safetensors"))))


def write_set(
    out: Path,
    name: str,
    labels: dict[str, str],
    source: Path,
    training: Sequence[dict[str, str]],
    validation: Sequence[dict[str, str]],
    present: dict[str, list[str]] | None = None,
) -> Path:
    """A dataset.json that names the files where they are."""
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    fields: dict[str, Any] = {"name": name, "labels": labels}
    for split, cases in (("training", training), ("validation", validation)):
        fields[split] = [
            {part: str((source / case[part]).resolve()) for part in ("image", "label")} for case in cases
        ]
    if present is not None:
        fields["labels_present"] = present
    (folder / "dataset.json").write_text(json.dumps(fields, indent=1), encoding="utf-8")
    return folder
