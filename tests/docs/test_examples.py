"""The examples in the pages print what the pages show."""

from __future__ import annotations

import dataclasses
import doctest
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("page", ["reference/metrics.md"])
def test_examples(page: str) -> None:
    result = doctest.testfile(str(DOCS / page), module_relative=False, verbose=False)
    assert result.attempted > 5 and result.failed == 0


def test_the_metrics_page_has_every_column_of_a_report() -> None:
    from ctseg_imaging.metrics.reports.case_report import Row

    text = (DOCS / "reference/metrics.md").read_text(encoding="utf-8")
    about_the_case = {"case", "label", "name", "resampled", "note"}
    assert [
        field.name
        for field in dataclasses.fields(Row)
        if field.name not in about_the_case and f"`{field.name}`" not in text
    ] == []


@pytest.mark.parametrize("convention", ["deepmind", "monai", "wmh2017"])
@pytest.mark.parametrize("empty", ["both", "truth", "prediction"])
def test_the_table_of_conventions_says_what_is_computed(convention: str, empty: str) -> None:
    """The cells for empty sides, as numbers."""
    import numpy as np

    from ctseg_imaging.metrics.conventions import Convention, overlap_scores, surface_scores
    from ctseg_imaging.metrics.overlap import joint_histogram

    full = np.zeros((4, 5, 6), np.uint8)
    full[1:3, 1:4, 2:5] = 1
    nothing = np.zeros_like(full)
    truth = nothing if empty in ("both", "truth") else full
    prediction = nothing if empty in ("both", "prediction") else full
    one = Convention(convention)
    surfaces = surface_scores(truth == 1, prediction == 1, (3, 2, 1), one, 2.0)
    dice = overlap_scores(joint_histogram(truth, prediction, [1]), 1, one).dice
    found = (dice, surfaces.hd, surfaces.hd95, surfaces.assd, surfaces.nsd)
    nan, inf = float("nan"), float("inf")
    expected = {
        ("deepmind", "both"): (nan, inf, inf, nan, nan),
        ("deepmind", "one"): (0, inf, inf, inf, 0),
        ("monai", "both"): (nan, nan, nan, nan, nan),
        ("monai", "one"): (nan if empty == "truth" else 0, inf, nan, inf, 0),
        ("wmh2017", "both"): (nan, nan, nan, nan, nan),
        ("wmh2017", "one"): (0, nan, nan, inf, 0),
    }[convention, "both" if empty == "both" else "one"]
    assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.long
def test_the_commands_of_the_tutorial_run(tmp_path: Path) -> None:
    """In their order; what needs a display is left to the tests of the viewer."""
    page = (DOCS / "tutorials/score-a-model.md").read_text(encoding="utf-8")
    commands = [
        line.split()[1:]
        for block in re.findall(r"```sh\n(.*?)```", page, re.S)
        for line in block.splitlines()
        if not line.startswith("napari-ctseg open")
    ]
    assert len(commands) == 4
    for words in commands:
        command = [sys.executable, "-m", "napari_ctseg.commands.main", *words]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    assert {"scores.csv", "report.html", "slices.csv"} <= {path.name for path in tmp_path.iterdir()}
    assert len(list((tmp_path / "predictions").glob("*.nii.gz"))) == 3
