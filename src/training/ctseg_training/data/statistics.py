"""Mean and standard deviation of the training set's windowed values, from a random sample of its cases (paper
3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctseg_imaging import formats
from ctseg_models.contract.plan import Intensity
from ctseg_models.inference.input.intensities import moments, settle
from ctseg_training.data.decathlon import CaseEntry
from ctseg_training.recipes.schema import Recipe


def with_statistics(recipe: Recipe, entries: Sequence[CaseEntry]) -> Recipe:
    """`recipe` with shift and scale of every channel from the sample it asks for; unchanged if it asks for
    none.

    Cases have equal weights, independent of their size. entries : those that are trained on.
    """
    settings = recipe.data.zscore_sample
    if settings is None:
        return recipe
    chosen = np.random.default_rng([settings.seed, 5]).permutation(len(entries))[: settings.cases]
    channels = (recipe.data.intensity, *recipe.data.more_channels)
    found = [[_moments(entries[number], channel) for number in sorted(chosen)] for channel in channels]
    first, *others = (
        _normalising(channel, of_cases) for channel, of_cases in zip(channels, found, strict=True)
    )
    return recipe.model_copy(
        update={"data": recipe.data.model_copy(update={"intensity": first, "more_channels": tuple(others)})}
    )


def _moments(entry: CaseEntry, channel: Intensity) -> tuple[float, float]:
    array = formats.read(entry.image).array
    stored = array if array.ndim == 3 else array[channel.source]
    settled = settle(channel, stored)
    return moments(stored, settled.clip_low, settled.clip_high)


def _normalising(channel: Intensity, of_cases: Sequence[tuple[float, float]]) -> Intensity:
    means, deviations = (np.array(column) for column in zip(*of_cases, strict=True))
    mean = float(means.mean())
    deviation = float(np.sqrt((deviations**2 + (means - mean) ** 2).mean()))
    return channel.model_copy(
        update={"shift": round(mean, 4), "scale": round(deviation, 4) or 1.0, "statistics": "none"}
    )
