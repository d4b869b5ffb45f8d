"""Every `-small` recipe trained to its end, scored on held-out cases as `predict` runs it, in a table.

   python -m benchmarks.experiments.small OUT [--at-once 2] [--only NAME ...] [--table docs/small-recipes.md]

Interrupted, it continues with the same OUT. Needs the data of `../shared/data`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.experiments.trials import (
    Trial,
    case_means,
    facts,
    hippocampus,
    lesions,
    mandible,
    mean_sd,
    run,
    scores,
    table,
    vgg_file,
)

AIM = 0.5
HEAD = """# The small recipes, trained

Made by `make train-small` (`benchmarks/experiments/small.py`): every `-small` recipe trained from scratch,
two at a time with one thread each. Dice is the mean over the labels of a case, on the case's own grid, with
the bundle as `predict` runs it. The localiser works at 5 mm here: a mandible is thinner than its usual 8 mm.

"""
QUIET = ("validation.share=0",)  # nothing of the training cases is held out a second time


def trials(data: Path) -> list[Trial]:
    """Which recipe is trained on which data."""
    hippo, jaw, spots = hippocampus(data), mandible(data), lesions(data)
    made = [Trial("geometric-sunet-small", "geometric-sunet-small", hippo, QUIET)]
    made += [
        Trial(f"edge-gated-{kind}-small", f"edge-gated-{kind}-small", hippo, QUIET)
        for kind in ("unet", "vnet", "segnet")
    ]
    made += [
        Trial(f"ct-cues-{kind}-{n}d-small", f"ct-cues-{kind}-{n}d-small", jaw, QUIET)
        for kind in ("nnunet", "msdnet")
        for n in (2, 3)
    ]
    made.append(
        Trial(
            "siamese-denseunet-small",
            "siamese-denseunet-small",
            spots,
            (*QUIET, f"content.features={vgg_file()}"),
        )
    )
    made.append(
        Trial(
            "scn-localise-small",
            "scn-localise-small",
            jaw,
            (*QUIET, "budget={steps: 600}", "data.spacing_mm=[5, 5, 5]"),
        )
    )
    made.append(
        Trial(
            "scn-segment-small",
            "scn-segment-small",
            jaw,
            (*QUIET, "budget={steps: 250}"),
            localiser="scn-localise-small",
        )
    )
    return made


def main() -> int:
    """Train, score, print and write the table; 1 if a recipe stays below the aim."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--table", type=Path)
    arguments = parser.parse_args()
    every = [
        trial
        for trial in trials(arguments.out / "data")
        if not arguments.only or trial.name in arguments.only
    ]
    run(every, arguments.out, arguments.at_once)
    rows, low = [], []
    for trial in every:
        dice, done = case_means(scores(trial, arguments.out)), facts(trial, arguments.out)
        if sum(dice) / len(dice) < AIM:
            low.append(trial.name)
        rows.append(
            (
                trial.name,
                trial.data.name,
                str(done["parameters"]),
                str(done["steps"]),
                f"{run['seconds'] / 60:.1f}",
                str(len(dice)),
                mean_sd(dice),
            )
        )
    text = table(
        (
            "recipe",
            "data",
            "parameters",
            "steps",
            "minutes, one thread",
            "held-out cases",
            "Dice, mean ± sd over cases",
        ),
        rows,
    )
    print(text)
    if arguments.table is not None:
        arguments.table.write_text(HEAD + text, encoding="utf-8")
    print(f"below {AIM}: {', '.join(low) or 'none'}")
    return int(bool(low))


if __name__ == "__main__":
    sys.exit(main())
