"""The house rules: imports run one way, nothing heavy is loaded before it is needed, and the wheel has all
that it has to have.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
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
VERBS = (
    "demo",
    "open",
    "info",
    "convert",
    "predict",
    "evaluate",
    "train",
    "recipes",
    "phantom",
    "bundle",
    "crossval",
    "stack",
    "report",
    "calibrate",
)
PACKAGES = ("napari_ctseg", "ctseg_models", "ctseg_imaging", "ctseg_training")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )


def folder_of(package: str) -> Path:
    """Where the source of a package lies."""
    places = (ROOT / package, ROOT / "models" / package, *ROOT.glob(f"src/*/{package}"))
    return next(path for path in places if path.is_dir())


def loaded_by(code: str, names: tuple[str, ...]) -> set[str]:
    """Which of `names` a fresh Python has loaded after `code`."""
    answer = python(f"import sys\n{code}\nprint(*(n for n in {names!r} if n in sys.modules), sep='\\n')")
    assert answer.returncode == 0, answer.stderr
    return set(answer.stdout.split()) & set(names)


def test_import_rules_hold() -> None:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("verb", [None, *VERBS])
def test_help_loads_nothing_heavy(verb: str | None) -> None:
    words = [verb] if verb else []
    code = (
        f"import contextlib, io\nfrom napari_ctseg.commands.main import app\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    "
        f"app({[*words, '--help']!r})"
    )
    assert loaded_by(code, HEAVY) == set()


def test_the_manifest_loads_no_torch_and_names_what_is_there() -> None:
    code = (
        "import npe2\nmanifest = "
        "npe2.PluginManifest.from_distribution('napari-ctseg')\nmanifest.validate_imports()\n"
        "assert [w.display_name for w in manifest.contributions.widgets] == "
        "['Window', 'Run model', 'Compare', 'Measure', 'Correct & export', 'Fine-tune', 'Recovery', 'Keys'], "
        "manifest.contributions.widgets"
    )
    assert loaded_by(code, ("torch", "monai")) == set()


def test_the_manifest_at_the_root_is_the_one_inside_the_package() -> None:
    assert (ROOT / "napari_ctseg/napari.yaml").read_bytes() == (ROOT / "napari.yaml").read_bytes()


@pytest.mark.parametrize("package", ["ctseg_imaging", "ctseg_models", "ctseg_training"])
def test_rooms_below_the_plugin_load_no_qt(package: str) -> None:
    code = (
        f"import importlib, pkgutil, {package}\n"
        f"for module in pkgutil.walk_packages({package}.__path__, '{package}.'):\n    "
        "importlib.import_module(module.name)"
    )
    assert loaded_by(code, ("qtpy", "PyQt6", "napari")) == set()


@pytest.mark.parametrize("package", ["ctseg_imaging", "ctseg_models", "ctseg_training"])
def test_a_package_lists_its_public_names_and_loads_them_when_used(package: str) -> None:
    assert loaded_by(f"import {package}", HEAVY) == set()
    module = importlib.import_module(package)
    assert module.__all__ == sorted(set(module.__all__)) != []
    assert all(getattr(module, name) is not None for name in module.__all__)
    assert module.__version__ == importlib.metadata.version("napari-ctseg")
    assert Path(module.__file__ or "").with_name("py.typed").exists()


def test_every_command_of_the_page_is_there() -> None:
    answer = python("from napari_ctseg.commands.main import app\napp(['--help'])")
    listed = {
        line.split()[0]
        for line in answer.stdout.split("Commands:")[1].splitlines()
        if line.startswith("  ") and line[2] != " "
    }
    assert set(VERBS) <= listed


def test_usage_errors_end_with_2_and_an_input_fault_with_1() -> None:
    run = "from napari_ctseg.commands.main import app\napp({words!r})"
    assert python(run.format(words=["convert", "--no-such-option"])).returncode == 2
    fault = python(run.format(words=["info", "no-such-file.nii.gz"]))
    assert fault.returncode == 1
    assert fault.stdout == ""
    assert "no-such-file.nii.gz" in fault.stderr and "Traceback" not in fault.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_files_say_what_they_are_for(package: str) -> None:
    for path in folder_of(package).rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert path.name == "__init__.py" or text.startswith('"""'), (
            f"{path} does not say in its first line what it is for."
        )


MANY_FILES = ("networks",)  # one network a file


@pytest.mark.parametrize("package", PACKAGES)
def test_folders_and_files_stay_small(package: str) -> None:
    for folder in {path.parent for path in folder_of(package).rglob("*.py")}:
        sources = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(sources) <= 12 or folder.name in MANY_FILES, (
            f"{folder} has {len(sources)} files; group some of them in a folder."
        )
        for path in sources:
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, (
                f"{path} has more than 300 lines; give its second idea a file of its own."
            )


Function = ast.FunctionDef | ast.AsyncFunctionDef


def trees() -> dict[Path, ast.Module]:
    """All source files of the four packages."""
    paths = [path for package in PACKAGES for path in sorted(folder_of(package).rglob("*.py"))]
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def length(function: Function) -> int:
    """Its lines without the docstring, from `def` to the end."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None and first.end_lineno is not None
    docstring = first.end_lineno - first.lineno + 1 if documented and first.end_lineno is not None else 0
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1 - docstring


def fields(node: ast.ClassDef) -> set[str]:
    """What is annotated in the class, and what its methods set on self."""
    annotated = {
        one.target.id
        for one in node.body
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
    }
    targets = [
        target
        for one in ast.walk(node)
        if isinstance(one, ast.Assign | ast.AnnAssign)
        for group in (one.targets if isinstance(one, ast.Assign) else [one.target])
        for target in ast.walk(group)
    ]
    return annotated | {
        target.attr
        for target in targets
        if isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
    }


def test_functions_fit_on_a_screen() -> None:
    found = [one for tree in trees().values() for one in ast.walk(tree) if isinstance(one, Function)]
    lengths = sorted(length(function) for function in found)
    assert statistics.median(lengths) < 11
    assert lengths[int(0.9 * len(lengths))] <= 20


def test_classes_stay_small() -> None:
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                methods = [one for one in node.body if isinstance(one, Function)]
                assert len(methods) <= 25, f"{path}: {node.name} has {len(methods)} methods; split it."
                assert len(fields(node)) <= 20, (
                    f"{path}: {node.name} has {len(fields(node))} fields; split it."
                )


def test_lines_are_short() -> None:
    for path in trees():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            code = re.split(r"  # (?:noqa|type: ignore)", line)[0]  # as ruff counts
            assert len(code) <= 110, f"{path}:{number} has {len(code)} characters."


def test_slice_numbers_are_made_in_one_place() -> None:
    """Text that names a slice uses `slice_number`: nothing adds 1 to an index by itself."""
    for path in trees():
        for line in path.read_text(encoding="utf-8").splitlines():
            found = re.search(r"(?i)slice[^\"]*\{[^}]*[+-] 1\}", line)
            assert found is None, f"{path}: {line.strip()}; use ctseg_imaging.volume.slice_number."


QT = ("qtpy", "napari.qt", "napari._qt", "pyqtgraph", "magicgui", "superqt")
WITH_QT = ("view.py", "parts.py", "notices.py", "widgets", "background")


def test_qt_stays_in_views_and_widgets() -> None:
    for path in (ROOT / "napari_ctseg").rglob("*.py"):
        names = []
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names += [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
        found = [name for name in names if any(f"{name}.".startswith(f"{qt}.") for qt in QT)]
        assert not found or set(path.relative_to(ROOT).parts) & set(WITH_QT), (
            f"{path} imports {found[0]}; move what needs Qt into view.py or widgets/."
        )


@pytest.mark.long
def test_the_wheel_has_packages_manifest_recipes_and_trained_bundles(tmp_path: Path) -> None:
    build = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stderr
    wheel = zipfile.ZipFile(next(tmp_path.glob("*.whl")))
    names = wheel.namelist()
    assert len(names) == len(set(names))
    assert {name.split("/")[0] for name in names if not name.startswith("napari_ctseg-")} == set(PACKAGES)
    assert wheel.read("napari_ctseg/napari.yaml") == (ROOT / "napari.yaml").read_bytes()
    for package in ("ctseg_imaging", "ctseg_models", "ctseg_training"):
        assert {f"{package}/py.typed", f"{package}/__init__.pyi"} <= set(names)
    templates = [path.name for path in (ROOT / "src").rglob("*.jinja")]
    assert templates and all(any(name.endswith(f"/{one}") for name in names) for one in templates)
    for recipe in (ROOT / "src/training/ctseg_training/recipes").glob("*.yaml"):
        assert f"ctseg_training/recipes/{recipe.name}" in names
    for bundle in ("phantom-abdomen-scn", "headneck-ct-scn"):
        inside = [
            path.relative_to(ROOT / "models/bundles")
            for path in (ROOT / "models/bundles" / bundle).rglob("*")
            if path.is_file()
        ]
        assert any(path.suffix == ".safetensors" for path in inside)
        for path in inside:
            assert f"ctseg_models/bundled/{path.as_posix()}" in names
