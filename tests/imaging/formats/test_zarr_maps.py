"""Probability maps as Zarr: what another reader sees on the disk, and that it is there whole or not at
all.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.zarr_maps import MapType, read_maps, writing
from ctseg_imaging.geometry import Geometry

SHAPE = (3, 19, 8, 9)
GEOMETRY = Geometry.from_parts(
    SHAPE[1:], (3.0, 2.0, 1.5), (-70.5, 33.0, 210.25), [[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]
)
MAPS = np.random.default_rng(3).random(SHAPE).astype(np.float32)


def write(path: Path, kind: MapType, overwrite: bool = False) -> None:
    with writing(path, SHAPE, GEOMETRY, ["background", "liver", "spleen"], kind, overwrite) as writer:
        for channel in range(3):
            for low in range(0, 19, 16):
                writer.put(channel, low, MAPS[channel, low : low + 16])


@pytest.mark.parametrize(("kind", "largest_error"), [("float16", 2.5e-4), ("uint8", 0.5 / 255 + 1e-6)])
def test_maps_come_back_with_their_grid(kind: MapType, largest_error: float, tmp_path: Path) -> None:
    write(tmp_path / "p.zarr", kind)
    volume, names = read_maps(tmp_path / "p.zarr")
    assert np.abs(volume.array - MAPS).max() <= largest_error
    assert np.array_equal(volume.geometry.affine_lps, GEOMETRY.affine_lps)
    assert names == ("background", "liver", "spleen")


def test_another_reader_finds_scale_names_and_spacing(tmp_path: Path) -> None:
    write(tmp_path / "p.zarr", "uint8")
    attributes = json.loads((tmp_path / "p.zarr/.zattrs").read_text())
    placed = attributes["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert [axis["name"] for axis in attributes["multiscales"][0]["axes"]] == ["c", "z", "y", "x"]
    assert placed[0]["scale"] == pytest.approx([1, 3, 2, 1.5])
    assert placed[1]["translation"] == pytest.approx([0, 210.25, 33, -70.5])
    stored = zarr.open_array(tmp_path / "p.zarr/0", mode="r")
    assert stored.dtype == np.uint8 and stored.shape == SHAPE
    assert stored[1, 17, 3, 4] == round(float(MAPS[1, 17, 3, 4]) * 255)


def test_what_fails_leaves_nothing_and_what_is_there_stays(tmp_path: Path) -> None:
    def fail() -> None:
        with writing(tmp_path / "p.zarr", SHAPE, GEOMETRY, ["a", "b", "c"], "float16", True) as writer:
            writer.put(0, 0, MAPS[0])
            raise OSError(28, "No space left on device")

    with pytest.raises(FormatError, match="No space left"):
        fail()
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "p.zarr", "float16")
    with pytest.raises(FormatError, match="exists already"):
        write(tmp_path / "p.zarr", "float16")
    with pytest.raises(FormatError, match="No space left"):
        fail()
    assert np.allclose(read_maps(tmp_path / "p.zarr")[0].array, MAPS, atol=3e-4)
    write(tmp_path / "p.zarr", "uint8", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["p.zarr"]


def test_something_else_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.zarr").mkdir()
    with pytest.raises(FormatError, match="cannot be read as probability maps"):
        read_maps(tmp_path / "x.zarr")


def test_chunks_of_no_length_are_a_sentence(tmp_path: Path) -> None:
    write(tmp_path / "p.zarr", "uint8")
    header = tmp_path / "p.zarr/0/.zarray"
    stored = json.loads(header.read_text())
    stored["chunks"][1] = 0
    header.write_text(json.dumps(stored))
    with pytest.raises(FormatError, match="cannot be read as probability maps"):
        read_maps(tmp_path / "p.zarr")
