"""Folders and files that the pages name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [
    ROOT / "napari_ctseg",
    ROOT / "src/training/ctseg_training",
    ROOT / "models/ctseg_models",
    ROOT / "src/imaging/ctseg_imaging",
]
PLACES = [
    ROOT,
    *PACKAGES,
    ROOT / "models",
    ROOT / "src/imaging/ctseg_imaging/formats",
    ROOT / "models/ctseg_models/bundles/nnunet",
    ROOT / "models/ctseg_models/bundles/monai",
    ROOT / "napari_ctseg/viewer",
    ROOT / "napari_ctseg/commands",
    ROOT / "napari_ctseg/docks/compare",
    ROOT / "src/imaging/ctseg_imaging/metrics",
]
NOT_OURS = {"site/", ".venv/"}


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_paths_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    paths = set(re.findall(r"`([\w./-]+/|[\w./-]+\.py)`", text)) - NOT_OURS
    assert len(paths) > 5
    assert [path for path in sorted(paths) if not any((place / path).exists() for place in PLACES)] == []


def test_the_picture_of_the_architecture_names_folders_that_exist() -> None:
    picture = (ROOT / "docs/images/architecture.svg").read_text(encoding="utf-8")
    listed = [line.split(" · ") for line in re.findall(r">([\w ·]+ · [\w ·]+)<", picture)]
    assert len(listed) == len(PACKAGES)
    for package, folders in zip(PACKAGES, listed, strict=True):
        assert [folder for folder in folders if not (package / folder).is_dir()] == []
