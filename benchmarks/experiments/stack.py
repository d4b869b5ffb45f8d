"""Paper 3's stack on real data: 2D nnU-Nets, 3D MS-D nets, and the network that combines them.

   python -m benchmarks.experiments.stack OUT [--at-once 2] [--table docs/stack.md]

Of the hippocampus set's sorted cases, 3 of 5 train the members, 1 of 5 the stack, and 1 of 5 is scored on. An
interrupted run continues.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.experiments.trials import SHARED, Trial, case_means, facts, mean_sd, run, table, write_set
from ctseg_imaging.progress import finish
from ctseg_models.bundles.own.bundle import read_own
from ctseg_training.data.decathlon import open_dataset
from ctseg_training.stack_training import train_stack

COMMON = (
    "validation.share=0",
    "modality=MR",
    "data.spacing_mm=[1, 1, 1]",
    "data.outside=0",
    "data.intensity={clip_quantiles: [0.0, 0.999], statistics: zscore}",
    "data.zscore_sample=null",
    "augmentation={slab: {kind: generic}}",
    "ema=0.99",
    "batch=2",
)
FLAT = (
    *COMMON,
    "data.sizes={min: [1, 32, 32], max: [4000, 512, 512], step: [1, 8, 8]}",
    "sampling={mode: slices, size: [12, 56, 40], empty_slices: true}",
    "network.filters=[32, 64, 128, 128]",
    "budget={steps: 1500}",
)
DEEP = (
    *COMMON,
    "data.sizes={min: [1, 32, 32], max: [4000, 512, 512], step: [1, 8, 8]}",
    "data.patch=[16, 56, 40]",
    "sampling={mode: slices, size: [16, 56, 40], empty_slices: true}",
    "network.depth=24",
    "budget={steps: 1200}",
)
HEAD = """# A stack of 2D nnU-Nets and 3D MS-D nets

Made by `benchmarks/experiments/stack.py` on the hippocampus set (MR, labels head and tail). The members were
trained on 156 cases and the stack on 52 cases that no member had seen. Dice is measured on 52 further cases,
on each case's own grid (mean of both labels; ± is the standard deviation over cases). The best member is
chosen by its mean over these same 52 cases, which favours it.

"""


def held_out_set(out: Path) -> Path:
    """Three of five sorted cases train; the others alternate between the stack's training and the scoring."""
    source = SHARED / "hippocampus-mr"
    fields = json.loads((source / "dataset.json").read_text(encoding="utf-8"))
    cases = sorted(fields["training"], key=lambda case: str(case["image"]))
    return write_set(
        out,
        "hippocampus-stack",
        {value: name for value, name in fields["labels"].items() if value != "0"},
        source,
        [case for number, case in enumerate(cases) if number % 5 > 1],
        [case for number, case in enumerate(cases) if number % 5 < 2],
    )


def trials(data: Path) -> list[Trial]:
    """Two members of each kind."""
    made = [Trial(f"msdnet-3d-{seed}", "ct-cues-msdnet-3d-small", data, DEEP, seed) for seed in (0, 1)]
    return [
        *made,
        *(Trial(f"nnunet-2d-{seed}", "ct-cues-nnunet-2d-small", data, FLAT, seed) for seed in (0, 1)),
    ]


def verdict(means: Mapping[str, Sequence[float]]) -> str:
    """A sentence that compares the stack with its best member."""
    members = {name: values for name, values in means.items() if name != "stack"}
    best = max(members, key=lambda name: float(np.mean(members[name])))
    higher = np.mean(means["stack"]) > np.mean(members[best])
    steadier = np.std(means["stack"], ddof=1) < np.std(members[best], ddof=1)
    won = " and ".join(
        word
        for word, true in (("the higher mean", higher), ("the smaller standard deviation", steadier))
        if true
    )
    return (
        f"Compared with the best member, {best}, the stack has "
        f"{won or 'neither the higher mean nor the smaller standard deviation'}.\n"
    )


def main() -> None:
    """Train, score, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--table", type=Path)
    arguments = parser.parse_args()
    data = held_out_set(arguments.out / "data")
    members = trials(data)
    run(members, arguments.out, arguments.at_once)
    dataset, folder = open_dataset(data), arguments.out / "stack"
    shutil.rmtree(folder, ignore_errors=True)
    bundles = [read_own(arguments.out / trial.name / "bundle") for trial in members]
    _, scores = finish(train_stack(bundles, dataset, dataset.validation, folder, name="stack"))
    means = {
        "stack": case_means(scores.stack),
        **{name: case_means(rows) for name, rows in scores.members.items()},
    }
    runs = {trial.name: facts(trial, arguments.out) for trial in members}
    rows = [
        (
            name,
            str(runs[name]["parameters"]) if name in runs else "",
            f"{runs[name]['seconds'] / 60:.1f}" if name in runs else "",
            mean_sd(values),
            f"{min(values):.3f}",
        )
        for name, values in means.items()
    ]
    text = (
        table(("", "parameters", "minutes, one thread", "Dice, mean ± sd over cases", "worst case"), rows)
        + "\n"
        + verdict(means)
    )
    print(text)
    if arguments.table is not None:
        arguments.table.write_text(HEAD + text, encoding="utf-8")


if __name__ == "__main__":
    main()
