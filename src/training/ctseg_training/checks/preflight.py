"""Checks before a training run: every file is read once, every class searched for, the memory estimated."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from math import inf, prod
from pathlib import Path

import psutil
import torch

from ctseg_imaging.errors import RecipeError
from ctseg_imaging.geometry import Shape, Triple
from ctseg_imaging.progress import Progress
from ctseg_models.bundles.own.metadata import Stage
from ctseg_models.contract.lattice import ViewBox
from ctseg_training.checks.case_check import CheckedCase, check_case
from ctseg_training.checks.memory_need import Need, memory_need
from ctseg_training.data.decathlon import CaseEntry, Decathlon
from ctseg_training.recipes.schema import Recipe
from ctseg_training.recipes.stages import stage_of

MOSTLY_AIR = 0.5  # the share of a sample below which a case fills too little of it
MOST_LISTED = 3  # faults in one sentence; the others are counted


def check(
    recipe: Recipe,
    dataset: Decathlon,
    entries: Sequence[CaseEntry],
    *,
    held_out: Sequence[CaseEntry] = (),
    fine_tuning: bool = False,
    device: str = "cpu",
    available_mb: float | None = None,
) -> Generator[Progress, None, tuple[str, ...]]:
    """Read every file once, a case at a time; the return value is a list of notes for the user, one sentence
    each. entries : the cases to be trained on. held_out : checked likewise, but a class that only they have
    cannot be learnt. fine_tuning : the network knows its classes already, so one without a case is a note.
    device : where the network will compute. available_mb : used instead of the free memory there. Raises
    RecipeError with the first three faults, the files named.
    """
    stage = stage_of(recipe, dataset.labels)
    every, checked = (*entries, *held_out), []
    faults: list[str] = []
    for number, entry in enumerate(every):
        yield Progress("check", number, len(every), "Checking the data before training")
        case = check_case(entry, stage, flat=recipe.network.dimensions == 2)
        checked.append(case)
        faults += case.faults
    _refuse(faults)
    names = {entry.name for entry in entries}
    trained = [case for case in checked if case.entry.name in names]
    absent, notes = _absent_classes(recipe, dataset, trained, checked, fine_tuning)
    _refuse(absent)
    shape = _largest_sample(recipe, stage, trained)
    yield Progress("check", len(every), len(every), "Estimating the memory")
    need = memory_need(recipe, stage, shape, max(case.reading_mb for case in checked))
    _check_memory(
        need,
        f"{recipe.name}: training on {recipe.batch} x {_sizes(shape)} voxels (batch, z, y, x)",
        device,
        available_mb,
    )
    return (*notes, *(note for case in checked for note in case.notes), *_oddities(recipe, trained))


def fingerprint(entries: Sequence[CaseEntry]) -> str:
    """A hash that changes with any file's path, size or modification time, and with the description of a case
    in dataset.json.

    A check that passed need not be made again while it is the same. A file that is gone counts as one, too.
    """
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(
            repr(
                (entry.name, entry.classes, entry.present, _stamp(entry.image), _stamp(entry.label))
            ).encode()
        )
    return digest.hexdigest()


def _stamp(path: Path) -> tuple[str, int, int]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return str(path.absolute()), -1, -1
    return str(path.absolute()), status.st_size, status.st_mtime_ns


def _refuse(faults: Sequence[str]) -> None:
    if not faults:
        return
    more = len(faults) - MOST_LISTED
    raise RecipeError(" ".join([*faults[:MOST_LISTED], *([f"And {more} more."] if more > 0 else [])]))


def _absent_classes(
    recipe: Recipe,
    dataset: Decathlon,
    trained: Sequence[CheckedCase],
    checked: Sequence[CheckedCase],
    fine_tuning: bool,
) -> tuple[list[str], list[str]]:
    """(faults, notes) about classes without a voxel. A localiser treats all classes as one."""
    where = dataset.folder / "dataset.json"
    if not any(case.classes for case in trained):
        return [
            f"{where}: the labels of all {len(trained)} training cases are empty (no voxel above 0), so "
            "nothing can be learnt; contour some cases, or correct the label files."
        ], []
    if recipe.stage == "localise":
        return [], []
    faults, notes = [], []
    for index, label in enumerate(dataset.labels, 1):
        if any(index in case.classes for case in trained):
            continue
        contoured = any(case.entry.present[index] for case in trained)
        why = (
            f"{label.name!r} occurs in no training case"
            if contoured
            else f"{label.name!r} was contoured in no training case"
        )
        if fine_tuning:
            notes.append(f"{why}; the model may forget part of what it has learned about it.")
        elif any(index in case.classes for case in checked):
            faults.append(
                f"{where}: {why}, only in one that is held out; change validation.cases, validation.share or "
                "the seed."
            )
        else:
            faults.append(
                f"{where}: {why}, so it cannot be learnt; add a case with it, or remove it from labels"
                f"{'' if contoured else ' and labels_present'}."
            )
    return faults, notes


def _largest_sample(recipe: Recipe, stage: Stage, cases: Sequence[CheckedCase]) -> Shape:
    """(z, y, x) voxels of the largest sample that the recipe draws from `cases`."""
    sampling, plan = recipe.sampling, stage.plan
    if sampling.size is not None:
        return sampling.size
    whole = sampling.mode == "whole"
    shapes = []
    for case in cases:
        all_of_it = ViewBox.whole(case.geometry)
        box = all_of_it if whole else case.box.grown(sampling.margin_mm).cut(all_of_it)
        shapes.append(plan.lattice(box, divide_evenly=whole).shape)
    return max(shapes, key=lambda shape: shape[0] * shape[1] * shape[2])


def _oddities(recipe: Recipe, cases: Sequence[CheckedCase]) -> list[str]:
    """Notes on unusual cases: cases without labels, and cases smaller than a sample."""
    notes, size, spacing = [], recipe.sampling.size, recipe.data.spacing_mm
    if empty := [case.entry.name for case in cases if not case.classes]:
        notes.append(f"{_listed(empty, cases)} without a labelled voxel.")
    if size is None or recipe.sampling.mode in (
        "whole",
        "roi",
    ):  # `size` is the largest of samples that differ in size
        return notes
    slices = recipe.sampling.mode == "slices"
    if slices and (thin := [case.entry.name for case in cases if _voxels(case, spacing)[0] < size[0]]):
        notes.append(
            f"{_listed(thin, cases)} of fewer than {size[0]} slices of {spacing[0]:g} mm, so a sample "
            "contains some of them twice."
        )
    first = 1 if slices else 0
    if small := [
        case.entry.name
        for case in cases
        if _filled(_voxels(case, spacing)[first:], size[first:]) < MOSTLY_AIR
    ]:
        notes.append(
            f"{_listed(small, cases)} less than half as large as a sample of {_sizes(size[first:])} voxels "
            f"of {_sizes([f'{s:g}' for s in spacing[first:]])} mm ({'y, x' if slices else 'z, y, x'}), and "
            f"the rest is filled with {recipe.data.outside:g}; a smaller sampling.size would suit."
        )
    return notes


def _voxels(case: CheckedCase, spacing_mm: Triple) -> tuple[int, ...]:
    """The size (z, y, x) of a case at another spacing."""
    return tuple(
        max(1, round(n * own / s))
        for n, own, s in zip(case.geometry.shape, case.geometry.spacing_mm, spacing_mm, strict=True)
    )


def _filled(shape: Sequence[int], size: Sequence[int]) -> float:
    """The share of a sample of `size` that a case of `shape` can fill."""
    return prod(min(1.0, n / wanted) for n, wanted in zip(shape, size, strict=True))


def _listed(names: Sequence[str], cases: Sequence[CheckedCase]) -> str:
    some = ", ".join(names) if len(names) <= MOST_LISTED else f"{', '.join(names[:MOST_LISTED])} and others"
    return f"{len(names)} of {len(cases)} training cases ({some}) {'is' if len(names) == 1 else 'are'}"


def _sizes(shape: Sequence[object]) -> str:
    return " x ".join(map(str, shape))


def _check_memory(need: Need, what: str, device: str, available_mb: float | None) -> None:
    """Raises RecipeError if the estimate exceeds the free memory, with both numbers and what to lower."""
    lower = "lower batch, sampling.size (or data.sizes.max) or the network's filters, or close other programs"
    parts = f"({need.in_words()})"
    on_gpu = device != "cpu"
    here = need.data if on_gpu else need.data + need.computing
    free = psutil.virtual_memory().available / 1e6 if available_mb is None or on_gpu else available_mb
    if here > free:
        raise RecipeError(
            f"{what} needs about {here:.0f} MB of memory {parts} and {free:.0f} MB are free; {lower}."
        )
    if on_gpu and need.computing > (free := _free_on(device) if available_mb is None else available_mb):
        raise RecipeError(
            f"{what} needs about {need.computing:.0f} MB on {device} {parts} and {free:.0f} MB are free "
            f"there; {lower}."
        )


def _free_on(device: str) -> float:
    """MB; infinite for a device that does not report it or does not exist, which is reported when the network
    is moved there.
    """
    try:
        return float(torch.cuda.mem_get_info(device)[0]) / 1e6
    except (RuntimeError, AssertionError, ValueError):
        return inf
