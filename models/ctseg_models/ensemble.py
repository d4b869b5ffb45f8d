"""Several bundles over one volume: the mean of their probabilities or a majority vote, and where they disagree."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import Label, LabelMap, Labels, Volume
from ctseg_models.bundles.bundle import Bundle
from ctseg_models.inference.arithmetic import check_device, choose
from ctseg_models.inference.assemble import SLICES_PER_STEP, Sampler, Target
from ctseg_models.inference.lattice import Region
from ctseg_models.inference.settings import Settings
from ctseg_models.inference.threads import thread_count
from ctseg_models.inference.two_stage import label_dtype, report
from ctseg_models.inference.upright import Upright
from ctseg_models.members import boxes_of, common_target, run_members, stages_of, warnings_of
from ctseg_models.prediction import Prediction
from ctseg_models.provenance import provenance_of

Combine = Literal["mean", "vote"]


def run_ensemble(bundles: Sequence[Bundle], volume: Volume, *, combine: Combine = "mean", region: Region | None = None,
                 settings: Settings = Settings()) -> Generator[Progress, None, Prediction]:
    """Like `inference.run` for several bundles; the Prediction has a disagreement map.

    combine : "mean" of the probabilities of each label over the members that know it, then the most probable; "vote": the label most
    members say. A tie goes to the lower value. Labels are matched by value.
    Raises BundleError when two bundles give one value two names, and whatever `run` raises.
    """
    labels = _common_labels(bundles)
    begun = time.perf_counter()
    check_device(settings.device)
    upright = Upright.of(volume)
    with thread_count(settings.threads):
        arithmetic = choose(settings.precision, settings.device)
        found = yield from run_members(bundles, upright, region, settings.device, arithmetic)
        computed = time.perf_counter()
        out = np.zeros(volume.geometry.shape, label_dtype((0, *labels.values)))
        disagreement = np.zeros(volume.geometry.shape, np.float32)
        target = common_target(found, upright)
        work = combine_members([Sampler(member.maps, target) for member in found], target, combine,
                               upright.view.apply(out), upright.view.apply(disagreement))
        yield from report("assemble", work, "Bringing the labels together on the image's grid")
    times = {"networks": computed - begun, "assemble": time.perf_counter() - computed, "total": time.perf_counter() - begun}
    boxes = boxes_of(bundles, found, upright)
    return Prediction(LabelMap(out, volume.geometry, labels, source=volume.source), boxes,
                      disagreement=Volume(disagreement, volume.geometry),
                      provenance=provenance_of(bundles, volume, settings, arithmetic, stages_of(bundles, found), times,
                                               warnings_of(bundles, found, volume, settings), boxes, combine))


def combine_members(members: Sequence[Sampler], target: Target, combine: Combine, labels: NDArray[np.generic],
                    disagreement: NDArray[np.float32]) -> Generator[float, None, None]:
    """Write the common label of every target voxel, and the share of members that say something else (both views, (z, y, x)).

    Each member's own label is a running argmax; one map per member and a few slices are held.
    """
    values = tuple(sorted({value for member in members for value in member.values}))
    place = tuple(slice(a, b) for a, b in zip(target.start, target.stop, strict=True))
    out, disagrees = labels[place], disagreement[place]
    for a in range(0, target.shape[0], SLICES_PER_STEP):
        b = min(target.shape[0], a + SLICES_PER_STEP)
        opinions, mean = _slab(members, values, a, b)
        common = mean if combine == "mean" else _majority(opinions, values)
        out[a:b] = common.numpy()
        differing = torch.zeros(common.shape)
        for opinion in opinions:
            differing += opinion != common
        disagrees[a:b] = (differing / len(members)).numpy()
        yield (b - a) / target.shape[0]


def _slab(members: Sequence[Sampler], values: Sequence[int], a: int, b: int) -> tuple[list[Tensor], Tensor]:
    """Each member's label, and the label of the largest mean probability, in slices [a, b)."""
    best: list[Tensor | None] = [None] * len(members)
    opinions: list[Tensor] = []
    highest = winner = torch.empty(0)
    for value in values:
        total, knowing = None, 0
        for number, member in enumerate(members):
            chance = member.slab(value, a, b)
            if chance is None:
                continue
            knowing += 1
            total = chance.clone() if total is None else total.add_(chance)
            so_far = best[number]
            if so_far is None:  # the background, which every member has
                best[number] = chance
                opinions.append(torch.zeros(chance.shape, dtype=torch.int32))
            else:
                opinions[number].masked_fill_(chance > so_far, value)
                best[number] = torch.maximum(so_far, chance)
        assert total is not None
        mean = total / knowing
        if value == 0:
            highest, winner = mean, torch.zeros(mean.shape, dtype=torch.int32)
        else:
            winner.masked_fill_(mean > highest, value)
            highest = torch.maximum(highest, mean)
    return opinions, winner


def _majority(opinions: Sequence[Tensor], values: Sequence[int]) -> Tensor:
    """The value that most opinions hold; a tie goes to the lower value."""
    most = torch.zeros(opinions[0].shape, dtype=torch.int32)
    winner = torch.zeros_like(most)
    for value in values:
        votes = torch.zeros_like(most)
        for opinion in opinions:
            votes += opinion == value
        winner.masked_fill_(votes > most, value)
        most = torch.maximum(most, votes)
    return winner


def _common_labels(bundles: Sequence[Bundle]) -> Labels:
    if not bundles:
        raise BundleError("An ensemble needs a bundle; name one or more.")
    entries: dict[int, Label] = {}
    for bundle in bundles:
        for label in bundle.labels:
            other = entries.setdefault(label.value, label)
            if other.name.casefold() != label.name.casefold():
                raise BundleError(f"The bundles do not mean the same by label {label.value}: {other.name} and {label.name}; "
                                  "combine bundles with the same labels.")
    return Labels(tuple(entries.values()))
