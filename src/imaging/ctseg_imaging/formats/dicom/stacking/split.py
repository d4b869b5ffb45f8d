"""From the slices of one SeriesInstanceUID to its volumes: slices that differ are separated, and nothing is
merged silently. Three kinds of attributes (`stacking.traits`): identity and technique separate (technique not
where it only numbers the slices of a stack); acquisition and the like where their slices overlap along the
normal; times and instance numbers only where slices lie at one position.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np

from ctseg_imaging.formats.dicom.places import along_normal, collides, is_even, overlap, places_of
from ctseg_imaging.formats.dicom.stacking.slices import Slice
from ctseg_imaging.formats.dicom.stacking.traits import (
    ALWAYS,
    AT_ONE_POSITION,
    IDENTITY,
    OVERLAPPING,
    Trait,
    Value,
)
from ctseg_imaging.geometry import Float

ALIKE = 1e-3  # of a direction cosine
SAME_SPACING = 1e-4  # relative
GRID = ("size", "orientation", "pixel spacing", "localiser")  # what `_grid` adds to the traits
_FIXED = tuple(trait.name for trait in (*IDENTITY, *ALWAYS))
SHOWN = (*_FIXED[:4], *GRID, *_FIXED[4:])  # in the order in which they are shown
TECHNICAL = ("series number", "temporal position", "echo", "stack", "b-value", "kernel", "tube voltage")
STRICT = tuple(name for name in SHOWN if name not in TECHNICAL)  # these separate even a single slice

K = TypeVar("K")
PATIENT, TRIGGER_TIME = "patient", "trigger time"
IN_TIME = (TRIGGER_TIME, "acquisition time", "content time", "instance number")  # traits whose order counts


@dataclass(frozen=True, eq=False)
class SeriesPart:
    """Slices that belong together.

    apart : what distinguishes them from the other parts, by the trait's name.
    """

    slices: tuple[Slice, ...]
    apart: Mapping[str, Value]


def split(slices: Sequence[Slice]) -> list[SeriesPart]:
    """The parts in the order of the values that distinguish them; one part, without such values, where all
    slices belong together.
    """
    known = [{**one.traits, **grid} for one, grid in zip(slices, _grid(slices), strict=True)]
    traits_of = dict(zip(map(id, slices), known, strict=True))
    strict = [name for name in STRICT if _differs(name, slices, known)]
    groups = list(
        _by_key(slices, lambda one: tuple(traits_of[id(one)].get(name) for name in strict)).values()
    )
    used = set(strict)
    for name in sorted(TECHNICAL, key=lambda name: len({traits.get(name) for traits in known})):
        if _differs(name, slices, known):
            finer = [part for group in groups for part in _by_technique(group, name)]
            if len(finer) > len(groups):
                used.add(name)
            groups = finer
    names = [name for name in SHOWN if name in used]
    parts = [
        SeriesPart(tuple(group), {name: _common(group, name, traits_of) for name in names})
        for group in groups
    ]
    return [finer for part in _sorted(parts) for finer in _finer(part)]


def _by_key(slices: Sequence[Slice], key: Callable[[Slice], K]) -> dict[K, list[Slice]]:
    groups: dict[K, list[Slice]] = {}
    for one in slices:
        groups.setdefault(key(one), []).append(one)
    return groups


def _common(slices: Sequence[Slice], name: str, traits_of: Mapping[int, Mapping[str, Value]]) -> Value:
    """The one value that the slices share; None where they have several."""
    found = {traits_of[id(one)].get(name) for one in slices}
    return found.pop() if len(found) == 1 else None


def _by_technique(slices: Sequence[Slice], name: str) -> list[list[Slice]]:
    """The slices by the value of a technical attribute; all together where it only numbers them."""
    groups = list(_by_key(slices, lambda one: one.traits.get(name)).values())
    return groups if len(groups) > 1 and _makes_stacks(slices, groups) else [list(slices)]


def _makes_stacks(slices: Sequence[Slice], groups: Sequence[Sequence[Slice]]) -> bool:
    """Whether the groups are volumes of their own.

    They are not where slices at distinct positions mostly have a value each, or where an even stack would
    fall into single slices or stacks with gaps.
    """
    if len(slices) < 3 or along_normal(slices) is None:
        return True
    if collides(slices):
        return len(places_of(slices)) == 1 or sum(len(group) == 1 for group in groups) * 2 <= len(groups)
    if len(groups) > len(slices) // 2:
        return False
    return not is_even(slices) or all(len(group) > 1 and is_even(group) for group in groups)


def _grid(slices: Sequence[Slice]) -> list[dict[str, Value]]:
    """Size, orientation and pixel spacing as texts that are equal where they are equal within tolerance;
    whether it is a localiser.
    """
    directions: list[Float] = []
    spacings: list[Float] = []
    found = []
    for one in slices:
        traits: dict[str, Value] = {
            "size": f"{one.shape[1]} x {one.shape[0]}",
            "localiser": "localiser" if one.is_localiser else "image",
        }
        if one.along_row is not None and one.along_column is not None:
            both = np.concatenate([one.along_row, one.along_column])
            traits["orientation"] = _kind(both, directions, ALIKE, 0) + 1
        if one.spacing_mm is not None:
            k = _kind(np.array(one.spacing_mm), spacings, 0, SAME_SPACING)
            traits["pixel spacing"] = " x ".join(f"{step:g}" for step in spacings[k])
        found.append(traits)
    return found


def _kind(value: Float, known: list[Float], atol: float, rtol: float) -> int:
    """The number of the known value that is like `value`, which is added where there is none."""
    for k, other in enumerate(known):
        if (np.abs(value - other) <= atol + rtol * np.abs(other)).all():
            return k
    known.append(value)
    return len(known) - 1


def _differs(name: str, slices: Sequence[Slice], known: Sequence[Mapping[str, Value]]) -> bool:
    """Whether an attribute separates.

    Where only some slices give it, and only one value, it does if slices lie at one position and it separates
    those; that of the patient always does.
    """
    given = {traits.get(name) for traits in known}
    if len(given - {None}) > 1:
        return True
    if len(given) == 1 or name in GRID:
        return False
    with_it, without = (
        [one for one, traits in zip(slices, known, strict=True) if (name in traits) is there]
        for there in (True, False)
    )
    return name == PATIENT or (collides(slices) and not collides(with_it) and not collides(without))


def _sorted(parts: list[SeriesPart]) -> list[SeriesPart]:
    """By the values that distinguish them, numbers as numbers; values that may identify the patient in the
    order in which they were met.
    """
    private = {trait.name for trait in IDENTITY if trait.private}

    def key(part: SeriesPart) -> tuple[tuple[bool, float, str], ...]:
        return tuple(
            (
                isinstance(value, str),
                float(value) if isinstance(value, (int, float)) else 0.0,
                str(value or ""),
            )
            for name, value in part.apart.items()
            if name not in private
        )

    return sorted(parts, key=key)


def _finer(part: SeriesPart) -> Iterator[SeriesPart]:
    """A part of one technique, divided where acquisitions overlap, or slices lie at one position and an
    attribute separates them.
    """
    for trait in OVERLAPPING:
        groups = _by_value(part.slices, trait)
        members = list(groups.values())
        if (
            len(groups) > 1
            and all(len(one) > 1 for one in members)
            and overlap(members)
            and _makes_stacks(part.slices, members)
        ):
            yield from _divided(part, trait.name, groups)
            return
    if not collides(part.slices):
        if not is_even(part.slices):
            for trait in (*OVERLAPPING, *AT_ONE_POSITION):
                groups = _by_value(part.slices, trait)
                if len(groups) > 1 and all(len(one) > 2 and is_even(one) for one in groups.values()):
                    yield from _divided(part, trait.name, groups)
                    return
        yield part
        return
    separated = _separated(part.slices)
    if separated is None:
        yield part
    else:
        yield from _divided(part, separated[0], separated[1])


def _divided(part: SeriesPart, name: str, groups: Mapping[Value, Sequence[Slice]]) -> Iterator[SeriesPart]:
    for finer in _sorted(
        [SeriesPart(tuple(members), {**part.apart, name: value}) for value, members in groups.items()]
    ):
        yield from _finer(finer)


def _by_value(slices: Sequence[Slice], trait: Trait) -> dict[Value, list[Slice]]:
    return _by_key(slices, lambda one: one.traits.get(trait.name))


def _separated(slices: Sequence[Slice]) -> tuple[str, dict[Value, list[Slice]]] | None:
    """The attribute that separates slices at one position, and the groups without such slices; None where
    there is none.

    First by equal values, as many as slices lie at one position; then by the order of the values at each
    position, where these form blocks (one scan after the other) or are trigger times; then by any values that
    leave at least two slices in each group; last by values that every position has equally often, where it
    takes several attributes.
    """
    places = places_of(slices)
    most = max(len(group) for group in places)
    candidates = (*OVERLAPPING, *AT_ONE_POSITION)
    for trait in candidates:
        groups = _by_value(slices, trait)
        if (
            len(groups) == most
            and not any(map(collides, groups.values()))
            and _enough(trait.name, groups, len(places))
        ):
            return trait.name, groups
    for name in IN_TIME:
        ranked = _by_rank(places, name)
        if ranked is not None:
            return "phase" if name == TRIGGER_TIME else name, ranked
    for trait in candidates:
        groups = _by_value(slices, trait)
        if len(groups) > 1 and all(len(one) > 1 and not collides(one) for one in groups.values()):
            return trait.name, groups
    for trait in candidates if len(places) > 1 else ():
        counts = [Counter(one.traits.get(trait.name) for one in group) for group in places]
        if len(counts[0]) > 1 and all(count == counts[0] for count in counts):
            return trait.name, _by_value(slices, trait)
    return None


def _enough(name: str, groups: Mapping[Value, Sequence[Slice]], places: int) -> bool:
    """Whether no group is a stray slice: each has two slices at least, or there is only one position.

    Instance numbers differ in any case, so they do not separate a single position.
    """
    return (places == 1 and name != "instance number") or all(len(members) > 1 for members in groups.values())


def _by_rank(places: Sequence[Sequence[Slice]], name: str) -> dict[Value, list[Slice]] | None:
    """Groups by the order of a value at each position; None unless every position has as many different
    values, and all values of a group lie before those of the next. Trigger times may overlap: they vary with
    the heart rate.
    """

    def value(one: Slice) -> tuple[float, str]:
        found = one.traits.get(name)
        return (found, "") if isinstance(found, float) else (0.0, str(found or ""))

    counts = {len({value(one) for one in group}) for group in places} | {len(group) for group in places}
    if (
        len(places) < 2
        or len(counts) != 1
        or any(one.traits.get(name) is None for group in places for one in group)
    ):
        return None
    ordered = [sorted(group, key=value) for group in places]
    groups: dict[Value, list[Slice]] = {
        rank + 1: [group[rank] for group in ordered] for rank in range(len(places[0]))
    }
    extents = [sorted(map(value, members)) for members in groups.values()]
    in_blocks = all(before[-1] < after[0] for before, after in pairwise(extents))
    return groups if in_blocks or name == TRIGGER_TIME else None
