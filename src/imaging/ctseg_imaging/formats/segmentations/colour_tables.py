"""Names and colours from tables: ITK-SNAP's label descriptions and Slicer's colour tables.

Sources: itksnap.org, label description file format; slicer.readthedocs.io, color table files.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.disk.atomic import write_bytes
from ctseg_imaging.formats.segmentations.segments import rgb_of
from ctseg_imaging.volume import Label, Labels

_ITK_SNAP = re.compile(r'^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+[\d.eE+-]+\s+\d+\s+\d+\s+"(.*)"\s*$')
_SLICER = re.compile(r"^\s*(\d+)\s+(\S+)\s+(\d+)\s+(\d+)\s+(\d+)(?:\s+[\d.]+)?\s*$")
_HEAD = """################################################
# ITK-SnAP Label Description File
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
    0     0    0    0        0  0  0    "Clear Label"
"""
_LONGEST = 1 << 20


def read(path: str | Path) -> Labels:
    """The labels of an ITK-SNAP label description (.label, .txt) or a Slicer colour table (.ctbl, .txt,
    .csv); 0 is background.

    Raises FormatError for anything else, two lines of one value, or a colour beyond 255.
    """
    path = Path(path)
    try:
        text = path.read_bytes()[:_LONGEST].decode("utf-8-sig", "replace")
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error}).") from error
    labels = _rows(path, text)
    if len({label.value for label in labels}) != len(labels):
        raise FormatError(f"{path}: lists a value twice; give each label one line.")
    return Labels(tuple(labels))


def write_itk_snap(path: str | Path, labels: Labels, overwrite: bool = False) -> None:
    """An ITK-SNAP label description (Segmentation > Import Label Descriptions)."""
    rows = []
    for label in labels:
        red, green, blue = rgb_of(label.colour)
        name = label.name.replace('"', "'")
        rows.append(f'{label.value:5d}  {red:4d} {green:4d} {blue:4d}        1  1  1    "{name}"\n')
    write_bytes(path, (_HEAD + "".join(rows)).encode(), overwrite)


def _rows(path: Path, text: str) -> list[Label]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if lines and "labelvalue" in lines[0].lower().replace("_", "").replace(" ", ""):
        return _csv_rows(path, lines)
    found = []
    for line in lines:
        if snap := _ITK_SNAP.match(line):
            value, red, green, blue, name = *map(int, snap.groups()[:4]), snap[5]
        elif slicer := _SLICER.match(line):
            value, name, red, green, blue = (
                int(slicer[1]),
                slicer[2].replace("_", " "),
                *map(int, slicer.groups()[2:5]),
            )
        else:
            raise FormatError(f"{path}: is neither an ITK-SNAP label description nor a Slicer colour table.")
        found.append(_label(path, int(value), str(name), (int(red), int(green), int(blue))))
    return [label for label in found if label.value != 0]


def _csv_rows(path: Path, lines: list[str]) -> list[Label]:
    """Slicer 5.8 and later: LabelValue,Name,Color_R,Color_G,Color_B,... whose terminology columns are
    ignored.
    """
    found = []
    for row in csv.DictReader(lines):
        fields = {
            str(key).lower().replace("_", "").strip(): value.strip()
            for key, value in row.items()
            if isinstance(value, str)
        }
        try:
            value = int(fields["labelvalue"])
            colour = (int(fields["colorr"]), int(fields["colorg"]), int(fields["colorb"]))
            name = fields["name"]
        except (KeyError, ValueError) as error:
            raise FormatError(
                f"{path}: has a line without LabelValue, Name, Color_R, Color_G and Color_B; export it again."
            ) from error
        found.append(_label(path, value, name, colour))
    return [label for label in found if label.value != 0]


def _label(path: Path, value: int, name: str, rgb: tuple[int, int, int]) -> Label:
    if max(rgb) > 255 or min(rgb) < 0:
        raise FormatError(f"{path}: gives label {value} a colour beyond 255.")
    return Label(value, name, "#{:02X}{:02X}{:02X}".format(*rgb))
