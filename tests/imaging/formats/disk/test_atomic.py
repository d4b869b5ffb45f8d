"""Files and folders that take another's place, or leave it as it was."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.disk.atomic import atomic_folder, atomic_path, refuse_sources, swap_in, write_bytes
from ctseg_imaging.formats.disk.leftovers import MACHINE


def folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "inner").write_text(content, encoding="utf-8")
    return path


def test_a_finished_folder_takes_the_place_of_nothing_a_folder_or_a_file(tmp_path: Path) -> None:
    target = tmp_path / "maps"
    for number in range(2):
        swap_in(folder(tmp_path / ".new", str(number)), target)
        assert (target / "inner").read_text(encoding="utf-8") == str(number)
    (tmp_path / "file").write_text("old", encoding="utf-8")
    swap_in(folder(tmp_path / ".new", "2"), tmp_path / "file")
    assert (tmp_path / "file" / "inner").read_text(encoding="utf-8") == "2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "maps"]


def test_the_old_folder_is_back_when_the_new_one_cannot_move(tmp_path: Path) -> None:
    target = folder(tmp_path / "maps", "old")
    with pytest.raises(FileNotFoundError):
        swap_in(tmp_path / ".never written", target)
    assert (target / "inner").read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["maps"]


KILLED = """
import os, signal, sys
from ctseg_imaging.formats.disk.atomic import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX's.")
def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "mask.nii.gz"
    answer = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    (left,) = tmp_path.iterdir()
    assert answer.returncode == -signal.SIGKILL and not target.exists()
    started = left.name.split("-")[3]
    others = {
        f".ctseg-{MACHINE}-{os.getppid()}-0-0123456789ab.part.nii",
        ".0123456789ab.part.nii.gz",
        ".ctseg-notes.part",
        f".ctseg-00000000-{left.name.split('-')[2]}-{started}-0123456789ab.part.nii.gz",
        "mask.part.nii.gz",
    }
    reused = f".ctseg-{MACHINE}-{os.getppid()}-0-0123456789ab.part.nii"  # the number is another process's now
    for name in others:
        (tmp_path / name).write_bytes(b"x")
    with atomic_path(tmp_path / "being written") as mine:
        mine.write_bytes(b"y")
        write_bytes(target, b"whole")
        assert mine.exists() and not left.exists()
    assert {path.name for path in tmp_path.iterdir()} == (others - {reused}) | {
        "mask.nii.gz",
        "being written",
    }


def test_the_data_file_of_another_header_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "brain.nhdr").write_text("points at brain.raw", encoding="utf-8")
    (tmp_path / "brain.raw").write_bytes(b"old")

    def write_another() -> None:
        with atomic_folder(tmp_path / "brain.mhd", overwrite=True) as header:
            header.write_text("new", encoding="utf-8")
            header.with_name("brain.raw").write_bytes(b"new")

    with pytest.raises(FormatError, match="exists already"):
        write_another()
    assert (tmp_path / "brain.raw").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 2


def test_a_source_folder_keeps_its_slices_and_takes_a_mask(tmp_path: Path) -> None:
    for name in ("1.dcm", "IM0001", "mask.nii.gz"):
        (tmp_path / name).write_bytes(b"")
    for name in ("1.dcm", "IM0001"):
        with pytest.raises(FormatError, match="would be overwritten"):
            refuse_sources(tmp_path / name, [tmp_path])
    refuse_sources(tmp_path / "mask.nii.gz", [tmp_path])
    refuse_sources(tmp_path / "new.dcm", [tmp_path])
