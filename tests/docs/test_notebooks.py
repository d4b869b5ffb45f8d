"""The notebooks run from their first cell to the last, and are saved with what they print."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
LONG = {"train-and-look-at-failures"}
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def by_name(path: Path) -> object:
    return pytest.param(path, id=path.stem, marks=[pytest.mark.long] if path.stem in LONG else [])


@pytest.mark.parametrize("path", [by_name(path) for path in NOTEBOOKS])
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    scripts = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", os.pathsep.join([scripts, os.environ["PATH"]]))
    notebook = nbformat.read(path, as_version=4)
    run = NotebookClient(
        notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    code = [cell for cell in run.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [out for cell in code for out in cell.outputs if out.output_type == "error"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_saved_with_its_outputs(path: Path) -> None:
    """In order, from a fresh kernel, without errors or paths of a machine."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any(cell.outputs for cell in code)
    assert not any(output.output_type in ("error", "stream") for cell in code for output in cell.outputs)
    text = path.read_text(encoding="utf-8")
    assert "/home/" not in text and "/tmp/" not in text and "/root/" not in text
