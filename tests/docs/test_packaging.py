"""The conda recipe and the metadata of the napari hub follow pyproject.toml and the manifest."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
BUILD = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
CONDA = {"torch": "pytorch", "SimpleITK": "simpleitk", "lazy-loader": "lazy_loader"}


def test_the_conda_recipe_has_the_dependencies_version_and_command_of_the_project() -> None:
    recipe = yaml.safe_load((ROOT / "conda/recipe.yaml").read_text(encoding="utf-8"))
    wanted = set()
    for requirement in PROJECT["dependencies"]:
        name, extra, version = re.fullmatch(r"([\w-]+)(\[.*\])?(.*)", requirement).groups()  # type: ignore[union-attr]
        wanted.add(f"{CONDA.get(name, name)} {version}".strip())
        if extra == "[pyqt6]":
            wanted.add("pyqt >=6")
    assert set(recipe["requirements"]["run"]) == wanted | {f"python {PROJECT['requires-python']}"}
    host = {f"python {PROJECT['requires-python']}", "pip", *map(_spaced, BUILD["requires"])}
    assert set(recipe["requirements"]["host"]) == host
    assert recipe["context"]["version"] == PROJECT["version"]
    (entry,) = recipe["build"]["python"]["entry_points"]
    assert entry == f"napari-ctseg = {PROJECT['scripts']['napari-ctseg']}"


def _spaced(requirement: str) -> str:
    """A requirement as conda writes it, with a space before the version."""
    name, version = re.fullmatch(r"([\w-]+)(.*)", requirement).groups()  # type: ignore[union-attr]
    return f"{name} {version}".strip()


def test_the_conda_recipe_has_only_keys_of_its_format_and_files_that_exist() -> None:
    """The keys that it uses, out of those of recipe format 1 (conda's CEP 14); others would be refused."""
    recipe = yaml.safe_load((ROOT / "conda/recipe.yaml").read_text(encoding="utf-8"))
    keys = {
        "": {"schema_version", "context", "package", "source", "build", "requirements", "tests", "about"},
        "package": {"name", "version"},
        "source": {"path"},
        "build": {"number", "noarch", "script", "python"},
        "requirements": {"build", "host", "run", "run_constraints"},
        "about": {"homepage", "repository", "documentation", "license", "license_file", "summary"},
    }
    for section, known in keys.items():
        assert set(recipe[section] if section else recipe) <= known, section
    assert recipe["schema_version"] == 1 and recipe["build"]["noarch"] == "python"
    assert [set(test) for test in recipe["tests"]] == [{"python"}, {"script"}]
    assert set(recipe["tests"][0]["python"]) <= {"imports", "pip_check", "python_version"}
    source = ROOT / "conda" / recipe["source"]["path"]
    assert (source / "pyproject.toml").is_file() and (source / recipe["about"]["license_file"]).is_file()


def test_the_hub_finds_the_plugin_and_what_it_is_for() -> None:
    assert "Framework :: napari" in PROJECT["classifiers"]
    manifest = yaml.safe_load((ROOT / "napari.yaml").read_text(encoding="utf-8"))
    assert "Segmentation" in manifest["categories"] and manifest["display_name"]
    hub = yaml.safe_load((ROOT / ".napari-hub/config.yml").read_text(encoding="utf-8"))
    assert hub["visibility"] == "public" and len(hub["summary"]) < 200
    assert (ROOT / ".napari-hub/DESCRIPTION.md").stat().st_size > 400


def test_every_package_has_the_version_of_the_distribution() -> None:
    import importlib

    for package in ("napari_ctseg", "ctseg_imaging", "ctseg_models", "ctseg_training"):
        assert importlib.import_module(package).__version__ == PROJECT["version"]
