"""Whether one DICOM series forms a volume: the slices in order and their grid, or a sentence that explains
why not.

Slices are ordered by their position along the normal of their planes, never by file name or instance number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctseg_imaging.errors import CtsegError, FormatError, GeometryError, OnlyViewable
from ctseg_imaging.formats.dicom.series import Series
from ctseg_imaging.formats.dicom.stacking.lattice import LOOK, SIDEWAYS_TOLERANCE, lattice_of
from ctseg_imaging.formats.dicom.stacking.slices import Slice
from ctseg_imaging.formats.dicom.stacking.traits import ALWAYS, IDENTITY
from ctseg_imaging.geometry import Float, Geometry

SAME_PLACE = 0.01  # of a slice step or mm: closer than this is the same position
ALIKE = 1e-3  # of a direction cosine
SMALLEST_PIXEL_MM, LARGEST_PIXEL_MM = 0.02, 20.0  # of a body in a scanner
_MOST_NAMED = 3

SamePixels = Callable[[Slice, Slice], bool]


@dataclass(frozen=True)
class Judgement:
    """Whether the headers allow a series to be read. reason : one clause, "" where it can be read."""

    readable: bool
    viewable: bool
    reason: str = ""


def judge(series: Series) -> Judgement:
    """Whether a series can be read, or only looked at, judged by its headers alone; the pixels may still be
    damaged.
    """
    path = Path("-")
    try:
        ordered = arranged(path, series, lambda a, b: True, [])
        check_complete(path, series)
        geometry_of(path, ordered, [])
    except OnlyViewable as error:
        return Judgement(False, True, _clause(error))
    except CtsegError as error:
        return Judgement(False, False, _clause(error))
    return Judgement(True, True)


def _clause(error: CtsegError) -> str:
    return str(error).removeprefix("-: ").split(";")[0].rstrip(".")


def arranged(path: Path, series: Series, same_pixels: SamePixels, notes: list[str]) -> list[Slice]:
    """The slices along their normal, identical copies once.

    path : named in errors. same_pixels : whether two slices are copies.

    Raises FormatError or GeometryError if they belong to no single stack of slices.
    """
    if series.fault:
        raise FormatError(f"{path}: {series.fault}; export the series again or give another.")
    _check_values(path, series.slices, notes)
    _check_planes(path, series.slices)
    normal = normal_of(series.slices[0])
    ordered = sorted(series.slices, key=lambda one: float(position(one) @ normal))
    steps = np.diff([float(position(one) @ normal) for one in ordered])
    apart = steps[steps > 1e-4]
    same = SAME_PLACE * (float(np.median(apart)) if apart.size else 1.0)
    kept, copies = [ordered[0]], 0
    for before, one, step in zip(ordered, ordered[1:], steps, strict=False):
        if step > same:
            kept.append(one)
        elif (aside := float(np.linalg.norm(position(one) - position(before)))) > SIDEWAYS_TOLERANCE * min(
            spacing(one)
        ) + same:
            raise GeometryError(
                f"{path}: {_named(before)} and {_named(one)} lie {aside:.2f} mm apart in one "
                "plane, so their positions do not follow their orientation and make no stack; export the "
                "series again."
            )
        elif same_pixels(before, one):
            copies += 1
        else:
            height = f"{float(position(one) @ normal):.2f} mm along the normal"
            place = f"{height}, {_named(before)} and {_named(one)}"
            raise GeometryError(
                f"{path}: two different slices lie at one position ({place}), and no attribute tells which "
                "scan, phase or acquisition each belongs to; take one of them out of the folder, or export "
                "the series again."
            )
    if series.remark:
        notes.append(series.remark)
    if copies:
        notes.append(f"{copies} slice(s) occur twice with identical pixels and were used once.")
    notes += _remarks(kept)
    return kept


def _named(one: Slice) -> str:
    """A slice by its file, and by its frame (from 1) where the file has several."""
    return one.path.name if one.frame < 0 else f"frame {one.frame + 1} of {one.path.name}"


def check_complete(path: Path, series: Series) -> None:
    """Raise OnlyViewable if a file that may be a slice of the series cannot be read."""
    if series.lost:
        first, more = series.lost[0], len(series.lost) - 1
        also = f" ({more} other file{'s' if more > 1 else ''} too)" if more else ""
        raise OnlyViewable(
            f"{path}: {first.path.name} {first.why}{also} and may be a slice of the series, which would be "
            "incomplete; copy the series again, take the file out of the folder if it is not a slice, or, "
            f"{LOOK}."
        )


def _check_values(path: Path, slices: Sequence[Slice], notes: list[str]) -> None:
    """Raise unless all slices or none give a rescale; remark on values that are not HU or hold padding."""
    without = [one for one in slices if not one.rescale.given]
    if without and len(without) < len(slices):
        names = ", ".join(dict.fromkeys(one.path.name for one in without[:_MOST_NAMED]))
        more = f" and {len(without) - _MOST_NAMED} more" if len(without) > _MOST_NAMED else ""
        raise FormatError(
            f"{path}: RescaleSlope and RescaleIntercept are missing in {len(without)} of {len(slices)} "
            f"slices ({names}{more}), so their values would differ from those of their neighbours; export "
            "the series again."
        )
    first = slices[0]
    if first.traits.get("modality") == "CT":
        if without:
            notes.append(
                "The files give no RescaleSlope and RescaleIntercept: the values are the stored ones and "
                "may not be HU."
            )
        kinds = {one.rescale.unit.upper() for one in slices} - {"", "HU"}
        if kinds:
            notes.append(f"The files give their values as {', '.join(sorted(kinds))}, not as HU.")
    if first.traits.get("photometric") == "MONOCHROME1":
        notes.append(
            "The files ask for an inverted display (MONOCHROME1); the values are shown as they are, high "
            "ones bright."
        )


def _check_planes(path: Path, slices: Sequence[Slice]) -> None:
    """Raise unless all slices have a position, an orientation and a pixel spacing."""
    for one in slices:
        if one.position_lps_mm is None or one.along_row is None:
            missing = "position" if one.position_lps_mm is None else "(valid) orientation"
            raise GeometryError(
                f"{path}: {one.path.name} has no {missing} in the patient, so order and spacing of the "
                "slices would be guesses; export the series again with its geometry."
            )
        if one.spacing_mm is None or min(one.spacing_mm) <= 0:
            raise GeometryError(
                f"{path}: {one.path.name} has no pixel spacing above 0; export the series again with its "
                "geometry."
            )
    first = slices[0]
    for one in slices[1:]:
        if (
            max(
                np.abs(along_rows(one) - along_rows(first)).max(),
                np.abs(along_columns(one) - along_columns(first)).max(),
            )
            > ALIKE
        ):
            raise GeometryError(
                f"{path}: the series mixes slices of different orientation ({first.path.name}, "
                f"{one.path.name}); take the odd ones out of the folder."
            )


def _remarks(slices: Sequence[Slice]) -> list[str]:
    """One sentence for each kind of unusable attribute, the blocks of acquisitions, and the padding."""
    counts: dict[str, int] = {}
    for one in slices:
        for remark in one.remarks:
            counts[remark] = counts.get(remark, 0) + 1
    notes = [f"In {count} slice(s) {remark}; it was ignored." for remark, count in counts.items()]
    notes += dict.fromkeys(doubt for one in slices for doubt in one.doubts)
    for trait in IDENTITY:
        without = sum(trait.name not in one.traits for one in slices)
        if 0 < without < len(slices):
            notes.append(
                f"{without} slice(s) give no {trait.label}; they complete the stack and were read as part of "
                "it."
            )
    acquisitions = {one.traits.get("acquisition") for one in slices}
    if 1 < len(acquisitions) < len(slices):
        notes.append(
            f"The slices come from {len(acquisitions)} acquisitions that follow each other, and were read "
            "as one volume."
        )
    for trait in ALWAYS:
        count = len({one.traits.get(trait.name) for one in slices} - {None})
        if count > 1:
            notes.append(
                f"The slices give {count} values of {trait.label}, which make no volumes of their own, and "
                "were read as one volume."
            )
    padding = {
        one.padding * one.rescale.slope + one.rescale.intercept for one in slices if one.padding is not None
    }
    if padding:
        notes.append(f"Pixels outside the field of view may hold the padding value {min(padding):g}.")
    return notes


def geometry_of(path: Path, slices: Sequence[Slice], notes: list[str]) -> Geometry:
    """The grid of ordered slices.

    Raises OnlyViewable for a missing slice, uneven steps or a tilted gantry; GeometryError.
    """
    first = slices[0]
    normal = normal_of(first)
    positions = np.array([position(one) for one in slices])
    if len(slices) == 1:
        if not first.thickness_mm or first.thickness_mm <= 0:
            raise GeometryError(f"{path}: is a single slice without a thickness; give the whole series.")
        notes.append(f"A single slice; its thickness of {first.thickness_mm:g} mm was taken as the spacing.")
        origin, step = positions[0], first.thickness_mm
    else:
        lattice = lattice_of(path, positions, normal, min(spacing(first)), first.direction_unit)
        origin, step = lattice.origin_lps_mm, lattice.step_mm
        notes += lattice.remarks
        if first.thickness_mm and abs(first.thickness_mm - step) > 0.01 * step:
            notes.append(
                f"The header gives the slices {first.thickness_mm:g} mm; their positions lie {step:g} mm "
                "apart, which was used."
            )
    if not SMALLEST_PIXEL_MM <= min(spacing(first)) <= max(spacing(first)) <= LARGEST_PIXEL_MM:
        notes.append(
            f"A pixel of {spacing(first)[1]:g} x {spacing(first)[0]:g} mm is unusual; check whether the file "
            "gives it in mm."
        )
    return grid((len(slices), *first.shape), first, origin, step)


def grid(shape: tuple[int, int, int], first: Slice, origin_lps_mm: Float, step_mm: float) -> Geometry:
    """The grid of planes like `first`, `step_mm` apart along their normal."""
    affine = np.eye(4)
    affine[:3, 0] = normal_of(first) * step_mm
    affine[:3, 1] = along_columns(first) * spacing(first)[0]
    affine[:3, 2] = along_rows(first) * spacing(first)[1]
    affine[:3, 3] = origin_lps_mm
    return Geometry(shape, affine)


def position(one: Slice) -> Float:
    """(3,) LPS mm. The slice has passed `arranged`."""
    assert one.position_lps_mm is not None
    return one.position_lps_mm


def along_rows(one: Slice) -> Float:
    """The unit direction of a growing column index. The slice has passed `arranged`."""
    assert one.along_row is not None
    return one.along_row


def along_columns(one: Slice) -> Float:
    """The unit direction of a growing row index. The slice has passed `arranged`."""
    assert one.along_column is not None
    return one.along_column


def normal_of(one: Slice) -> Float:
    """The unit normal: row direction x column direction."""
    return np.cross(along_rows(one), along_columns(one))


def spacing(one: Slice) -> tuple[float, float]:
    """(between rows, between columns) in mm. The slice has passed `arranged`."""
    assert one.spacing_mm is not None
    return one.spacing_mm
