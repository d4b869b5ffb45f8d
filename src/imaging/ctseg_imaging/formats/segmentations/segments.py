"""The segments of a file, and label maps in which no segment hides another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.choice import Choice, pick
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Label, LabelMap, Labels, made_up_name

MERGED = "merged"  # the choice of all segments in one map, smaller ones over larger ones
SliceBox = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Segment:
    """One structure.

    mask : bool (z, y, x) inside `box` of the grid; box None where the structure has no voxel. colour :
    #RRGGBB or "". tags : coded meaning, as in `Label`.
    """

    value: int
    name: str
    colour: str
    box: SliceBox | None
    mask: NDArray[np.bool_]
    tags: str = ""


@dataclass(frozen=True, eq=False)
class Segmentation:
    """The segments of a file on one grid. notes : remarks of the reader."""

    path: Path
    geometry: Geometry
    segments: tuple[Segment, ...]
    notes: tuple[str, ...] = ()

    def choices(self) -> list[Choice]:
        """One choice per layer; a single one where no segment overlaps another."""
        planes = self.geometry.shape[0]
        return [
            Choice(k + 1, "", f"layer {k + 1} with {_listed(layer)}", planes)
            for k, layer in enumerate(self._layers())
        ]

    def label_map(self, wanted: int | str | None = None) -> LabelMap:
        """wanted : the number of a layer, the name of a segment, "merged" for all of them with smaller
        segments over larger ones, or None where no segments overlap. Raises ChoiceNeeded with the layers
        listed, FormatError for an unknown one.
        """
        notes = list(self.notes)
        if str(wanted).lower() == MERGED:
            chosen = list(self.segments)
        elif named := [
            one for one in self.segments if wanted is not None and one.name.lower() == str(wanted).lower()
        ]:
            chosen = named
        else:
            layers = self._layers()
            chosen = layers[
                pick(self.path, self.choices(), wanted, "layer", "layers of overlapping segments") - 1
            ]
        return self._painted(_with_own_values(chosen, notes), notes)

    def _layers(self) -> list[list[Segment]]:
        """Segments in file order, each in the first layer where it overlaps none; at least one layer."""
        layers: list[list[Segment]] = [[]]
        taken: list[NDArray[np.bool_]] = [np.zeros(self.geometry.shape, bool)]
        for segment in self.segments:
            free = (
                k
                for k, plane in enumerate(taken)
                if segment.box is None or not (plane[segment.box] & segment.mask).any()
            )
            k = next(free, len(layers))
            if k == len(layers):
                layers.append([])
                taken.append(np.zeros(self.geometry.shape, bool))
            layers[k].append(segment)
            if segment.box is not None:
                taken[k][segment.box] |= segment.mask
        return layers

    def _painted(self, segments: Sequence[Segment], notes: list[str]) -> LabelMap:
        top = max((segment.value for segment in segments), default=0)
        array = np.zeros(
            self.geometry.shape, np.uint8 if top <= 255 else np.uint16 if top <= 65535 else np.int32
        )
        hidden = 0
        for segment in sorted(segments, key=lambda one: -int(np.count_nonzero(one.mask))):
            if segment.box is not None:
                region = array[segment.box]
                hidden += int(np.count_nonzero(region[segment.mask]))
                region[segment.mask] = segment.value
        if hidden:
            notes.append(f"Segments overlap: {hidden} voxels belong to the smaller one of two only.")
        labels = Labels(tuple(_label(segment) for segment in segments))
        return LabelMap(array, self.geometry, labels, None, self.path, tuple(notes))


def segment_of(value: int, name: str, colour: str, mask: NDArray[np.bool_], tags: str = "") -> Segment:
    """A segment from a mask of the whole grid, cut to its box."""
    spans = []
    for axis in range(3):
        found = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not found.size:
            return Segment(value, name, colour, None, np.zeros((0, 0, 0), bool), tags)
        spans.append(slice(int(found[0]), int(found[-1]) + 1))
    box = (spans[0], spans[1], spans[2])
    return Segment(value, name, colour, box, mask[box].copy(), tags)


def colour_of(red: float, green: float, blue: float) -> str:
    """#RRGGBB from shares of 1, clipped."""
    return "#" + "".join(f"{round(255 * min(max(share, 0.0), 1.0)):02X}" for share in (red, green, blue))


def rgb_of(colour: str) -> tuple[int, int, int]:
    """(red, green, blue) 0..255 from #RRGGBB. Raises ValueError."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def refuse_empty(path: Path, segments: Sequence[Segment]) -> None:
    """Raise FormatError where a file lists no segment at all."""
    if not segments:
        raise FormatError(f"{path}: lists no segments; export the segmentation again.")


def _label(segment: Segment) -> Label:
    return Label(
        segment.value,
        segment.name,
        segment.colour,
        named=segment.name != made_up_name(segment.value),
        tags=segment.tags,
    )


def _with_own_values(segments: Sequence[Segment], notes: list[str]) -> list[Segment]:
    """The segments with distinct values: the file's if they are distinct, else 1, 2, 3 ... in file order."""
    values = [segment.value for segment in segments]
    if len(set(values)) == len(values) and all(0 < value < 1 << 31 for value in values):
        return list(segments)
    notes.append("Segments share a value in the file; they were numbered 1, 2, 3 ... in its order.")
    return [replace(segment, value=k + 1) for k, segment in enumerate(segments)]


def _listed(segments: Sequence[Segment]) -> str:
    names = [segment.name for segment in segments]
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
