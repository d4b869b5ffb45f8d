"""`napari-ctseg stack`: a small network that learns, on cases no member has seen, where to trust which
bundle.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_ctseg.commands.console import follow, note, print_result
from napari_ctseg.commands.models.crossval import show_spread

if TYPE_CHECKING:
    from ctseg_training.data.decathlon import CaseEntry, Decathlon


def stack(
    model: Annotated[
        list[str],
        typer.Option("-m", "--model", metavar="BUNDLE", help="A member: name, folder or file; repeat."),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="DATASET", help="A folder with dataset.json (Medical Segmentation Decathlon)."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder for the stack.")],
    cases: Annotated[
        list[str] | None,
        typer.Option(
            "--cases",
            metavar="CASE",
            help="A case that no member was trained on; repeat. Default: the data set's validation list.",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Training steps.")] = 800,
    seed: Annotated[int, typer.Option(help="Seed of patches, weights and order.")] = 0,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the stack.")] = "stack",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
) -> None:
    """Train a stack of bundles on held-out cases, and compare it with each member.

    Half of the cases are used for training; the comparison uses the other half, which neither the stack nor,
    if they are held out, the members have seen.
    """
    from ctseg_imaging.errors import BundleError
    from ctseg_models.bundles import store
    from ctseg_training.data.decathlon import open_dataset
    from ctseg_training.data.folds import spread_table
    from ctseg_training.stack_training import StackSettings, halves, train_stack

    if (folder := out / "stack").exists():
        raise BundleError(f"{folder}: already exists; choose another folder.")
    bundles = [store.find(one) for one in model]
    dataset = open_dataset(data)
    entries = held_out(dataset, cases)
    learning, scoring = (", ".join(entry.name for entry in half) for half in halves(entries))
    note(f"The members must not have seen these cases. Training on {learning}; evaluating on {scoring}.")
    work = train_stack(
        bundles,
        dataset,
        entries,
        folder,
        name=name,
        settings=StackSettings(steps=steps, seed=seed),
        device=device,
    )
    _, scores = follow(work)
    show_spread(
        {
            "stack": spread_table(scores.stack),
            **{one: spread_table(rows) for one, rows in scores.members.items()},
        }
    )
    print_result(str(folder))


def held_out(dataset: Decathlon, names: list[str] | None) -> tuple[CaseEntry, ...]:
    """The named cases, or the data set's validation list. Raises RecipeError."""
    from ctseg_imaging.errors import RecipeError

    if not names:
        if not dataset.validation:
            raise RecipeError(
                f"{dataset.folder}: dataset.json lists no validation cases; name cases that no member was "
                "trained on with --cases."
            )
        return dataset.validation
    known = {entry.name: entry for entry in (*dataset.training, *dataset.validation)}
    if missing := [one for one in names if one not in known]:
        raise RecipeError(
            f"--cases: the data set has no case {missing[0]!r}; name cases as their image files are called."
        )
    return tuple(known[one] for one in dict.fromkeys(names))
