"""What is public: the names, their signatures, and that importing them is cheap."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import napari_ctseg as ctseg
from napari_ctseg import api

SNAPSHOTS = Path(__file__).with_name("snapshots")
PACKAGES = ("napari_ctseg", "ctseg_imaging", "ctseg_models", "ctseg_training")
HEAVY = (
    "torch",
    "monai",
    "nibabel",
    "SimpleITK",
    "pydicom",
    "qtpy",
    "PyQt6",
    "napari",
    "matplotlib",
    "scipy",
)


def described(value: Any, name: str) -> list[str]:
    """A public name with its signature, and below a class its public methods and properties."""
    if inspect.ismodule(value):
        return [f"module {name}"]
    if not callable(value):
        return [name]
    if not inspect.isclass(value):
        return [f"{name}{_signature(value)}"]
    lines = [f"class {name}{'' if issubclass(value, Exception | BaseModel | Enum) else _signature(value)}"]
    for key in sorted(key for key in vars(value) if not key.startswith("_")):
        member = inspect.getattr_static(value, key)
        if isinstance(member, property | cached_property):
            lines.append(f"    {key}")
        elif inspect.isfunction(member) or isinstance(member, classmethod | staticmethod):
            lines.append(f"    {key}{_signature(getattr(value, key))}")
    return lines


def _signature(value: Any) -> str:
    """The parameters with their defaults, without types."""
    signature = inspect.signature(value)
    bare = [one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()]
    text = str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))
    return re.sub(r" at 0x\w+", "", text)


@pytest.mark.parametrize("package", PACKAGES)
def test_names_and_signatures_are_the_ones_that_are_promised(package: str) -> None:
    """A line that changes in a snapshot changes the public API: follow docs/api.md and list it in
    CHANGELOG.md. `python tests/api/test_public_names.py` writes the snapshots.
    """
    assert snapshot(package) == (SNAPSHOTS / f"{package}.txt").read_text(encoding="utf-8")


def snapshot(package: str) -> str:
    module = importlib.import_module(package)
    lines = [line for name in module.__all__ for line in described(getattr(module, name), name)]
    return "\n".join(lines) + "\n"


def test_the_package_offers_what_the_api_has() -> None:
    assert sorted(ctseg.__all__) == sorted(api.__all__)
    for name in api.__all__:
        assert getattr(ctseg, name) is getattr(api, name)
    assert set(ctseg.__all__) <= set(dir(ctseg))


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert ctseg.__version__ == version("napari-ctseg")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="segmentate"):
        _ = ctseg.segmentate


@pytest.mark.parametrize(
    "code", ["import napari_ctseg", "import napari_ctseg as c; [getattr(c, n) for n in c.__all__]"]
)
def test_importing_loads_nothing_heavy(code: str) -> None:
    code = f"import sys\n{code}\nprint(*(n for n in {HEAVY!r} if n in sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.split() == []


def test_importing_the_package_alone_does_not_even_load_numpy() -> None:
    code = "import sys, napari_ctseg; print('numpy' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.split() == ["False"]


@pytest.mark.parametrize("name", [name for name in api.__all__ if not inspect.isclass(getattr(api, name))])
def test_every_function_documents_its_parameters_and_shows_an_example(name: str) -> None:
    text = inspect.getdoc(getattr(api, name)) or ""
    assert "Examples\n--------" in text
    for parameter in inspect.signature(getattr(api, name)).parameters:
        assert parameter in text.split("Parameters\n")[1].split("Returns\n")[0]


def test_the_package_is_typed() -> None:
    assert Path(ctseg.__file__).with_name("py.typed").is_file()


def test_the_page_of_the_api_lists_every_public_name() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in ctseg.__all__ if f"`{name}`" not in page] == []


if __name__ == "__main__":
    for package in PACKAGES:
        (SNAPSHOTS / f"{package}.txt").write_text(snapshot(package), encoding="utf-8")
