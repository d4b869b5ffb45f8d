"""Batches prepared ahead of the training step, in a process of their own; batch n does not depend on
interruptions.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ctseg_imaging.errors import CtsegError, RecipeError
from ctseg_training.data.cases import CaseStore
from ctseg_training.data.decathlon import CaseEntry
from ctseg_training.data.sampling import PatchSampler

AHEAD = 4
FOR_EVER = 2**40  # batches


class Batch(NamedTuple):
    """image : (B, C, Z, Y, X).

    target : (B, Z, Y, X) int64. present : (B, K) bool. items : (B,) int64, the number of each sample; with
    `sampling.versions` a sample recurs under the same number.
    """

    image: Tensor
    target: Tensor
    present: Tensor
    items: Tensor


@dataclass(frozen=True)
class Batches(Dataset[Batch]):
    """Batch number n of a run: a function of the recipe's seed and n alone.

    Cases come in a new random order each time round, so every one is seen equally often.
    """

    entries: Sequence[CaseEntry]
    cases: CaseStore
    sampler: PatchSampler

    def __getitem__(self, number: int) -> Batch:
        recipe = self.sampler.recipe
        versions = recipe.sampling.versions or 1
        distinct = len(self.entries) * versions
        samples, items = [], []
        for drawn in range(number * recipe.batch, (number + 1) * recipe.batch):
            turn, place = divmod(drawn, distinct)
            item = int(np.random.default_rng([recipe.seed, 1, turn]).permutation(distinct)[place])
            again = recipe.sampling.versions is not None
            rng = np.random.default_rng([recipe.seed, 4, item] if again else [recipe.seed, 2, drawn])
            samples.append(self.sampler.sample(self.cases.get(self.entries[item // versions]), rng))
            items.append(item if again else drawn)
        return Batch(
            torch.stack([s.image for s in samples]),
            torch.stack([s.target for s in samples]),
            torch.stack([s.present for s in samples]),
            torch.tensor(items),
        )


@dataclass(frozen=True)
class _ErrorsAsItems(Dataset[Batch | CtsegError]):
    """Batches, or the error instead of one: a data loader would wrap a raised error in a traceback."""

    batches: Batches

    def __getitem__(self, number: int) -> Batch | CtsegError:
        try:
            return self.batches[number]
        except CtsegError as error:
            return error


@contextmanager
def fed(batches: Batches, first: int, stride: int = 1, *, workers: int = 1) -> Iterator[Iterator[Batch]]:
    """An endless iterator of batches `first`, first + stride, ...; leaving the block ends the process.

    An error there is raised here.

    workers : processes; 0: each batch is made on request.
    """
    numbers = range(first, FOR_EVER, stride)
    context = None
    if workers:
        context = multiprocessing.get_context(
            "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        )
    loader = DataLoader(
        _ErrorsAsItems(batches),
        batch_size=None,
        sampler=numbers,
        num_workers=workers,
        multiprocessing_context=context,
        prefetch_factor=AHEAD if workers else None,
    )
    source = iter(loader)
    try:
        yield _taken(source)
    finally:
        if workers:
            source._shutdown_workers()  # type: ignore[attr-defined]


def _taken(source: Iterator[Batch | CtsegError]) -> Iterator[Batch]:
    """The batches; an error instead of one is raised."""
    while True:
        try:
            made = next(source)
        except RuntimeError as error:
            if all(worker.is_alive() for worker in getattr(source, "_workers", ())):
                raise
            raise RecipeError(
                "The process that makes the samples ended unexpectedly. If memory ran out, close other "
                'programs. In a script, start the training under `if __name__ == "__main__":`.'
            ) from error
        if isinstance(made, CtsegError):
            raise made
        yield made
