"""The documentation site: built strictly, complete, and in step with the code."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import napari_ctseg as ctseg
from napari_ctseg.commands.main import app

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A broken link, a page that the navigation leaves out or an unknown name fails it."""
    pytest.importorskip("mkdocs", reason="The documentation extra is not installed.")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    answer = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return folder


def page(site: Path, name: str) -> str:
    return (site / name).read_text(encoding="utf-8")


def test_the_site_needs_no_network(site: Path) -> None:
    """No page loads a script, a style sheet, a font or a picture from another host."""
    for path in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|iframe)[^>]*\ssrc="(https?:[^"]*)"', path.read_text(encoding="utf-8")
        )
        loaded += re.findall(
            r'<link[^>]*rel="(?:stylesheet|preconnect)"[^>]*href="(https?:[^"]*)"',
            path.read_text(encoding="utf-8"),
        )
        assert loaded == [], path


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    text = page(site, "reference/python.html")
    missing = [
        name
        for name in ctseg.__all__
        if name != "__version__" and not re.search(rf'id="[\w.]*\.{name}"', text)
    ]
    assert missing == []


@pytest.mark.parametrize("name", ctseg.__all__)
def test_every_public_name_has_a_docstring(name: str) -> None:
    value = getattr(ctseg, name)
    assert inspect.getdoc(value)
    if inspect.isclass(value):
        for key, member in vars(value).items():
            if not key.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                assert inspect.getdoc(member), f"{name}.{key}"


def test_every_verb_is_in_the_reference_in_the_order_of_the_help(site: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "napari_ctseg.commands.main", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    listed = re.findall(r"^  (\w+)\s", answer.stdout.split("Commands:")[1], re.M)
    assert re.findall(r'<h2 id="([\w-]+)"', page(site, "reference/commands.html")) == listed
    assert len(listed) == len(app.registered_commands) + len(app.registered_groups)


def test_every_option_is_in_the_reference(site: Path) -> None:
    text = page(site, "reference/commands.html")
    for option in (
        "--nsd-tolerance MM",
        "--convention deepmind|wmh2017|monai",
        "--from BUNDLE",
        "--overwrite",
    ):
        assert option in text, option


def test_every_recipe_and_every_field_is_in_the_reference(site: Path) -> None:
    from ctseg_training.recipes import Recipe, list_recipes

    text = page(site, "reference/recipes.html")
    for name in (*list_recipes(), *Recipe.model_fields):
        assert f"<code>{name}</code>" in text, name


def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    """With the settings of the site and a page of its own: nothing that a test could pass silently."""
    pytest.importorskip("mkdocs", reason="The documentation extra is not installed.")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Page\n\n[broken](no-such-page.md)\n", encoding="utf-8")
    config = f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: docs\nhooks: []\nplugins: []\nnav: [index.md]\n"
    (tmp_path / "mkdocs.yml").write_text(config, encoding="utf-8")
    answer = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-f", str(tmp_path / "mkdocs.yml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert answer.returncode == 1 and "no-such-page.md" in answer.stderr
