"""DICOM image folders as volumes: every doubt about the grid is a refusal, everything left out is said.

Slices are ordered by their position along the normal of their planes, never by file name or instance number. z of the array runs along
that normal (row direction x column direction); HU by each slice's own rescale slope and intercept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.formats.choice import Choice, pick
from ctseg_imaging.formats.dicom_pixels import Pixels, real_volume
from ctseg_imaging.formats.dicom_slices import Folder, Series, Slice, looks_like_dicom, scan
from ctseg_imaging.geometry import Float, Geometry
from ctseg_imaging.volume import Volume

STEP_TOLERANCE = 0.02  # of a slice step: how far a slice may lie from its place in the lattice
SIDEWAYS_TOLERANCE = 0.05  # of a pixel: how far its first pixel may lie off the normal through the first slice
SAME_PLACE = 0.01  # of a slice step or mm: closer than this is the same position
MINOR_SERIES = 0.25  # a series with fewer slices than this share of the largest is not of equal rank
_QUICK_LOOK = 64  # files


@dataclass(frozen=True)
class DicomHeader:
    """Where the slices of a volume came from, in array order: the files, the frame in each (-1: the only one) and the instance UIDs."""

    series_uid: str
    files: tuple[Path, ...]
    frames: tuple[int, ...]
    instance_uids: tuple[str, ...]


def read(path: Path, series: int | str | None = None) -> Volume:
    """Read one series of a folder, or the series that a file belongs to. series : its number in `list_choices` or its UID.

    Raises ChoiceNeeded if several series of equal rank are there and none is named; FormatError, GeometryError with what is wrong.
    """
    path = path.parent if path.name.upper() == "DICOMDIR" and path.is_file() else path
    folder = _scan(path)
    if path.is_file() and series is None:
        series = _series_of_file(path, folder)
    chosen = _choose(path, folder, series)
    if chosen.trouble:
        raise FormatError(f"{path}: the series {chosen.trouble}.")
    notes = _left_out(folder, chosen)
    pixels = Pixels(path)
    slices = _ordered(path, chosen, pixels, notes)
    geometry = _geometry(path, slices, notes)
    header = DicomHeader(chosen.uid, tuple(one.path for one in slices), tuple(one.frame for one in slices),
                         tuple(one.instance_uid for one in slices))
    return Volume(real_volume(slices, pixels), geometry, header, path, chosen.modality, chosen.windows, tuple(notes))


def list_choices(path: Path) -> list[Choice]:
    """The series that count: localisers are left out, unless there is nothing else."""
    return _choices(_candidates(path, _scan(path)))


def looks_like_folder(path: Path) -> bool:
    """Whether one of the first files met in a folder and its sub-folders is DICOM; a quick look, also into a large tree."""
    found = (file for file in path.rglob("*") if file.is_file())
    return any(looks_like_dicom(file) for file in islice(found, _QUICK_LOOK))


def looks_like_file(path: Path) -> bool:
    """Whether a file begins as DICOM does."""
    return looks_like_dicom(path)


def _files(path: Path) -> list[Path]:
    """The files of a folder; those of its sub-folders where it holds no DICOM itself."""
    own = sorted(file for file in path.iterdir() if file.is_file() and file.name.upper() != "DICOMDIR" and file.stat().st_size)
    if any(looks_like_dicom(file) for file in own):
        return own
    return own + sorted(file for file in path.rglob("*") if file.is_file() and file.parent != path and file.stat().st_size)


def _scan(path: Path) -> Folder:
    folder = scan(_files(path if path.is_dir() else path.parent))
    if not folder.series:
        if folder.other_objects:
            raise FormatError(f"{path}: holds DICOM objects but no images (contours, segmentations or dose only); give the image series.")
        raise FormatError(f"{path}: holds no DICOM file; choose the folder with the slices.")
    return folder


def _series_of_file(path: Path, folder: Folder) -> str:
    for series in folder.series:
        if any(one.path == path for one in series.slices):
            return series.uid
    raise FormatError(f"{path}: is a DICOM object without an image; give a slice or the folder of the series.")


def _candidates(path: Path, folder: Folder) -> list[Series]:
    """The series to choose from: those that are no localisers and not much smaller than the largest."""
    proper = [series for series in folder.series if not series.localiser] or list(folder.series)
    most = max(len(series.slices) for series in proper)
    return [series for series in proper if len(series.slices) >= MINOR_SERIES * most]


def _choices(candidates: Sequence[Series]) -> list[Choice]:
    return [Choice(k + 1, series.uid, series.description, len(series.slices)) for k, series in enumerate(candidates)]


def _choose(path: Path, folder: Folder, wanted: int | str | None) -> Series:
    by_uid = [series for series in folder.series if series.uid == wanted]
    if by_uid:
        return by_uid[0]
    candidates = _candidates(path, folder)
    return candidates[pick(path, _choices(candidates), wanted, "series", "series") - 1]


def _left_out(folder: Folder, chosen: Series) -> list[str]:
    """One sentence for each kind of thing that was not read."""
    notes = []
    for series in folder.series:
        if series is not chosen:
            kind = "a localiser" if series.localiser else "another series"
            notes.append(f"Left out {kind} ({series.description}).")
    if folder.other_objects:
        notes.append(f"Left out {folder.other_objects} DICOM object(s) that are no images (contours, segmentations, dose, reports).")
    if folder.other_files:
        notes.append(f"Left out {folder.other_files} file(s) that are not DICOM.")
    return notes


def _ordered(path: Path, series: Series, pixels: Pixels, notes: list[str]) -> list[Slice]:
    """The slices along their normal, byte-identical doubles once. Raises FormatError or GeometryError if they make no stack."""
    _check_alike(path, series.slices)
    normal = _normal(series.slices[0])
    ordered = sorted(series.slices, key=lambda one: float(_position(one) @ normal))
    places = np.array([float(_position(one) @ normal) for one in ordered])
    steps = np.diff(places)
    apart = steps[steps > 1e-4]
    same = SAME_PLACE * (float(np.median(apart)) if apart.size else 1.0)
    kept, doubles = [ordered[0]], 0
    for before, one, step in zip(ordered, ordered[1:], steps, strict=False):
        if step > same:
            kept.append(one)
        elif pixels.identical(before, one):
            doubles += 1
        else:
            raise GeometryError(f"{path}: two different slices lie at one position ({_place(one, normal)}); several phases or acquisitions "
                                "may be mixed: separate them, or export the series again.")
    if doubles:
        notes.append(f"{doubles} slice(s) were there twice with identical pixels and were used once.")
    return kept


def _check_alike(path: Path, slices: Sequence[Slice]) -> None:
    """Raise unless all slices have a position and share size, orientation and pixel spacing."""
    first = slices[0]
    for one in slices:
        if one.position_lps_mm is None or one.along_row is None:
            missing = "position" if one.position_lps_mm is None else "(valid) orientation"
            raise GeometryError(f"{path}: {one.path.name} has no {missing} in the patient, so order and spacing of the slices would be "
                                "guesses; export the series again with its geometry.")
        if one.spacing_mm is None or min(one.spacing_mm) <= 0:
            raise GeometryError(f"{path}: {one.path.name} has no pixel spacing; export the series again with its geometry.")
    for one in slices[1:]:
        if one.shape != first.shape:
            raise GeometryError(f"{path}: the series mixes slices of {first.shape[1]} x {first.shape[0]} and {one.shape[1]} x "
                                f"{one.shape[0]} pixels ({one.path.name}), perhaps a localiser; take the odd ones out of the folder.")
        if max(np.abs(_rows(one) - _rows(first)).max(), np.abs(_columns(one) - _columns(first)).max()) > 1e-3:
            raise GeometryError(f"{path}: the series mixes slices of different orientation ({first.path.name}, {one.path.name}); "
                                "take the odd ones out of the folder.")
        if not np.allclose(_spacing(one), _spacing(first), rtol=1e-4, atol=0):
            raise GeometryError(f"{path}: the pixel spacing changes from {_spacing(first)[0]:g} to {_spacing(one)[0]:g} mm at "
                                f"{one.path.name}; export the series again with one field of view.")


def _geometry(path: Path, slices: Sequence[Slice], notes: list[str]) -> Geometry:
    """The grid of ordered slices. Raises GeometryError for a missing slice, uneven steps or a tilted gantry."""
    first = slices[0]
    normal = _normal(first)
    positions = np.array([_position(one) for one in slices])
    if len(slices) == 1:
        if not first.thickness_mm or first.thickness_mm <= 0:
            raise GeometryError(f"{path}: is a single slice without a thickness; give the whole series.")
        notes.append(f"A single slice; its thickness of {first.thickness_mm:g} mm was taken as the spacing.")
        step = first.thickness_mm
    else:
        step = _checked_step(path, positions, normal, min(_spacing(first)))
        if first.thickness_mm and abs(first.thickness_mm - step) > 0.01 * step:
            notes.append(f"The header gives the slices {first.thickness_mm:g} mm; their positions lie {step:g} mm apart, which was used.")
    affine = np.eye(4)
    affine[:3, 0] = normal * step
    affine[:3, 1] = _columns(first) * _spacing(first)[0]
    affine[:3, 2] = _rows(first) * _spacing(first)[1]
    affine[:3, 3] = positions[0]
    return Geometry((len(slices), *first.shape), affine)


def _checked_step(path: Path, positions: Float, normal: Float, pixel_mm: float) -> float:
    """The distance of neighbouring slices in mm, from (n, 3) ordered positions."""
    along = positions @ normal
    steps = np.diff(along)
    usual = float(np.median(steps))
    sideways = positions - positions[0] - np.outer(along - along[0], normal)
    offset = float(np.linalg.norm(sideways, axis=1).max())
    if offset > SIDEWAYS_TOLERANCE * pixel_mm:
        angle = np.degrees(np.arctan2(np.linalg.norm(sideways[-1]), along[-1] - along[0]))
        raise GeometryError(f"{path}: the slices do not lie straight above each other (gantry tilt of {angle:.1f} degrees, a sheared "
                            "grid); have the series corrected for the tilt first.")
    for k, step in enumerate(steps):
        if abs(step - usual) > STEP_TOLERANCE * usual:
            skipped = round(step / usual) - 1
            if skipped >= 1 and abs(step - (skipped + 1) * usual) <= STEP_TOLERANCE * usual * (skipped + 1):
                why = f"{skipped} slice{'s are' if skipped > 1 else ' is'} missing"
            else:
                why = "the spacing is uneven"
            raise GeometryError(f"{path}: slices {k + 1} and {k + 2} lie {step:.2f} mm apart where the series has {usual:.2f} mm ({why}); "
                                "export the series again with every slice.")
    mean = float(along[-1] - along[0]) / (len(along) - 1)
    drift = float(np.abs(along - along[0] - mean * np.arange(len(along))).max())
    if drift > STEP_TOLERANCE * mean:
        raise GeometryError(f"{path}: the slices lie up to {drift:.2f} mm from even steps of {mean:.2f} mm (the spacing is uneven); "
                            "export the series again with even steps.")
    return mean


def _place(one: Slice, normal: Float) -> str:
    return f"{float(_position(one) @ normal):.2f} mm along the normal, {one.path.name}"


def _position(one: Slice) -> Float:
    assert one.position_lps_mm is not None  # _check_alike has refused the others
    return one.position_lps_mm


def _rows(one: Slice) -> Float:
    assert one.along_row is not None
    return one.along_row


def _columns(one: Slice) -> Float:
    assert one.along_column is not None
    return one.along_column


def _normal(one: Slice) -> Float:
    return np.cross(_rows(one), _columns(one))


def _spacing(one: Slice) -> tuple[float, float]:
    assert one.spacing_mm is not None
    return one.spacing_mm
