"""STAPLE: the most likely labels given several members, each weighted by its estimated reliability.

A voxel's label depends on the members' labels there and on nothing else. So the expectation maximisation runs
over the table of different opinions and how often each occurs: the result is that of `SimpleITK.STAPLE` (one
label) and `SimpleITK.MultiLabelSTAPLE` (several) over all voxels, without their double-precision image of the
volume, and in milliseconds. Sources: Warfield, Zou, Wells 2004, IEEE TMI 23(7) (one label); Rohlfing,
Russakoff, Maurer 2003, IPMI (several labels).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONVERGED, CONVERGED_LABELS = (
    1e-14,
    1e-5,
)  # the largest change of a reliability; for several labels as in ITK, for one finer
MOST_STEPS = 10_000


@dataclass(frozen=True, eq=False)
class Opinions:
    """The combinations of labels that occur.

    combinations : (n, members) class indices, each row once, in the order of `codes_of`. counts : (n,) how
    many voxels have it.
    """

    combinations: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, codes: NDArray[np.int64], counts: NDArray[np.int64], members: int, classes: int) -> Opinions:
        """From ascending codes (see `codes_of`) and how often each occurs."""
        powers = classes ** np.arange(members - 1, -1, -1, dtype=np.int64)
        return cls(codes[:, None] // powers % classes, counts)


def codes_of(opinions: list[NDArray[np.int64]], classes: int) -> NDArray[np.int64]:
    """One number for the labels of all members.

    opinions : for each member, class indices 0 ... classes - 1, of any one shape.
    """
    code = np.zeros_like(opinions[0])
    for opinion in opinions:
        code = code * classes + opinion
    return code


def most_members(classes: int) -> int:
    """How many members fit into a code of 63 bits."""
    return int(62 // np.log2(classes))


def staple(opinions: Opinions, classes: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The class index of every combination, and the reliability of each member.

    Reliability is (members, classes): the share of a true class that the member finds. A combination that is
    as likely for two classes gets the lower one.
    """
    if classes == 2:
        return _binary(opinions)
    return _several(opinions, classes)


def _binary(opinions: Opinions) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Warfield et al. 2004, figure 1: sensitivity p and specificity q of every member.

    The prior is the mean share of foreground.
    """
    labels, counts = opinions.combinations.astype(np.float64), opinions.counts.astype(np.float64)
    chance = labels.mean(axis=1)
    prior = float(chance @ counts / counts.sum())
    p = q = np.zeros(labels.shape[1])
    for _ in range(MOST_STEPS):
        inside, outside = chance * counts, (1 - chance) * counts
        before = p, q
        p, q = _share(inside @ labels, inside.sum()), _share(outside @ (1 - labels), outside.sum())
        yes = prior * np.prod(np.where(labels > 0, p, 1 - p), axis=1)
        no = (1 - prior) * np.prod(np.where(labels > 0, 1 - q, q), axis=1)
        chance = np.divide(yes, yes + no, out=np.zeros_like(yes), where=yes + no > 0)
        if max(np.abs(p - before[0]).max(), np.abs(q - before[1]).max()) < CONVERGED:
            break
    return (chance > 0.5).astype(np.int64), np.stack([q, p], axis=1)


def _several(opinions: Opinions, classes: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rohlfing et al. 2003: a confusion matrix (predicted, true) of every member, starting from the majority
    vote.
    """
    labels, counts = opinions.combinations, opinions.counts.astype(np.float64)
    members = range(labels.shape[1])
    votes = (labels[:, :, None] == np.arange(classes)).sum(axis=1)
    prior = counts @ votes / (counts.sum() * labels.shape[1])
    clear = (votes == votes.max(axis=1, keepdims=True)).sum(axis=1) == 1
    weights = (votes == votes.max(axis=1, keepdims=True)) * clear[:, None].astype(np.float64)
    confusion = _confusion(labels, weights * counts[:, None], classes)
    for _ in range(MOST_STEPS):
        weights = prior * np.prod([confusion[k][labels[:, k]] for k in members], axis=0)
        total = weights.sum(axis=1, keepdims=True)
        weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
        before, confusion = confusion, _confusion(labels, weights * counts[:, None], classes)
        if np.abs(confusion - before).max() < CONVERGED_LABELS:
            break
    weights = prior * np.prod([confusion[k][labels[:, k]] for k in members], axis=0)
    return weights.argmax(axis=1), np.stack([confusion[k].diagonal() for k in members])


def _confusion(labels: NDArray[np.int64], weights: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    """(members, predicted, true): how often a member predicts one class where another is true.

    The shares of a true class add up to 1.
    """
    confusion = np.zeros((labels.shape[1], classes, classes))
    for member, predicted in enumerate(labels.T):
        np.add.at(confusion[member], predicted, weights)
    return _share(confusion, confusion.sum(axis=1, keepdims=True))


def _share(part: NDArray[np.float64], whole: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    """part / whole, 0 where whole is 0."""
    return np.divide(
        part, whole, out=np.zeros_like(part), where=np.broadcast_to(np.asarray(whole) > 0, part.shape)
    )
