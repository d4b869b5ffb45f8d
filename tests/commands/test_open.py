"""`open`: faults before a window, then layers in their roles and the six docks."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

RUN = ["-m", "napari_ctseg.commands.main", "open"]


def without_display(*words: str | Path) -> subprocess.CompletedProcess[str]:
    surroundings = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    }
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A small CT and two label maps on its grid, made without this project."""
    rng = np.random.default_rng(1)
    arrays = {
        "ct": rng.integers(-900, 900, (7, 8, 9)).astype(np.int16),
        "truth": rng.integers(0, 3, (7, 8, 9)).astype(np.uint8),
        "mask": rng.integers(0, 3, (7, 8, 9)).astype(np.uint8),
    }
    paths = {}
    for name, array in arrays.items():
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((0.7, 1.1, 2.5))
        paths[name] = tmp_path / f"{name}.nii.gz"
        sitk.WriteImage(image, str(paths[name]))
    return paths


@pytest.mark.parametrize(
    "words",
    [
        ["{ct}", "--truth", "no.nii.gz"],
        ["no.nii.gz"],
        ["{ct}", "--model", "no-such-bundle"],
        ["{ct}", "--labels", "{ct}"],
    ],
)
def test_a_fault_is_said_before_a_window_appears(words: list[str], files: dict[str, Path]) -> None:
    answer = without_display(*RUN, *(word.format(**files) for word in words))
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1 and "Traceback" not in answer.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="Xvfb is for Linux.")
def test_layers_get_their_roles_and_the_docks_their_places(files: dict[str, Path]) -> None:
    """In a process of its own: the command owns its viewer, and looks at what it opened just before it
    closes.
    """
    code = (
        "import sys, napari\n"
        "from napari_ctseg.viewer import study\n"
        "from napari_ctseg.commands.main import app\n"
        "close = napari.Viewer.close\n"
        "def look(viewer):\n"
        "    s = study.study_of(viewer)\n"
        "    print([layer.name for layer in viewer.layers], s.image, s.truth, s.prediction, s.edited)\n"
        "    print(sorted(viewer.window.dock_widgets))\n"
        "    close(viewer)\n"
        "napari.Viewer.close = look\n"
        "app(sys.argv[1:])"
    )
    answer = without_display(
        "-c", code, "open", files["ct"], "--truth", files["truth"], "--labels", files["mask"]
    )
    assert answer.returncode == 0, answer.stderr
    first, second = answer.stdout.splitlines()[:2]
    assert first == "['ct', 'truth', 'labels'] ct truth labels labels"
    assert all(
        name in second
        for name in ("Window", "Run model", "Compare", "Measure", "Correct & export", "Fine-tune")
    )


@pytest.mark.skipif(sys.platform != "linux", reason="Xvfb is for Linux.")
def test_open_and_evaluate_agree_on_a_pair(files: dict[str, Path], tmp_path: Path) -> None:
    """Names from the truth's dataset.json, and a label that was not contoured is left out by both."""
    (tmp_path / "dataset.json").write_text(
        '{"labels": {"liver": 1, "spleen": 2}, "labels_present": {"truth": ["liver"]}}'
    )
    code = (
        "import sys, napari\n"
        "from napari_ctseg.files import view\n"
        "from napari_ctseg.commands.main import app\n"
        "opened, docks, close = view.open_docks, {}, napari.Viewer.close\n"
        "def keep(viewer, front):\n"
        "    docks.update(opened(viewer, front))\n"
        "    return docks\n"
        "def look(viewer):\n"
        "    state = lambda: docks['Compare'].controller.state.scores\n"
        "    view.until(lambda: state().rows, 60)\n"
        "    print([(row.name, round(row.dice, 4)) for row in state().rows if row.value], state().note)\n"
        "    close(viewer)\n"
        "view.open_docks, napari.Viewer.close = keep, look\n"
        "app(sys.argv[1:])"
    )
    shown = without_display(
        "-c", code, "open", files["ct"], "--truth", files["truth"], "--labels", files["mask"]
    )
    assert shown.returncode == 0, shown.stderr
    scored = without_display(
        "-m",
        "napari_ctseg.commands.main",
        "evaluate",
        files["mask"],
        files["truth"],
        "--csv",
        tmp_path / "s.csv",
    )
    assert scored.returncode == 0, scored.stderr
    with (tmp_path / "s.csv").open() as stream:
        rows = {row["name"]: row for row in csv.DictReader(stream)}
    assert rows["spleen"]["note"] == "not contoured"
    assert f"[('liver', {round(float(rows['liver']['dice']), 4)})]" in shown.stdout
    assert "spleen" in shown.stdout
