"""Folders that take another's place, or leave it as it was."""

from pathlib import Path

import pytest

from ctseg_imaging.formats.atomic import swap_in


def folder(path: Path, said: str) -> Path:
    path.mkdir()
    (path / "inner").write_text(said, encoding="utf-8")
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
