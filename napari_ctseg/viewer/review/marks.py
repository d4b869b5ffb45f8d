"""The review marks of a mask: values only, and their JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from ctseg_imaging.volume import slice_index, slice_number


class Mark(StrEnum):
    """What a reader says of a slice or a class."""

    REVIEWED = "reviewed"
    NEEDS_WORK = "needs work"


@dataclass(frozen=True)
class Marks:
    """slices : by the index of an axial slice of the shown array, from 0 at the feet. classes : by value."""

    slices: Mapping[int, Mark] = field(default_factory=dict)
    classes: Mapping[int, Mark] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.slices or self.classes)

    def with_slice(self, index: int, mark: Mark | None) -> Marks:
        """The same with another mark of one slice, None for none."""
        return replace(self, slices=_with(self.slices, index, mark))

    def with_class(self, value: int, mark: Mark | None) -> Marks:
        """The same with another mark of one class, None for none."""
        return replace(self, classes=_with(self.classes, value, mark))

    def after_edit(self, slices: Collection[int], classes: Collection[int]) -> Marks:
        """What an edit of these slices and classes leaves: they are reviewed no longer."""
        return Marks(_edited(self.slices, slices), _edited(self.classes, classes))

    def as_json(self) -> dict[str, dict[str, list[int]]]:
        """Plain JSON; slices are numbered from 1 at the feet, as they are shown."""
        numbers = {slice_number(index): mark for index, mark in self.slices.items()}
        return {"slices": _by_mark(numbers), "classes": _by_mark(self.classes)}

    @classmethod
    def from_json(cls, entries: Any) -> Marks:
        """The inverse of `as_json`. Raises ValueError for anything else."""
        try:
            slices, classes = _by_key(entries["slices"]), _by_key(entries["classes"])
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError("These are no review marks.") from error
        return cls({slice_index(number): mark for number, mark in slices.items()}, classes)


def _with(marks: Mapping[int, Mark], key: int, mark: Mark | None) -> dict[int, Mark]:
    others = {one: other for one, other in marks.items() if one != key}
    return others if mark is None else {**others, key: mark}


def _edited(marks: Mapping[int, Mark], keys: Collection[int]) -> dict[int, Mark]:
    return {key: mark for key, mark in marks.items() if key not in keys or mark is not Mark.REVIEWED}


def _by_mark(marks: Mapping[int, Mark]) -> dict[str, list[int]]:
    return {str(mark): sorted(key for key, one in marks.items() if one is mark) for mark in Mark}


def _by_key(entries: Mapping[str, list[Any]]) -> dict[int, Mark]:
    return {int(key): Mark(mark) for mark, keys in entries.items() for key in keys}
