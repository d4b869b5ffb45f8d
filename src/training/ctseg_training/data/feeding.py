"""Batches made ahead of the training step, in a thread; batch n is the same however often a run was interrupted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

import numpy as np
import torch
from torch import Tensor

from ctseg_training.data.cases import CaseCache
from ctseg_training.data.decathlon import CaseEntry
from ctseg_training.data.sampling import Sampler, collate

Batch = tuple[Tensor, Tensor, Tensor]
AHEAD = 4


def batch_at(step: int, *, entries: Sequence[CaseEntry], cache: CaseCache, sampler: Sampler) -> Batch:
    """Batch number `step` of a run: a function of the recipe's seed and `step` alone.

    Cases come in a new random order each time round, so that every one is seen equally often.
    """
    seed, size = sampler.recipe.seed, sampler.recipe.batch
    samples = []
    for item in range(step * size, (step + 1) * size):
        turn, place = divmod(item, len(entries))
        order = np.random.default_rng([seed, 1, turn]).permutation(len(entries))
        samples.append(sampler.sample(cache.get(entries[order[place]]), np.random.default_rng([seed, 2, item])))
    return collate(samples)


@contextmanager
def batches(first: int, *, entries: Sequence[CaseEntry], cache: CaseCache, sampler: Sampler) -> Iterator[Iterator[Batch]]:
    """An endless iterator of batches `first`, first + 1, ...; leaving the block ends the thread. An error there is raised here."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="ctseg-batches", initializer=torch.set_num_threads, initargs=(1,))

    def submit(step: int) -> Future[Batch]:
        return executor.submit(batch_at, step, entries=entries, cache=cache, sampler=sampler)

    def take() -> Iterator[Batch]:
        waiting = deque(submit(first + ahead) for ahead in range(AHEAD))
        for step in count(first + AHEAD):
            yield waiting.popleft().result()
            waiting.append(submit(step))

    try:
        yield take()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
