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
PAGES = sorted(
    path
    for pattern in ("*.md", ".napari-hub/*.md", "docs/**/*.md", "models/bundles/**/*.md")
    for path in ROOT.glob(pattern)
)


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_paths_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    paths = set(re.findall(r"`([\w./-]+/|[\w./-]+\.py)`", text)) - NOT_OURS
    assert len(paths) > 5
    assert [path for path in sorted(paths) if not any((place / path).exists() for place in PLACES)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_work_on_github(page: Path) -> None:
    """There the files themselves are followed, and a heading's anchor is made of its letters."""
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if re.match(r"https?:|mailto:", target):
            continue
        file = (page.parent / path) if path else page
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            dead.append(target)
    assert dead == []


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_the_picture_of_the_architecture_names_folders_that_exist() -> None:
    picture = (ROOT / "docs/images/architecture.svg").read_text(encoding="utf-8")
    listed = [line.split(" · ") for line in re.findall(r">([\w ·]+ · [\w ·]+)<", picture)]
    assert len(listed) == len(PACKAGES)
    for package, folders in zip(PACKAGES, listed, strict=True):
        assert [folder for folder in folders if not (package / folder).is_dir()] == []
