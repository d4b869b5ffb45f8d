"""Which two layers are compared, as long as the user has not chosen otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from napari_ctseg.viewer.study import Study


def suggested_pair(
    layers: Sequence[str],
    chosen: Mapping[str, str],
    study: Study,
    compared: tuple[str | None, str | None],
) -> tuple[str | None, str | None]:
    """(prediction, truth) by name: the user's choice, the study's roles, what was compared, the newest layer.

    layers : label maps, oldest first. chosen : by the user, under "prediction" and "truth". compared : as
    returned before.
    """
    ours = (chosen.get("prediction"), study.prediction, study.edited, compared[0])
    guesses = [name for name in layers if name not in ours] or list(layers)
    theirs = (chosen.get("truth"), study.truth, compared[1])
    truth = _first(theirs, layers, guesses if len(layers) > 1 else [])
    others = [name for name in layers if name != truth]
    return _first(ours, others, others), truth


def _first(wanted: Sequence[str | None], layers: Sequence[str], guesses: Sequence[str]) -> str | None:
    """The first of `wanted` that is among `layers`, else the newest of `guesses`."""
    return next((name for name in wanted if name in layers), guesses[-1] if guesses else None)
