"""Does an idea help? Arms that differ only in the idea, with the same data, steps and seeds; every result is
reported.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.experiments.trials import Trial, case_means, facts, run, scores, table

SEEDS = 3
SHORT = (
    "The runs are short (two CPU cores, one thread per run): they show which arm is ahead after a fixed "
    "number of steps, not where each would converge."
)


@dataclass(frozen=True)
class Question:
    """title, introduction : of the page in docs. arms : by name, the overrides of `recipe`; the first is the
    paper's idea. data : makes the data set in a folder.
    """

    name: str
    title: str
    introduction: str
    recipe: str
    arms: Mapping[str, Sequence[str]]
    data: Callable[[Path], Path]


def main(question: Question) -> None:
    """Train every arm with every seed and write docs/ideas/NAME.md."""
    parser = argparse.ArgumentParser(description=question.title)
    parser.add_argument(
        "out",
        type=Path,
        help="folder of the runs and data sets; name it again to continue an interrupted comparison",
    )
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--docs", type=Path, default=Path("docs/ideas"))
    arguments = parser.parse_args()
    data = question.data(arguments.out / "data")
    trials = {
        (arm, seed): Trial(
            f"{question.name}-{arm.replace(' ', '-')}-{seed}", question.recipe, data, tuple(values), seed
        )
        for seed in range(arguments.seeds)
        for arm, values in question.arms.items()
    }
    run(list(trials.values()), arguments.out, arguments.at_once)
    text = _page(question, trials, arguments.out, arguments.seeds)
    print(text)
    arguments.docs.mkdir(parents=True, exist_ok=True)
    (arguments.docs / f"{question.name}.md").write_text(text, encoding="utf-8")


def _page(question: Question, trials: Mapping[tuple[str, int], Trial], out: Path, seeds: int) -> str:
    rows, means = [], {}
    for arm in question.arms:
        of_seeds = [case_means(scores(trials[arm, seed], out)) for seed in range(seeds)]
        means[arm] = np.array([np.mean(dice) for dice in of_seeds])
        spread = np.mean([np.std(dice, ddof=1) for dice in of_seeds])
        runs = [facts(trials[arm, seed], out) for seed in range(seeds)]
        rows.append(
            (
                arm,
                f"{means[arm].mean():.3f} ± {means[arm].std(ddof=1):.3f}"
                if seeds > 1
                else f"{means[arm].mean():.3f}",
                ", ".join(f"{mean:.3f}" for mean in means[arm]),
                f"{spread:.3f}",
                str(runs[0]["parameters"]),
                str(runs[0]["steps"]),
                f"{np.mean([one['seconds'] for one in runs]):.0f}",
            )
        )
    heads = (
        "arm",
        "Dice, mean ± sd over seeds",
        "each seed",
        "sd over cases",
        "parameters",
        "steps",
        "seconds",
    )
    first, *others = question.arms
    differences = [f"{first} minus {other}: {_difference(means[first] - means[other])}." for other in others]
    return (
        f"# {question.title}\n\n{question.introduction} {SHORT}\n\n{table(heads, rows)}\n"
        + "\n".join(differences)
        + "\n"
    )


def _difference(values: np.ndarray) -> str:  # type: ignore[type-arg]
    """The differences for the same seeds; three are too few for a test, so their signs are reported."""
    same = (
        "same sign for every seed"
        if len({bool(value > 0) for value in values}) == 1
        else "signs differ between seeds"
    )
    return f"{values.mean():+.3f} ({', '.join(f'{value:+.3f}' for value in values)}; {same})"
