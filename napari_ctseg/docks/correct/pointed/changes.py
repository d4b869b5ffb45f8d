"""What a mask becomes by an operation on one of its parts: arrays in, an array out."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.editing import component_at, components_by_size
from ctseg_imaging.errors import CtsegError
from ctseg_imaging.volume import Label, Labels
from napari_ctseg.docks.correct.classes import free_value
from napari_ctseg.docks.correct.pointed.pointer import Pointed

Array = NDArray[Any]


class Extent(StrEnum):
    """How much of a class is accepted."""

    COMPONENT = "component"
    SLICE = "slice"
    CLASS = "class"


def accepted(
    mask: Array, other: Array, values: tuple[int, int], extent: Extent, pointed: Pointed
) -> NDArray[Any]:
    """The mask with one class as in another map: gained voxels are taken from every class, lost ones become
    background.

    mask, other : (z, y, x). values : of the class in the mask and in the other. A component is what is
    connected to the pointed voxel in either of the two.
    """
    mine, theirs = mask == values[0], other == values[1]
    match extent:
        case Extent.COMPONENT:
            within = component_at(mine | theirs, pointed.voxel)
        case Extent.SLICE:
            within = np.zeros(mask.shape, bool)
            np.moveaxis(within, pointed.axis, 0)[pointed.voxel[pointed.axis]] = True
        case Extent.CLASS:
            within = np.ones(mask.shape, bool)
    after = mask.copy()
    after[within & mine & ~theirs] = 0
    after[within & theirs] = values[0]
    return after


def component_changed(mask: Array, pointed: Pointed, value: int) -> NDArray[Any]:
    """The mask with `value` in place of the component at the pointed voxel; 0 deletes it."""
    after = mask.copy()
    after[component_at(mask == mask[pointed.voxel], pointed.voxel)] = value
    return after


def merged(mask: Array, value: int, into: int) -> NDArray[Any]:
    """The mask with `into` in place of `value`."""
    after = mask.copy()
    after[mask == value] = into
    return after


def split(mask: Array, value: int, labels: Labels) -> tuple[NDArray[Any], Labels]:
    """The mask with a class for each component of `value`, and the classes: the largest component keeps the
    value, the others get free ones, and "liver 2", "liver 3" as names.

    labels : the classes of the mask. Raises CtsegError for a single component, and if there are too few free
    values.
    """
    parts, count = components_by_size(mask == value)
    name = labels.name(value)
    if count < 2:
        raise CtsegError(f"{name} is one component; there is nothing to split.")
    highest = int(np.iinfo(mask.dtype).max)
    taken = {0, *labels.values, *np.unique(mask).tolist()}
    if count - 1 > highest + 1 - len(taken):
        raise CtsegError(
            f"{name} has {count} components, more than the mask has free values "
            f"({highest + 1 - len(taken)}); drop islands first."
        )
    names, values, number = {label.name for label in labels}, [0, value], 1
    for _ in range(count - 1):
        found = free_value(taken, highest)
        assert found is not None, "they were counted"
        number = next(n for n in range(number + 1, highest + number + 1) if f"{name} {n}" not in names)
        labels = Labels((*labels, Label(found, f"{name} {number}")))
        values.append(found)
        taken.add(found)
    after = mask.copy()
    after[parts > 0] = np.array(values, mask.dtype)[parts[parts > 0]]
    return after, labels
