"""Dice of a stack and of its members on unseen cases."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging import formats
from ctseg_imaging.errors import RecipeError
from ctseg_imaging.geometry import Match
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import Labels
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.upright import Upright
from ctseg_models.ensembles.members import common_target, run_members
from ctseg_models.ensembles.stack import Member, Stacker
from ctseg_models.ensembles.stacking import paint_stack
from ctseg_models.inference.labels.class_maps import Target
from ctseg_models.inference.labels.paint import paint
from ctseg_models.inference.network.precision import choose
from ctseg_models.inference.stage_run import StageResult, report
from ctseg_training.data.decathlon import CaseEntry
from ctseg_training.data.folds import spread_table
from ctseg_training.scoring import dice_per_label

Dice = dict[str, float | None]


@dataclass(frozen=True, eq=False)
class StackScores:
    """Dice of each scored case, {label: Dice or None}, in the order of `cases`. members : by bundle name."""

    cases: tuple[str, ...]
    stack: tuple[Dice, ...]
    members: Mapping[str, tuple[Dice, ...]]


@dataclass(frozen=True, eq=False)
class PredictedCase:
    """A case with the members' predictions. truth : (z, y, x) class indices in the upright view."""

    upright: Upright
    truth: NDArray[np.uint8]
    found: list[StageResult]
    target: Target


def predicted_case(
    bundles: Sequence[Bundle], entry: CaseEntry, device: str
) -> Generator[Progress, None, PredictedCase]:
    volume, stored = formats.read(entry.image), formats.read_labels(entry.label)
    if volume.geometry.matches(stored.geometry) not in (Match.SAME, Match.ROUNDING):
        raise RecipeError(
            f"{entry.label}: lies on another grid than its image; resample it onto the image first."
        )
    table = np.zeros(max(int(stored.array.max()), *(value for value, _ in entry.classes)) + 1, np.uint8)
    for value, index in entry.classes:
        table[value] = index
    upright = Upright.of(volume)
    truth = table[upright.view.apply(stored.array).astype(np.int64)]
    if wrong := [index for index in np.unique(truth) if not entry.present[index]]:
        raise RecipeError(
            f"{entry.name}: has voxels of class {wrong[0]}, which labels_present lists as not contoured; "
            "correct one."
        )
    found = yield from run_members(bundles, upright, None, device, choose("auto", device))
    return PredictedCase(upright, truth, found, common_target(found, upright))


def stack_scores(
    case: PredictedCase,
    network: Stacker,
    members: Sequence[Member],
    bundles: Sequence[Bundle],
    labels: Labels,
    present: tuple[bool, ...],
) -> Generator[Progress, None, tuple[Dice, list[Dice]]]:
    """Dice of the stack and of each member, over the whole volume."""
    names = [label.name for label in labels]
    indices = np.zeros(case.truth.shape, np.uint8)
    work = paint_stack(network, members, case.found, case.target, range(1, len(names) + 1), indices)
    yield from report("assemble", work, "Combining the members on the case's grid")
    stack = dict(zip(names, dice_per_label(case.truth, indices, present), strict=True))
    each = []
    for bundle, found in zip(bundles, case.found, strict=True):
        values = np.zeros(case.truth.shape, np.uint16)
        start, stop = found.box.voxels(case.upright.geometry)
        work = paint(found.maps, Target(case.upright.geometry.spacing_mm, start, stop), values)
        yield from report("assemble", work, f"Resampling the labels of {bundle.name}")
        each.append(member_dice(case.truth, values, bundle.labels, names, present))
    return stack, each


def member_dice(
    truth: NDArray[np.uint8],
    values: NDArray[np.uint16],
    known: Labels,
    names: Sequence[str],
    present: tuple[bool, ...],
) -> Dice:
    """Dice of the data set's labels that the member has, by name; None for the others.

    values : the member's own label values.
    """
    place = {name.casefold(): index for index, name in enumerate(names, 1)}
    table = np.zeros(max(known.values) + 1, np.uint8)
    for label in known:
        table[label.value] = place.get(label.name.casefold(), 0)
    dice = dice_per_label(truth, table[values], present)
    return {
        name: value if index in table else None
        for index, (name, value) in enumerate(zip(names, dice, strict=True), 1)
    }


def scores_by_name(scores: StackScores) -> dict[str, Any]:
    """The scores for stack.json: the cases, and per label mean, deviation and number of cases of stack and
    members.
    """
    of = {"stack": scores.stack, **scores.members}
    return {
        "cases": list(scores.cases),
        "dice": {
            name: {label: asdict(found) for label, found in spread_table(rows).items()}
            for name, rows in of.items()
        },
    }
