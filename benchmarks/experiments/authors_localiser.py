"""Paper 5: the authors' own localiser as the start of fine-tuning.

   python -m benchmarks.experiments.authors_localiser OUT

Against a start from scratch: the same network, phantoms, batches and losses, each start with the learning
rate of this project's recipes for it. The authors' weights are read from `../shared/data` and written as
bundles into OUT, never into the project. One thread; results are stored in OUT.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from benchmarks.experiments.trials import SHARED, mean_sd, table
from ctseg_imaging.phantom import dataset_steps
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Labels
from ctseg_models.bundles.own.bundle import OwnBundle
from ctseg_models.bundles.own.writing import write_bundle
from ctseg_training.data.cases import CaseStore
from ctseg_training.data.decathlon import CaseEntry, Decathlon, open_dataset
from ctseg_training.data.feeding import Batches, fed
from ctseg_training.data.sampling import PatchSampler
from ctseg_training.recipes import load_recipe
from ctseg_training.recipes.stages import stage_of
from ctseg_training.run.state import Run
from ctseg_training.run.steps import Hardware
from ctseg_training.scoring import bundle_scores

WEIGHTS, TORSO = SHARED / "flare21-localiser/localiser.safetensors", SHARED / "torso-ct"
TORSO_ORGANS = (
    1,
    2,
    3,
    5,
    7,
    # TotalSegmentator: spleen, kidneys, liver, pancreas; gallbladder and stomach are not among the authors'
)
LABELS = Labels.from_names(
    {1: "liver, kidneys, spleen, pancreas"}
)  # all four labels of the abdominal phantom are the authors' organs
STEPS, SEEDS = (0, 10, 25, 50, 100), 3
PHANTOMS, SIZE, SPACING_MM = 10, (80, 80, 96), (4.0, 4.0, 4.0)  # every fifth is held out
RATES = {"authors": 3e-4, "scratch": 1e-3}  # fine-tuning, and training without norm
PLACES = ("phantoms", "torso CT")
COMMON = (
    "sampling={mode: whole, size: [48, 48, 64]}",
    "losses=[{kind: dice_cross_entropy, output: logits}]",
    "optimiser={kind: adamw, betas: [0.9, 0.98], weight_decay: 1.0e-4}",
    "schedule={kind: linear, warmup_steps: 10}",
    "workers=0",
)
TITLE = "Do the authors' weights of paper 5's localiser help?"
INTRODUCTION = """The localiser that the authors trained on 361 abdominal CTs (FLARE 2021; GPL-3.0, not part
of this project), fine-tuned on {training} abdominal phantoms, compared with the same U-Net (5 levels, 32
filters, no normalisation layers, 6 mm, HU / 2048) trained from scratch on them; learning rates {authors:g}
and {scratch:g}. Dice of the foreground (liver, kidneys, spleen, pancreas) on each case's own grid, for
{held_out} held-out phantoms and one real CT, whose reference labels were predicted by TotalSegmentator. Mean
± sd over {seeds} seeds; for each seed, both see the same batches."""


@dataclass(frozen=True)
class Setting:
    """The phantoms, the cases that are scored by place, and the steps after which they are."""

    dataset: Decathlon
    scored: Mapping[str, Sequence[CaseEntry]]
    steps: Sequence[int]
    out: Path

    @classmethod
    def of(cls, out: Path, count: int, steps: Sequence[int]) -> Setting:
        """Make the phantoms unless they exist."""
        folder = out / f"phantoms-{count}"
        if not (folder / "dataset.json").is_file():
            finish(dataset_steps(folder, "abdomen", count, SIZE, SPACING_MM, 0, overwrite=True))
        dataset = open_dataset(folder)
        torso = CaseEntry(
            "torso",
            TORSO / "example_ct.nii.gz",
            TORSO / "example_seg_fast_force_split.nii.gz",
            tuple((value, 1) for value in TORSO_ORGANS),
            (True, True),
        )
        return cls(dataset, dict(zip(PLACES, (dataset.validation, (torso,)), strict=True)), steps, out)


def curve(setting: Setting, start: str, seed: int) -> list[dict[str, float]]:
    """Dice by place after each of the steps; stored next to the last bundle."""
    folder = setting.out / f"{start}-{seed}-{setting.steps[-1]}"
    kept = folder / "scores.json"
    if not kept.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(_train(setting, start, seed, folder)), encoding="utf-8")
    points: list[dict[str, float]] = json.loads(kept.read_text(encoding="utf-8"))
    return points


def _train(setting: Setting, start: str, seed: int, folder: Path) -> list[dict[str, float]]:
    recipe = load_recipe(
        "scn-localise",
        [
            *COMMON,
            f"optimiser.learning_rate={RATES[start]}",
            f"seed={seed}",
            f"budget={{steps: {setting.steps[-1]}}}",
        ],
    )
    stage = stage_of(recipe, setting.dataset.labels)
    plan = stage.plan
    authors = None
    if start == "authors":
        authors = write_bundle(
            folder / "start",
            name="authors",
            stages=[stage],
            weights={"localise": load_file(WEIGHTS)},
            labels=LABELS,
            card="# The localiser of paper 5's authors (GPL-3.0)\n",
            precision="fp32",
            overwrite=True,
        )
    batches = Batches(
        setting.dataset.training,
        CaseStore(setting.out / "cases", plan.channels),
        PatchSampler.of(recipe, plan, setting.dataset),
    )
    run = Run.begin(recipe, stage, Hardware.choose("cpu", recipe.precision), authors)
    points = []
    run.start_clock()
    with fed(batches, 0, workers=recipe.workers) as feed:
        for step in setting.steps:
            while run.step < step:
                run.advance(feed, run.spent())
            points.append(_dice(_bundle(run, folder), setting))
            print(f"{start}, seed {seed}, step {step}: {points[-1]}", flush=True)
    return points


def _bundle(run: Run, folder: Path) -> OwnBundle:
    """With the averaged weights, as the engine would write it."""
    return write_bundle(
        folder / "bundle",
        name=folder.name,
        stages=[run.stage],
        weights={"localise": run.ema.weights},
        labels=LABELS,
        card="# A localiser on trial\n",
        overwrite=True,
    )


def _dice(bundle: OwnBundle, setting: Setting) -> dict[str, float]:
    """The mean over cases; all of them have foreground."""
    means = {
        place: finish(bundle_scores(bundle, entries, whole=True)).mean
        for place, entries in setting.scored.items()
    }
    return {place: mean for place, mean in means.items() if mean is not None}


def page(setting: Setting, curves: Mapping[str, Sequence[Sequence[Mapping[str, float]]]]) -> str:
    """Markdown. curves : by start, of each seed."""
    heads = ("step", *(f"{place}, {start}" for place in PLACES for start in RATES))
    rows = [
        (
            str(step),
            *(
                mean_sd([seed[number][place] for seed in curves[start]])
                for place in PLACES
                for start in RATES
            ),
        )
        for number, step in enumerate(setting.steps)
    ]
    introduction = INTRODUCTION.format(
        training=len(setting.dataset.training),
        held_out=len(setting.dataset.validation),
        seeds=len(curves["authors"]),
        **RATES,
    )
    ends = [
        f"{place}, step {setting.steps[-1]}, authors minus scratch: {_difference(place, curves)}."
        for place in PLACES
    ]
    return f"# {TITLE}\n\n{introduction}\n\n{table(heads, rows)}\n" + "\n".join(ends) + "\n"


def _difference(place: str, curves: Mapping[str, Sequence[Sequence[Mapping[str, float]]]]) -> str:
    """Of the same seeds, at the last step."""
    values = [
        ours[-1][place] - theirs[-1][place]
        for ours, theirs in zip(curves["authors"], curves["scratch"], strict=True)
    ]
    return f"{np.mean(values):+.3f} ({', '.join(f'{value:+.3f}' for value in values)})"


def main() -> None:
    """Train both starts with every seed and write docs/ideas/authors_localiser.md."""
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument(
        "out",
        type=Path,
        help="folder of the phantoms and bundles; name it again to continue an interrupted run",
    )
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--docs", type=Path, default=Path("docs/ideas"))
    parser.add_argument("--quick", action="store_true", help="one seed, two steps, no page: does it run?")
    arguments = parser.parse_args()
    if missing := [path for path in (WEIGHTS, TORSO) if not path.exists()]:
        raise SystemExit(
            f"{missing[0].relative_to(SHARED)} is not in shared/data; this comparison cannot be made without "
            "it."
        )
    torch.set_num_threads(1)
    setting = Setting.of(
        arguments.out, 5 if arguments.quick else PHANTOMS, (0, 2) if arguments.quick else STEPS
    )
    seeds = range(1 if arguments.quick else arguments.seeds)
    text = page(setting, {start: [curve(setting, start, seed) for seed in seeds] for start in RATES})
    print(text)
    if not arguments.quick:
        arguments.docs.mkdir(parents=True, exist_ok=True)
        (arguments.docs / "authors_localiser.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
