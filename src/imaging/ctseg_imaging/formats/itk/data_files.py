"""The files next to a header that hold its voxels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ctseg_imaging.errors import FormatError

MOST_FILES = 100_000


def data_files(path: Path, names: Sequence[str]) -> list[Path]:
    """The files of voxels next to `path`.

    Raises FormatError if one is missing or there are more than MOST_FILES.
    """
    if len(names) > MOST_FILES:
        raise FormatError(f"{path}: names {len(names)} data files; is its header damaged?")
    files = [path.parent / name for name in names]
    for file in files:
        if not file.is_file():
            raise FormatError(f"{path}: its data file {file.name} is missing; put it next to the header.")
    return files


def numbered_files(path: Path, pattern: str, low: int, high: int, step: int) -> list[str]:
    """The names that a pattern such as `slice%03d.raw` stands for.

    Raises FormatError if it is not such a pattern.
    """
    before, percent, after = pattern.partition("%")
    digits, _, rest = after.partition("d")
    if (
        not percent
        or not (digits == "" or digits.isdecimal())
        or "d" not in after
        or "%" in rest
        or len(digits) > 2
    ):
        raise FormatError(
            f"{path}: its pattern of data files {pattern[:60]!r} does not have exactly one number (such as "
            "slice%03d.raw); list the files by name."
        )
    if step == 0 or abs(high - low) // abs(step) > MOST_FILES:
        raise FormatError(
            f"{path}: its pattern of data files counts from {low} to {high} by {step}; export it again."
        )
    filled = f"0{int(digits)}d" if digits.startswith("0") and digits.strip("0") else f"{digits.lstrip('0')}d"
    return [f"{before}{number:{filled}}{rest}" for number in range(low, high + (1 if step > 0 else -1), step)]
