"""What is public: the names, their signatures, and that importing them is cheap."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import napari_ctseg as ctseg
from napari_ctseg import api

SNAPSHOT = Path(__file__).with_name("public_names.txt")
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


def described(name: str) -> list[str]:
    """A public name with its signature, and below it the public methods of a class of the API."""
    value = getattr(ctseg, name)
    if not callable(value):
        return [name]
    if not inspect.isclass(value):
        return [f"{name}{inspect.signature(value)}"]
    if not value.__module__.startswith("napari_ctseg"):
        return [f"class {name}"]
    members = [key for key in vars(value) if not key.startswith("_")]
    lines = [f"class {name}{inspect.signature(value)}"]
    for key in sorted(members):
        member = inspect.getattr_static(value, key)
        function = getattr(value, key) if isinstance(member, classmethod) else member
        lines.append(f"    {key}{inspect.signature(function) if callable(function) else ''}")
    return lines


def test_names_and_signatures_are_the_ones_that_are_promised() -> None:
    """A line that changes here changes the public API: say so in CHANGELOG.md, and follow docs/api.md."""
    found = [line for name in ctseg.__all__ for line in described(name)]
    assert "\n".join(found) + "\n" == SNAPSHOT.read_text(encoding="utf-8")


def test_the_package_offers_what_the_api_has() -> None:
    assert [name for name in ctseg.__all__ if name != "__version__"] == sorted(api.__all__)
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
