"""The split into cases to train on and held-out cases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctseg_imaging.errors import RecipeError
from ctseg_training.data.decathlon import CaseEntry, Decathlon
from ctseg_training.recipes.schema import Recipe


@dataclass(frozen=True)
class Split:
    """training and held_out share no case. notes : remarks for the user, one sentence each."""

    training: tuple[CaseEntry, ...]
    held_out: tuple[CaseEntry, ...]
    notes: tuple[str, ...] = ()


def split_cases(dataset: Decathlon, recipe: Recipe) -> Split:
    """Named cases, a seeded share of the training cases, or the validation list if the recipe selects it.

    Raises RecipeError when no case is left to train on.
    """
    settings = recipe.validation
    if settings.cases:
        return _named(dataset, recipe)
    usable, notes = _usable(dataset, recipe)
    if settings.split == "validation":
        if not dataset.validation:
            raise RecipeError(
                f"{dataset.folder}: dataset.json lists no validation cases; set validation.split to training."
            )
        return Split(usable, dataset.validation[: settings.at_most], notes)
    count = min(settings.at_most, max(1, round(settings.share * len(usable)))) if settings.share > 0 else 0
    if len(usable) < 2 and count:
        return Split(
            usable,
            (),
            (*notes, "There is only one case, so none is held out and nothing can be scored."),
        )
    chosen = set(np.random.default_rng([recipe.seed, 3]).permutation(len(usable))[:count].tolist())
    return Split(
        tuple(entry for number, entry in enumerate(usable) if number not in chosen),
        tuple(entry for number, entry in enumerate(usable) if number in chosen),
        notes,
    )


def _named(dataset: Decathlon, recipe: Recipe) -> Split:
    known = {entry.name: entry for entry in (*dataset.training, *dataset.validation)}
    wanted = set(recipe.validation.cases)
    if missing := sorted(wanted - set(known)):
        raise RecipeError(
            f"validation.cases: the data set has no case {missing[0]!r}; name cases as their image files are "
            "called."
        )
    usable, notes = _usable(dataset, recipe)
    training = tuple(entry for entry in usable if entry.name not in wanted)
    if not training:
        raise RecipeError("validation.cases: holds out every case, so none is left to train on; leave some.")
    return Split(training, tuple(known[name] for name in recipe.validation.cases), notes)


def _usable(dataset: Decathlon, recipe: Recipe) -> tuple[tuple[CaseEntry, ...], tuple[str, ...]]:
    needed = [dataset.class_of(name, "data.require") for name in recipe.data.require]
    usable = tuple(
        entry
        for entry in dataset.training
        if all(entry.present[index] for index in needed)
        and sum(entry.present[1:]) >= recipe.data.require_count
    )
    if not usable:
        raise RecipeError(
            f"{dataset.folder}: no case has the labels that data.require and data.require_count ask for; "
            "lower them."
        )
    notes = []
    if left_out := len(dataset.training) - len(usable):
        notes.append(f"{left_out} cases without the required labels are left out.")
    partial = sum(not all(entry.present) for entry in usable)
    if partial and recipe.stage == "localise":
        notes.append(
            f"{partial} cases have labels that nobody contoured, and the localiser learns that those lie "
            "outside; name the outermost ones in data.require."
        )
    return usable, tuple(notes)
