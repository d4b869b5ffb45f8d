"""Positions of slices along their normal: whether they coincide, are even, or overlap."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ctseg_imaging.formats.dicom.stacking.lattice import is_rounded
from ctseg_imaging.formats.dicom.stacking.slices import Slice
from ctseg_imaging.geometry import Float

ONE_PLACE = 0.02  # of a pixel: nearer slices lie at one position
EVEN = 0.02  # of a slice step


def along_normal(slices: Sequence[Slice]) -> Float | None:
    """(n,) mm of each slice along the normal of the first; None where a slice has no position."""
    first = slices[0]
    if (
        first.along_row is None
        or first.along_column is None
        or any(one.position_lps_mm is None for one in slices)
    ):
        return None
    places: Float = np.array([one.position_lps_mm for one in slices]) @ np.cross(
        first.along_row, first.along_column
    )
    return places


def places_of(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Slices by position along the normal, copies of one instance once; one group each where there is no
    position.
    """
    unique = _instances(slices)
    along = along_normal(unique)
    if along is None:
        return [[one] for one in unique]
    near = ONE_PLACE * min(unique[0].spacing_mm or (1.0,))
    order = np.argsort(along, kind="stable")
    groups: list[list[Slice]] = []
    for before, k in zip([None, *order[:-1]], order, strict=True):
        if before is not None and along[k] - along[before] <= near:
            groups[-1].append(unique[k])
        else:
            groups.append([unique[k]])
    return groups


def _instances(slices: Sequence[Slice]) -> list[Slice]:
    """Copies of one instance once.

    Where one SOPInstanceUID is found at several positions it names nothing, and all count.
    """
    unique = {(one.instance_uid or str(one.path), one.frame): one for one in slices}
    places = {
        (*key, None if one.position_lps_mm is None else tuple(one.position_lps_mm))
        for one in slices
        for key in [(one.instance_uid or str(one.path), one.frame)]
    }
    return list(unique.values()) if len(places) == len(unique) else list(slices)


def collides(slices: Sequence[Slice]) -> bool:
    """Whether different instances lie at one position."""
    return any(len(group) > 1 for group in places_of(slices))


def is_even(slices: Sequence[Slice]) -> bool:
    """Whether the positions are evenly spaced, copies and rounding aside; one or two always are."""
    once = [group[0] for group in places_of(slices)]
    along = along_normal(once)
    if along is None or len(along) < 3:
        return True
    steps = np.diff(np.sort(along))
    if (np.abs(steps - np.median(steps)) <= EVEN * np.median(steps)).all():
        return True
    row, column = once[0].along_row, once[0].along_column
    assert row is not None and column is not None  # there are places along the normal
    return is_rounded(np.array([one.position_lps_mm for one in once]), np.cross(row, column))


def overlap(groups: Sequence[Sequence[Slice]]) -> bool:
    """Whether groups interleave or overlap along the normal instead of following each other."""
    extents = []
    for members in groups:
        along = along_normal(members)
        if along is None:
            return False
        extents.append((float(along.min()), float(along.max())))
    extents.sort()
    near = ONE_PLACE * min(groups[0][0].spacing_mm or (1.0,))
    return any(after[0] <= before[1] - near for before, after in pairwise(extents))
