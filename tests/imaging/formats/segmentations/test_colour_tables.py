"""ITK-SNAP label descriptions and Slicer colour tables as those programs write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.segmentations import colour_tables
from ctseg_imaging.volume import Label, Labels

SNAP = """################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
################################################
    0     0    0    0        0  0  0    "Clear Label"
    1   255    0    0        1  1  1    "left kidney"
   12    16   32   48      0.5  1  0    "vena cava inf."
"""
SLICER = (
    "# Color table file /tmp/x.ctbl\n# 3 values\n0 Background 0 0 0 0\n1 left_kidney 255 0 0 255\n12 "
    "vena_cava 16 32 48 255\n"
)
CSV = (
    "LabelValue,Name,Color_R,Color_G,Color_B,Color_A\n0,Background,0,0,0,0\n1,left "
    'kidney,255,0,0,255\n12,"vena, cava",16,32,48,255\n'
)


@pytest.mark.parametrize(
    ("text", "second"), [(SNAP, "vena cava inf."), (SLICER, "vena cava"), (CSV, "vena, cava")]
)
def test_names_and_colours(tmp_path: Path, text: str, second: str) -> None:
    (tmp_path / "table.txt").write_text(text)
    assert colour_tables.read(tmp_path / "table.txt") == Labels(
        (Label(1, "left kidney", "#FF0000"), Label(12, second, "#102030"))
    )


def test_written_descriptions_are_read_again(tmp_path: Path) -> None:
    labels = Labels((Label(1, "Leber, groß", "#0A0B0C"), Label(300, "tumour", "#FF00FF")))
    colour_tables.write_itk_snap(tmp_path / "labels.txt", labels)
    assert colour_tables.read(tmp_path / "labels.txt") == labels


@pytest.mark.parametrize(
    "text", ["hello\n", "1 a 300 0 0 0\n", SLICER + "1 again 0 0 0 0\n", "LabelValue,Name\n1,a\n"]
)
def test_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "table.txt").write_text(text)
    with pytest.raises(FormatError, match=r"table\.txt"):
        colour_tables.read(tmp_path / "table.txt")
