"""The cases that a path holds: a file, a DICOM folder, or a folder of images, several channels by nnU-Net's
names (CASE_0000, ...).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ctseg_imaging.endings import split_ending
from ctseg_imaging.errors import FormatError

if TYPE_CHECKING:
    from ctseg_imaging.volume import Volume

_CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")


@dataclass(frozen=True)
class CaseFiles:
    """One case. name : of its outputs. ending : which its label map gets. files : one a channel, in order;
    the same file for each where it is a 4D file whose volumes are the channels.
    """

    name: str
    ending: str
    files: tuple[Path, ...]


def cases_in(path: Path, channels: int) -> tuple[list[CaseFiles], bool]:
    """The cases of `path` for a bundle of so many channels, and whether it is a folder of cases.

    Raises FormatError if there is none, or a channel of a case is missing.
    """
    from ctseg_imaging import formats
    from napari_ctseg.commands.console import note
    from napari_ctseg.compute import reading

    if not path.exists():
        raise FormatError(f"{path}: does not exist; check the name.")
    if path.is_dir():
        images = sorted(
            file
            for file in path.iterdir()
            if file.is_file() and not file.name.startswith(".") and split_ending(file)[1]
        )
        if images:
            if formats.is_readable(path):
                note(
                    f"{path}: holds DICOM besides its images; only the images are cases. For a DICOM series "
                    "give its own folder."
                )
            return _grouped(path, images, channels), True
        if not formats.is_readable(path):
            hint = (
                "; name its folder of images, such as imagesTr" if (path / "dataset.json").is_file() else ""
            )
            raise FormatError(
                f"{path}: contains no image and no DICOM series{hint or '; give a folder that does'}."
            )
        _one_channel_only(path, channels)
        return [CaseFiles(path.resolve().name, ".nii.gz", (path,))], False
    stem, ending = split_ending(path)
    matched = _CHANNEL.match(stem)
    if channels > 1:
        if matched is None:
            if len(reading.list_choices(path)) == channels:
                return [CaseFiles(stem, ending, (path,) * channels)], False
            raise FormatError(
                f"{path}: the bundle takes {channels} channels; name them {stem}_0000{ending}, "
                f"{stem}_0001{ending}, ..., or give a 4D file of {channels} volumes."
            )
        siblings = sorted(path.parent.glob(f"{matched['case']}_[0-9][0-9][0-9][0-9]{ending}"))
        return _grouped(path.parent, siblings, channels), False
    return [
        CaseFiles(
            matched["case"] if matched and matched["channel"] == "0000" else stem,
            ending or ".nii.gz",
            (path,),
        )
    ], False


def read_case(
    case: CaseFiles, *, volume: int | None = None, series: str | None = None, nearest_grid: bool = False
) -> Volume:
    """Read a case; several channels become one volume (c, z, y, x). Raises FormatError if they lie on
    different grids.
    """
    from dataclasses import replace

    import numpy as np

    from ctseg_imaging.geometry import Match
    from napari_ctseg.compute import reading

    if len(set(case.files)) < len(case.files):
        if volume is not None:
            raise FormatError(f"{case.files[0]}: every volume of it is a channel; omit --volume.")
        volumes = [
            reading.read(file, volume=number, nearest_grid=nearest_grid)
            for number, file in enumerate(case.files, 1)
        ]
    else:
        volumes = [
            reading.read(file, volume=volume, series=series, nearest_grid=nearest_grid) for file in case.files
        ]
    first = volumes[0]
    for file, other in zip(case.files[1:], volumes[1:], strict=True):
        if first.geometry.matches(other.geometry) not in (Match.SAME, Match.ROUNDING):
            raise FormatError(
                f"{file}: has another grid than {case.files[0].name}; resample the channels to one grid "
                "first."
            )
    if len(volumes) == 1:
        return first
    return replace(first, array=np.stack([channel.array for channel in volumes]), header=None)


def _grouped(folder: Path, images: list[Path], channels: int) -> list[CaseFiles]:
    """Images by case: with one channel every plain name and every _0000, with more the complete sets."""
    found: dict[str, tuple[str, dict[int, Path]]] = {}
    for image in images:
        stem, ending = split_ending(image)
        matched = _CHANNEL.match(stem)
        name, channel = (matched["case"], int(matched["channel"])) if matched else (stem, 0)
        if channel >= channels or (matched is None and channels > 1):
            continue
        files = found.setdefault(name, (ending, {}))[1]
        if channel in files:
            raise FormatError(f"{image}: {files[channel].name} is the same case; keep one of the two.")
        files[channel] = image
    if not found:
        raise FormatError(f"{folder}: contains no case with {channels} channels (CASE_0000, CASE_0001, ...).")
    for name, (_, files) in found.items():
        if len(files) != channels:
            missing = next(channel for channel in range(channels) if channel not in files)
            raise FormatError(
                f"{folder}: the case {name} has no channel {missing:04d}, and the bundle takes {channels}."
            )
    return [
        CaseFiles(name, ending, tuple(files[channel] for channel in range(channels)))
        for name, (ending, files) in found.items()
    ]


def _one_channel_only(path: Path, channels: int) -> None:
    if channels > 1:
        raise FormatError(
            f"{path}: the bundle takes {channels} channels; give them as files CASE_0000, CASE_0001, ..."
        )
