"""A file is there whole or not at all; paths that hold no image are refused in one sentence."""

import subprocess
import sys

import numpy as np
import pytest

from ctseg_imaging import formats
from ctseg_imaging.errors import CtsegError, FormatError
from ctseg_imaging.formats.disk.atomic import atomic_path, write_bytes
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Volume

GRID = Geometry.from_parts((7, 8, 9), (3, 2, 1))
NAMES = ("a.nii", "a.nii.gz", "a.nrrd", "a.nhdr", "a.mha", "a.mhd")


def volume() -> Volume:
    return Volume(np.random.default_rng(0).integers(-1000, 1000, GRID.shape).astype(np.int16), GRID)


@pytest.mark.parametrize("name", NAMES)
def test_overwriting_needs_permission(tmp_path, name):
    formats.write(tmp_path / name, volume())
    before = (tmp_path / name).read_bytes()
    with pytest.raises(FormatError, match="exists already"):
        formats.write(tmp_path / name, Volume(volume().array + 1, GRID))
    assert (tmp_path / name).read_bytes() == before
    formats.write(tmp_path / name, Volume(volume().array + 1, GRID), overwrite=True)
    np.testing.assert_array_equal(formats.read(tmp_path / name).array, volume().array + 1)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_else_is_left_in_the_folder(tmp_path, name):
    formats.write(tmp_path / name, volume())
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]
    assert len(list(tmp_path.iterdir())) == (2 if name.endswith(("nhdr", "mhd")) else 1)


@pytest.mark.skipif(sys.platform == "win32", reason="limits on the size of files are set through POSIX")
@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_leaves_nothing_and_reports_it(tmp_path, name):
    """A process that may write no more than 20 kB to a file stands in for a disk that fills up."""
    script = f"""
import resource, signal, numpy as np
from ctseg_imaging import formats
from ctseg_imaging.errors import FormatError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Volume
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
noise = np.random.default_rng(0).integers(-1000, 1000, (20, 40, 50)).astype(np.int16)
try:
    formats.write({str(tmp_path / name)!r}, Volume(noise, Geometry.from_parts(noise.shape, (1, 1, 1))))
except FormatError as error:
    print("refused:", error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("refused:")
    assert "cannot be written" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_block_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.json"
    write_bytes(target, b"old")

    def interrupted():
        with atomic_path(target, overwrite=True) as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_targets_that_cannot_be(tmp_path):
    (tmp_path / "folder.nii").mkdir()
    cases = {
        tmp_path / "none" / "a.nii": "folder does not exist",
        tmp_path / "folder.nii": "folder",
        tmp_path / "a.png": "no known ending",
    }
    for path, word in cases.items():
        with pytest.raises(FormatError, match=word):
            formats.write(path, volume(), overwrite=True)


def test_paths_that_hold_no_image(tmp_path):
    (tmp_path / "a.txt").write_text("notes")
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "missing.nii", tmp_path / "a.txt", tmp_path / "empty"):
        with pytest.raises(CtsegError) as refusal:
            formats.read(path)
        assert str(path) in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_is_readable_looks_and_never_raises(tmp_path):
    formats.write(tmp_path / "a.nrrd", volume())
    (tmp_path / "a.txt").write_text("notes")
    (tmp_path / "empty").mkdir()
    assert formats.is_readable(tmp_path / "a.nrrd")
    for name in ("a.txt", "empty", "missing.nii", "missing"):
        assert not formats.is_readable(tmp_path / name)


def test_a_series_is_no_volume_and_a_volume_no_series(tmp_path):
    formats.write(tmp_path / "a.nrrd", volume())
    with pytest.raises(FormatError, match="not a DICOM"):
        formats.read(tmp_path / "a.nrrd", series=1)
