"""The demonstration: what it takes, what it counts, and what its picture shows."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from ctseg_imaging.errors import RecipeError
from ctseg_imaging.metrics.reports.case_report import CaseReport, Row
from ctseg_imaging.volume import Labels
from napari_ctseg.commands.images import demo
from napari_ctseg.files import workspace
from napari_ctseg.recovery.pictures import fullest_slice

LABELS = Labels.from_names({1: "liver", 2: "kidneys", 3: "spleen", 4: "pancreas"})
MODELS = Path(__file__).resolve().parents[2] / "models" / "bundles"


def without_display(words: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    surroundings = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    }
    return subprocess.run(
        [sys.executable, *words],
        env=surroundings | more,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


def dataset(folder: Path, splits: dict[str, list[str]], present: list[str]) -> Path:
    """Cases of 4 x 5 x 6 voxels whose only value tells the split."""
    for number, names in enumerate(splits.values()):
        for name in names:
            for kind in ("imagesTr", "labelsTr"):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                array = np.full((4, 5, 6), number + 1, np.int16 if kind == "imagesTr" else np.uint8)
                sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / kind / f"{name}.nii.gz"))
    pairs = {
        split: [{"image": f"imagesTr/{n}.nii.gz", "label": f"labelsTr/{n}.nii.gz"} for n in cases]
        for split, cases in splits.items()
    }
    names = {str(label.value): label.name for label in LABELS} | {"0": "background"}
    content = {
        "name": "made up",
        "labels": names,
        "labels_present": {name: present for cases in splits.values() for name in cases},
        **pairs,
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def test_the_real_case_is_the_finest_that_was_held_out_with_what_was_contoured_in_it(tmp_path: Path) -> None:
    folder = dataset(tmp_path, {"training": ["a"], "validation": ["b", "c"]}, ["liver", "kidneys"])
    fine = sitk.ReadImage(str(folder / "imagesTr" / "c.nii.gz"))
    fine.SetSpacing((0.9, 0.9, 1.0))
    sitk.WriteImage(fine, str(folder / "imagesTr" / "c.nii.gz"))
    (case,) = demo.held_out(folder, SimpleNamespace(labels=LABELS))
    assert case.name == "c"
    assert (case.image.array == 2).all()
    assert [(label.name, label.contoured) for label in case.truth.labels] == [
        ("liver", True),
        ("kidneys", True),
        ("spleen", False),
        ("pancreas", False),
    ]


def test_a_data_set_without_held_out_cases_is_refused(tmp_path: Path) -> None:
    folder = dataset(tmp_path, {"training": ["a"]}, ["liver"])
    with pytest.raises(RecipeError, match="validation"):
        list(demo.held_out(folder, SimpleNamespace(labels=LABELS)))


def reports() -> list[CaseReport]:
    return [
        CaseReport("one", (Row("one", 1, "liver", dice=0.9), Row("one", 2, "kidneys", dice=0.7))),
        CaseReport(
            "two",
            (
                Row("two", 1, "liver", dice=0.8),
                Row("two", 2, "kidneys", note="not contoured"),
                Row("two", 3, "spleen"),
            ),
        ),
    ]


def test_the_mean_leaves_out_what_was_not_contoured_and_what_is_undefined() -> None:
    assert demo.mean_dice(reports()) == pytest.approx((0.9 + 0.7 + 0.8) / 3)
    assert math.isnan(demo.mean_dice([]))


def test_the_table_has_a_row_for_each_case_and_label() -> None:
    from rich.console import Console

    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(demo.table("a model", reports()))
    lines = console.export_text().splitlines()
    assert sum("one" in line or "two" in line for line in lines) == 5
    assert any("kidneys" in line and "not contoured" in line for line in lines)
    assert any("liver" in line and "0.900" in line for line in lines)


def test_the_slice_that_shows_most_labels_is_the_one_shown() -> None:
    array = np.zeros((5, 6, 7), np.uint8)
    array[1], array[3, 0, :4] = 1, (1, 2, 3, 4)
    assert fullest_slice(array) == 3


@pytest.mark.parametrize(
    ("path", "name"), [("a/CT.nii.gz", "CT"), ("x.y.mha", "x.y"), ("folder", "folder"), ("b.NRRD", "b")]
)
def test_a_layer_is_named_after_its_file(path: str, name: str) -> None:
    assert workspace.stem_of(Path(path)) == name


@pytest.mark.skipif(sys.platform != "linux", reason="Xvfb is for Linux.")
def test_a_screen_is_made_where_there_is_none_and_goes_with_the_process() -> None:
    code = (
        "from napari_ctseg.viewer import display\n"
        "with display.screen() as is_real:\n"
        "    from qtpy.QtWidgets import QApplication\n"
        "    app = QApplication([])\n"
        "    size = app.primaryScreen().size()\n"
        "    print(is_real, app.platformName(), size.width(), size.height())"
    )
    answer = without_display(["-c", code])
    assert (answer.returncode, answer.stdout.split()) == (0, ["False", "xcb", "1920", "1200"]), answer.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="Xvfb is for Linux.")
def test_no_screen_and_no_way_to_make_one_is_a_sentence() -> None:
    code = "from napari_ctseg.viewer import display\nwith display.screen():\n    pass"
    answer = without_display(["-c", code], PATH="")
    assert answer.returncode != 0 and "no Xvfb" in answer.stderr.splitlines()[-1]


def run_demo(tmp_path: Path, *words: Any) -> tuple[str, np.ndarray[Any, Any]]:
    from imageio.v3 import imread

    target = tmp_path / "demo.png"
    answer = without_display(
        [
            "-m",
            "napari_ctseg.commands.main",
            "demo",
            "--screenshot",
            str(target),
            *(str(word) for word in words),
        ]
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout, np.asarray(imread(target))[..., :3].astype(int)


def has_colour(picture: np.ndarray[Any, Any], colour: str, pixels: int) -> bool:
    """Whether at least `pixels` pixels are within a little of #RRGGBB."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(picture - wanted).max(axis=-1) < 40).sum()) >= pixels


@pytest.mark.long
@pytest.mark.skipif(
    not (MODELS / demo.PHANTOM_BUNDLE).is_dir(), reason="The bundle for phantoms is not there."
)
def test_phantoms_that_were_never_seen_are_segmented_and_shown(tmp_path: Path) -> None:
    text, picture = run_demo(tmp_path)
    assert float(re.search(r"mean Dice (\d\.\d+)", text)[1]) >= 0.90  # type: ignore[index]
    assert picture.shape[0] >= 900 and picture.shape[1] >= 1500
    assert all(has_colour(picture, label.colour, 60) for label in LABELS)
    assert has_colour(picture, "#F0E442", 500)  # the box, and the pancreas


@pytest.mark.long
@pytest.mark.skipif(
    not (MODELS / demo.REAL_BUNDLE).is_dir(), reason="The bundle for heads and necks is not there."
)
def test_a_real_case_that_was_held_out_is_segmented_and_shown(tmp_path: Path, shared_data: Path) -> None:
    text, picture = run_demo(tmp_path, "--real", shared_data / "headneck-ct")
    assert "hn_2" in text and float(re.search(r"mean Dice (\d\.\d+)", text)[1]) >= 0.5  # type: ignore[index]
    assert picture.shape[0] >= 900 and picture.shape[1] >= 1500
