"""Several members' class maps to one label map by their mean, a vote or STAPLE.

A few slices and one class are in memory at a time.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctseg_imaging.errors import BundleError
from ctseg_models.ensembles.staple import Opinions, codes_of, most_members, staple
from ctseg_models.inference.inference_settings import Disagreement
from ctseg_models.inference.labels.class_maps import ClassMaps, Target
from ctseg_models.inference.labels.confidence import Tally, VoxelSample, sampled
from ctseg_models.inference.labels.disagreement import Entropy, share_that_differs
from ctseg_models.inference.labels.paint import SLICES_PER_STEP
from ctseg_models.inference.labels.point_sampler import PointSampler
from ctseg_models.inference.labels.sampler import ClassMapSampler

Combine = Literal["mean", "vote", "staple"]
OPINIONS_SHARE = 0.7  # of the work of STAPLE; the rest is writing the labels


@dataclass(frozen=True, eq=False)
class Panel:
    """The members over one target.

    weights : above 0, of each. A label that a member does not know is decided by the others.
    """

    members: Sequence[ClassMapSampler]
    weights: Sequence[float]
    points: Sequence[PointSampler]

    @classmethod
    def of(cls, maps: Sequence[ClassMaps], weights: Sequence[float], target: Target) -> Panel:
        """From each member's maps."""
        return cls(
            [ClassMapSampler(one, target) for one in maps],
            weights,
            [PointSampler(one, target) for one in maps],
        )

    @property
    def values(self) -> tuple[int, ...]:
        """Every label value that a member knows, ascending, 0 first."""
        return tuple(sorted({value for member in self.members for value in member.values}))

    @property
    def known(self) -> list[frozenset[int]]:
        """The values of each member."""
        return [frozenset(member.values) for member in self.members]

    def slab(self, value: int, a: int, b: int) -> Tensor | None:
        """(b - a, y, x) float32: the weighted mean probability of `value` over the members that know it; else
        None.
        """
        found = [
            (weight, chance)
            for weight, member in zip(self.weights, self.members, strict=True)
            if (chance := member.slab(value, a, b)) is not None
        ]
        if not found:
            return None
        return torch.stack([weight * chance for weight, chance in found]).sum(0) / sum(
            weight for weight, _ in found
        )

    def chances(self, sample: VoxelSample, a: int) -> Tensor:
        """(n,) float32: the weighted mean probability of each label of a sample. a : the first slice of its
        slab.
        """
        total, knowing = torch.zeros(len(sample.labels)), torch.zeros(len(sample.labels))
        for member, weight, points in zip(self.members, self.weights, self.points, strict=True):
            knows = torch.isin(sample.labels, torch.tensor(member.values))
            total += weight * knows * points.chances(sample.labels, sample.z + a, sample.y, sample.x)
            knowing += weight * knows
        return total / knowing

    def opinions(self, a: int, b: int) -> list[Tensor]:
        """Each member's labels in slices [a, b), (b - a, y, x) int32."""
        return [member.winner(a, b) for member in self.members]


@dataclass(frozen=True, eq=False)
class FusionArrays:
    """Where the result goes, (z, y, x) of the target.

    kind : what `disagreement` holds. tally : gets every slab; None: not asked for.
    """

    labels: NDArray[np.generic]
    disagreement: NDArray[np.float32]
    kind: Disagreement = "share"
    tally: Tally | None = None


def fuse(
    panel: Panel, target: Target, combine: Combine, out: FusionArrays
) -> Generator[float, None, NDArray[np.float64] | None]:
    """Write the common label of every voxel and the disagreement about it; yields shares of the work.

    "mean": the label of the largest mean probability; "vote": of the largest share of the votes of the
    members that know it; of equals the lower value. "staple" (see `staple`): returns the reliabilities
    (members, values). Raises BundleError when STAPLE has no room for so many members.
    """
    slabs = [
        (a, min(target.shape[0], a + SLICES_PER_STEP)) for a in range(0, target.shape[0], SLICES_PER_STEP)
    ]
    if combine == "staple":
        return (yield from _by_staple(panel, target, slabs, out))
    for a, b in slabs:
        if combine == "mean":
            _by_mean(panel, a, b, out)
        else:
            opinions = panel.opinions(a, b)
            _write(panel, a, b, opinions, _majority(opinions, panel), out)
        yield (b - a) / target.shape[0]
    return None


def _by_mean(panel: Panel, a: int, b: int, out: FusionArrays) -> None:
    """Every class map is resampled once: for the mean, for its entropy, and for each member's label."""
    best: list[Tensor | None] = [None] * len(panel.members)
    opinions = [torch.empty(0)] * len(panel.members)
    highest = winner = torch.empty(0)
    entropy = Entropy()
    for value in panel.values:
        total, knowing = torch.zeros(()), 0.0
        for number, (member, weight) in enumerate(zip(panel.members, panel.weights, strict=True)):
            if (chance := member.slab(value, a, b)) is None:
                continue
            total, knowing = total + weight * chance, knowing + weight
            if (so_far := best[number]) is None:  # the background, which every member has
                best[number], opinions[number] = chance, torch.zeros(chance.shape, dtype=torch.int32)
            else:
                opinions[number].masked_fill_(chance > so_far, value)
                best[number] = torch.maximum(so_far, chance)
        mean = total / knowing
        if out.kind == "entropy":
            entropy.add(mean)
        if value == 0:
            highest, winner = mean, torch.zeros(mean.shape, dtype=torch.int32)
        else:
            winner.masked_fill_(mean > highest, value)
            highest = torch.maximum(highest, mean)
    for number, member in enumerate(panel.members):
        if member.class_maps.form == "regions":  # regions cover each other, whatever is the most probable
            opinions[number] = member.winner(a, b)
    _write(panel, a, b, opinions, winner, out, highest, entropy.value() if out.kind == "entropy" else None)


def _majority(opinions: Sequence[Tensor], panel: Panel) -> Tensor:
    """(n, y, x) int32: the label with the largest share of the weights of the members that know it.

    Of equals the lower value.
    """
    winner = torch.zeros(opinions[0].shape, dtype=torch.int32)
    most = torch.zeros(winner.shape)
    for value in panel.values:
        votes, knowing = torch.zeros(winner.shape), 0.0
        for opinion, weight, known in zip(opinions, panel.weights, panel.known, strict=True):
            if value in known:
                votes.add_(opinion == value, alpha=weight)
                knowing += weight
        votes /= knowing
        winner.masked_fill_(votes > most, value)
        most = torch.maximum(most, votes)
    return winner


def _by_staple(
    panel: Panel,
    target: Target,
    slabs: Sequence[tuple[int, int]],
    out: FusionArrays,
) -> Generator[float, None, NDArray[np.float64]]:
    """Collect all opinions, count the different ones, let STAPLE decide them, write its labels."""
    values = np.array(panel.values)
    if len(panel.members) > (most := most_members(len(values))):
        raise BundleError(
            f"STAPLE has room for {most} members with {len(values)} labels, not {len(panel.members)}; leave "
            "some out."
        )
    found = np.zeros((len(panel.members), *target.shape), np.uint8 if len(values) <= 256 else np.uint16)
    counts: dict[int, int] = {}
    for a, b in slabs:
        for number, opinion in enumerate(panel.opinions(a, b)):
            found[number, a:b] = np.searchsorted(values, opinion.numpy())
        for code, count in zip(*_codes_in(found[:, a:b], len(values)), strict=True):
            counts[code] = counts.get(code, 0) + count
        yield OPINIONS_SHARE * (b - a) / target.shape[0]
    codes = np.array(sorted(counts), np.int64)
    winners, reliable = staple(
        Opinions.of(codes, np.array([counts[code] for code in codes.tolist()]), len(found), len(values)),
        len(values),
    )
    meaning = values[winners]
    for a, b in slabs:
        foreground = found[:, a:b].any(axis=0)
        labels = np.full(foreground.shape, meaning[0] if codes[0] == 0 else 0, np.int32)
        labels[foreground] = meaning[
            np.searchsorted(
                codes, codes_of([one[foreground].astype(np.int64) for one in found[:, a:b]], len(values))
            )
        ]
        opinions = [torch.from_numpy(values[one].astype(np.int32)) for one in found[:, a:b]]
        _write(panel, a, b, opinions, torch.from_numpy(labels), out)
        yield (1 - OPINIONS_SHARE) * (b - a) / target.shape[0]
    return reliable


def _codes_in(found: NDArray[np.unsignedinteger], classes: int) -> tuple[list[int], list[int]]:
    """The different codes in a slab, and how often each occurs.

    Voxels that all members call background are counted without sorting.
    """
    foreground = found.any(axis=0)
    codes, counts = np.unique(
        codes_of([one[foreground].astype(np.int64) for one in found], classes), return_counts=True
    )
    background = foreground.size - int(foreground.sum())
    all_codes, all_counts = codes.tolist(), counts.tolist()
    return ([0, *all_codes], [background, *all_counts]) if background else (all_codes, all_counts)


def _write(
    panel: Panel,
    a: int,
    b: int,
    opinions: Sequence[Tensor],
    winner: Tensor,
    out: FusionArrays,
    chance: Tensor | None = None,
    entropy: Tensor | None = None,
) -> None:
    """Write one slab of results.

    chance : the mean probability of the winner. entropy : of the mean probabilities. Both are computed where
    None.
    """
    if out.kind == "share":
        unsure = share_that_differs(opinions, winner, panel.weights, panel.known)
    elif entropy is not None:
        unsure = entropy
    else:
        unsure = _entropy(panel, a, b)
    out.labels[a:b] = winner.numpy()
    out.disagreement[a:b] = unsure.numpy()
    if out.tally is not None:
        out.tally.add(
            winner, (lambda sample: panel.chances(sample, a)) if chance is None else sampled(chance), unsure
        )


def _entropy(panel: Panel, a: int, b: int) -> Tensor:
    entropy = Entropy()
    for value in panel.values:
        if (mean := panel.slab(value, a, b)) is not None:
            entropy.add(mean)
    return entropy.value()
