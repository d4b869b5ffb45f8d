"""Checks of one case before training: whether it can be read, and its files fit each other and the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging import formats
from ctseg_imaging.errors import ChoiceNeeded, CtsegError
from ctseg_imaging.geometry import AxisView, Geometry, Match
from ctseg_imaging.volume import Volume
from ctseg_models.bundles.own.metadata import Stage
from ctseg_models.contract.lattice import ViewBox
from ctseg_models.contract.plan import Intensity
from ctseg_training.data.decathlon import CaseEntry

LOOKED_AT = 200_000  # voxels of an image that are sampled to judge its values
BYTES_PER_LABEL = 10  # as stored, as an index into a table, as a class
FLAT = 0.01  # standard deviation of a network's input below which there is almost no contrast
NOWHERE = Geometry.from_parts((1, 1, 1), (1, 1, 1))
NOTHING = ViewBox((0, 0, 0), (0, 0, 0))


@dataclass(frozen=True)
class CheckedCase:
    """The result of checking one case."""

    entry: CaseEntry
    geometry: Geometry = NOWHERE  # LPS-upright
    box: ViewBox = NOTHING  # of all labels, in mm as in `Case`
    classes: frozenset[int] = frozenset()  # indices that occur
    reading_mb: float = 0.0  # memory needed while it is read for training
    # faults and notes: one sentence each; with a fault, the rest may be missing
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check_case(entry: CaseEntry, stage: Stage, *, flat: bool) -> CheckedCase:
    """Read image and label, one after the other. flat : the network takes slices, so one slice is enough."""
    try:
        volume = formats.read(entry.image)
    except ChoiceNeeded:
        return CheckedCase(
            entry,
            faults=(
                f"{entry.image}: holds several volumes, and a case is one volume; split it into one file "
                "each.",
            ),
        )
    except CtsegError as error:
        return CheckedCase(entry, faults=(str(error),))
    faults = _image_faults(entry, volume, stage, flat)
    notes = () if faults else _image_notes(entry, volume, stage)
    geometry = volume.geometry
    reading_mb = (2 * volume.array.nbytes + BYTES_PER_LABEL * prod(geometry.shape)) / 1e6
    del volume  # before the labels come
    view = AxisView.of(geometry)
    upright = view.geometry(geometry)
    try:
        label_map = formats.read_labels(entry.label)
    except CtsegError as error:
        return CheckedCase(entry, upright, faults=(*faults, str(error)))
    if grid := _grid_fault(entry, geometry, label_map.geometry):
        return CheckedCase(entry, upright, faults=(*faults, grid))
    values = _values(label_map.array)
    faults += _label_faults(entry, values)
    known = dict(entry.classes)
    return CheckedCase(
        entry,
        upright,
        _box(view.apply(label_map.array), upright),
        frozenset(known[v] for v in values if v in known),
        reading_mb,
        faults,
        notes,
    )


def _image_faults(entry: CaseEntry, volume: Volume, stage: Stage, flat: bool) -> tuple[str, ...]:
    """Faults that make an image unusable."""
    array, faults = volume.array, []
    if (needed := 1 + max(channel.source for channel in stage.channels)) > volume.channels:
        faults.append(
            f"{entry.image}: has {volume.channels} channel{'s' * (volume.channels != 1)} and the recipe "
            f"takes {needed}; choose another recipe, or join the channels in one file."
        )
    if bad := _not_finite(array):
        faults.append(
            f"{entry.image}: has {bad} voxels that are infinite or not a number; replace them, in a CT with "
            "the value of air."
        )
    elif (low := array.min()) == (high := array.max()):
        faults.append(
            f"{entry.image}: has the value {float(low):g} everywhere; export it again, or leave the case out."
        )
    elif any(_clips_all(channel, float(low), float(high)) for channel in stage.channels):
        faults.append(
            f"{entry.image}: its values ({float(low):g} to {float(high):g}) lie outside of the recipe's "
            "data.intensity, so the network's input would be constant; correct the recipe, or the image's "
            "units."
        )
    shape = AxisView.of(volume.geometry).geometry(volume.geometry).shape
    if flat and min(shape[1:]) == 1:
        faults.append(
            f"{entry.image}: its axial slices have {shape[1]} x {shape[2]} voxels (y, x), and the recipe's "
            "network takes axial slices; leave the case out."
        )
    if not flat and min(shape) == 1:
        faults.append(
            f"{entry.image}: is a single slice ({_sizes(shape)} voxels, z, y, x), and the recipe's network "
            "is 3D; choose a recipe with a 2D network, or leave the case out."
        )
    return tuple(faults)


def _image_notes(entry: CaseEntry, volume: Volume, stage: Stage) -> tuple[str, ...]:
    """Notes on images with little contrast in the network's input, usually because the recipe is for another
    modality.
    """
    notes = []
    for channel in stage.channels:
        seen = (
            np.clip(_some(volume, channel), channel.clip_low, channel.clip_high) - channel.shift
        ) / channel.scale
        if channel.statistics == "none" and channel.clip_quantiles is None and 0 < float(np.std(seen)) < FLAT:
            notes.append(
                f"{entry.name}: data.intensity leaves it nearly without contrast (standard deviation "
                f"{np.std(seen):.2g} in the network's input); the recipe may be for another modality or unit."
            )
    return tuple(notes)


def _label_faults(entry: CaseEntry, values: Sequence[int]) -> tuple[str, ...]:
    """Values without a name, and labels that were drawn although dataset.json lists them as not contoured."""
    faults, known = [], dict(entry.classes)
    if unknown := [value for value in values if value not in known]:
        faults.append(
            f"{entry.label}: has the value{'s' * (len(unknown) != 1)} {', '.join(map(str, unknown[:8]))}"
            f"{', ...' if len(unknown) > 8 else ''}, which dataset.json does not name; add it to labels, or "
            "change the file."
        )
    if wrong := [value for value in values if value in known and not entry.present[known[value]]]:
        faults.append(
            f"{entry.label}: has voxels of value {wrong[0]}, which labels_present lists as not contoured; "
            "correct one of them."
        )
    return tuple(faults)


def _grid_fault(entry: CaseEntry, image: Geometry, label: Geometry) -> str | None:
    """How the label's grid differs from the image's, if it does."""
    match = image.matches(label)
    if match in (Match.SAME, Match.ROUNDING):
        return None
    if match is Match.NO_OVERLAP:
        return (
            f"{entry.label}: does not overlap its image {entry.image.name}; it may belong to another "
            "patient, so use the matching file."
        )
    if image.axis_codes != label.axis_codes:
        how = f"is stored along {label.axis_codes} and its image along {image.axis_codes}"
    elif match is Match.SHIFTED and image.shape == label.shape:
        apart = float(np.linalg.norm(np.subtract(image.origin_lps_mm, label.origin_lps_mm)))
        how = f"lies {apart:.2g} mm away from the grid of its image"
    elif match is Match.SHIFTED:
        how = (
            f"has {_sizes(label.shape)} voxels and its image {_sizes(image.shape)} of the same size (z, y, x)"
        )
    else:
        how = f"has {_grid(label)} and its image {_grid(image)} (z, y, x)"
    return f"{entry.label}: {how}; resample it onto {entry.image.name}, unless it belongs to another case."


def _grid(geometry: Geometry) -> str:
    return f"{_sizes(geometry.shape)} voxels of {' x '.join(f'{s:.4g}' for s in geometry.spacing_mm)} mm"


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _not_finite(array: NDArray[Any]) -> int:
    if array.dtype.kind in "iu":
        return 0
    return sum(int(plane.size - np.isfinite(plane).sum()) for plane in array)


def _clips_all(channel: Intensity, low: float, high: float) -> bool:
    above = channel.clip_high is not None and low >= channel.clip_high
    return above or (channel.clip_low is not None and high <= channel.clip_low)


def _some(volume: Volume, channel: Intensity) -> NDArray[np.float64]:
    """Voxels spread over one channel."""
    flat = (volume.array if volume.channels == 1 else volume.array[channel.source]).reshape(-1)
    return flat[:: max(1, flat.size // LOOKED_AT)].astype(np.float64)


def _values(array: NDArray[Any]) -> list[int]:
    """The labels that occur, plane by plane: sorting a whole volume would take its size again."""
    return sorted({int(value) for plane in array for value in np.unique(plane)} - {0})


def _box(labels: NDArray[Any], geometry: Geometry) -> ViewBox:
    """The box of all labels in the upright array; the whole volume if there are none."""
    ends = []
    for axis, step in enumerate(geometry.spacing_mm):
        inside = np.flatnonzero(labels.any(axis=tuple({0, 1, 2} - {axis})))
        if not inside.size:
            return ViewBox.whole(geometry)
        ends.append((float(inside[0] * step), float((inside[-1] + 1) * step)))
    (z0, z1), (y0, y1), (x0, x1) = ends
    return ViewBox((z0, y0, x0), (z1, y1, x1))
