"""Volumes and label maps: an array with its geometry and the metadata of its source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.on_grid import OnGrid

# Okabe & Ito 2008, then Tol's bright scheme: distinct to colour-blind readers, and none is the grey of a CT.
PALETTE = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#D55E00",
    "#CC79A7",
    "#0072B2",
    "#AA3377",
    "#66CCEE",
    "#CCBB44",
    "#EE6677",
    "#228833",
    "#4477AA",
    "#BBCC33",
    "#EE8866",
    "#99DDFF",
)


def slice_number(index: int) -> int:
    """The number that is shown for slice `index` of an array: arrays count from 0, people from 1."""
    return index + 1


def slice_index(number: int) -> int:
    """The index in the array of the slice that is shown as `number`; inverse of `slice_number`."""
    return number - 1


@dataclass(frozen=True)
class Window:
    """A display window: `width` and `level` (centre) in the units of the volume, HU for CT."""

    name: str
    width: float
    level: float

    @property
    def limits(self) -> tuple[float, float]:
        """(low, high): level -+ width / 2."""
        return self.level - self.width / 2, self.level + self.width / 2


@dataclass(frozen=True, eq=False, repr=False)
class Volume(OnGrid):
    """An image with its geometry.

    array : (z, y, x) or (c, z, y, x), as stored (int16 stays int16) but in real units (HU for CT). geometry :
    of (z, y, x). header : the source's header, opaque; writing the same format uses it to reproduce the file
    to the bit. source : the file or folder. modality : "CT", "MR", "PT" or "" when unknown. windows : the
    file's own display windows. notes : remarks of the reader, one sentence each, which never identify the
    patient.
    """

    array: NDArray[Any]
    geometry: Geometry
    header: Any = None
    source: Path | None = None
    modality: str = ""
    windows: tuple[Window, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.array.shape[-3:] != self.geometry.shape or self.array.ndim not in (3, 4):
            raise GeometryError(
                f"The array is {self.array.shape} and the grid {self.geometry.shape}; they must agree in (z, "
                "y, x)."
            )

    @property
    def channels(self) -> int:
        """How many channels the array has."""
        return 1 if self.array.ndim == 3 else int(self.array.shape[0])

    @classmethod
    def from_sitk(cls, image: Any) -> Volume:
        """A volume with a copy of the voxels of a SimpleITK.Image; its geometry is kept to the bit.

        image : 3D with one number a voxel, giving (z, y, x); several numbers a voxel, or 4D, give (c, z, y,
        x). Its metadata are left out. Raises FormatError for other images, GeometryError if the axes are not
        at right angles.
        """
        from ctseg_imaging.formats.itk.images import volume_of

        return volume_of(image)

    @classmethod
    def from_nibabel(cls, image: Any) -> Volume:
        """A volume with a copy of the voxels of a nibabel image, scaled as `read` scales those of its file.

        image : 3D (x, y, z), giving (z, y, x), or 4D (x, y, z, c), giving (c, z, y, x). RAS becomes LPS; the
        header of a NIfTI image is kept for writing. Raises FormatError for other images, GeometryError if the
        axes are not at right angles or have no length.
        """
        from ctseg_imaging.formats.nifti.images import volume_of

        return volume_of(image)

    def _details(self) -> str:
        return f", modality={self.modality!r}" if self.modality else ""


@dataclass(frozen=True, eq=False, repr=False)
class ViewOnlyVolume(Volume):
    """A volume that shows slices only approximately at their positions, because they do not form a regular
    grid. It must not be measured, segmented, corrected or written; `exact` refuses it. why : a sentence about
    what is wrong with the series.
    """

    why: str = ""


def exact(volume: Volume, what: str) -> Volume:
    """`volume` itself.

    what : the refused operation, such as "be exported". Raises GeometryError for a ViewOnlyVolume.
    """
    if isinstance(volume, ViewOnlyVolume):
        raise GeometryError(
            f"{volume.source}: is open for viewing only and cannot {what}, because its voxels are not where "
            "the scanner measured them."
        )
    return volume


def made_up_name(value: int) -> str:
    """The name of a label that has none."""
    return f"label {value}"


@dataclass(frozen=True)
class Label:
    """One value of a label map.

    contoured : False if the case was never annotated for it, so its absence has no meaning. named : False if
    no file names the value and `name` is generated. tags : coded meaning as in a .seg.nrrd
    ("TerminologyEntry:..."), "" where the source has none.
    """

    value: int
    name: str
    colour: str = ""
    contoured: bool = True
    named: bool = True
    tags: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True)
class Labels:
    """The foreground labels of a map, ordered by value; background is 0 and not listed."""

    entries: tuple[Label, ...] = ()

    def __post_init__(self) -> None:
        ordered = sorted(self.entries, key=lambda label: label.value)
        coloured = tuple(
            label if label.colour else replace(label, colour=PALETTE[(label.value - 1) % len(PALETTE)])
            for label in ordered
        )
        if len({label.value for label in coloured}) != len(coloured):
            raise ValueError("Two labels share a value; give each its own.")
        object.__setattr__(self, "entries", coloured)

    @classmethod
    def from_names(cls, names: Mapping[int, str]) -> Labels:
        """From {value: name}; 0 is taken as background and left out."""
        return cls(tuple(Label(int(value), name) for value, name in names.items() if int(value) != 0))

    @classmethod
    def from_values(cls, array: ArrayLike) -> Labels:
        """Generated names ("label 3") for the values that occur in `array`."""
        return cls(
            tuple(
                Label(int(value), made_up_name(int(value)), named=False)
                for value in np.unique(array)
                if value != 0
            )
        )

    def __iter__(self) -> Iterator[Label]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def values(self) -> tuple[int, ...]:
        """The values, ascending."""
        return tuple(label.value for label in self.entries)

    def name(self, value: int) -> str:
        """The name of `value`, or "label VALUE" when it is not listed."""
        return next((label.name for label in self.entries if label.value == value), made_up_name(value))

    def merged(self, other: Labels) -> Labels:
        """All values of both; the entry of `self` where both have one, unless only `other` has a real name
        for it.
        """
        both = {label.value: label for label in other}
        both |= {
            label.value: label for label in self if label.named or not both.get(label.value, label).named
        }
        return Labels(tuple(both.values()))

    def colour(self, value: int) -> str:
        """The colour of `value` as #RRGGBB."""
        return next(
            (label.colour for label in self.entries if label.value == value),
            PALETTE[(value - 1) % len(PALETTE)],
        )

    def contoured_only(self, names: Iterator[str] | tuple[str, ...] | list[str]) -> Labels:
        """The same labels with `contoured` true for exactly `names`."""
        present = set(names)
        return Labels(tuple(replace(label, contoured=label.name in present) for label in self.entries))


@dataclass(frozen=True, eq=False, repr=False)
class LabelMap(OnGrid):
    """A volume of integer labels and their names.

    array : (z, y, x), uint8 where the values fit, else uint16 or int32.
    """

    array: NDArray[Any]
    geometry: Geometry
    labels: Labels = field(default_factory=Labels)
    header: Any = None
    source: Path | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise GeometryError(
                f"The labels are {self.array.shape} and the grid {self.geometry.shape}; they must agree."
            )
        if self.array.dtype.kind not in "iu":
            raise ValueError(f"Labels are integers, not {self.array.dtype}; round and convert them first.")

    @classmethod
    def from_volume(cls, volume: Volume, names: Mapping[int, str] | None = None) -> LabelMap:
        """The label map whose values are those of `volume`, (z, y, x), whole numbers of any type from 0 on.

        names : {value: name}; by default "label VALUE". Raises FormatError if the values are not labels:
        negative, between whole numbers, or too large for int32; GeometryError for a view-only volume.
        """
        from ctseg_imaging.formats.label_maps import to_label_map

        exact(volume, "become a label map")
        return to_label_map(volume, volume.source or Path("The volume"), names)

    def _details(self) -> str:
        return f", labels={len(self.labels)}"
