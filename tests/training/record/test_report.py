"""The training report: what the events say stands on the page and in the table, and the pictures show what
lies where.
"""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from typer.testing import CliRunner

from ctseg_imaging.errors import RecipeError
from ctseg_imaging.volume import Labels
from ctseg_training.record.events import EventLog
from ctseg_training.record.history import RunHistory, write_csv
from ctseg_training.record.overlays import CaseComparison, draw_overlay, most_truth, save_samples
from ctseg_training.record.report import write_report
from ctseg_training.record.report_plots import smoothed, waiting
from napari_ctseg.commands.main import app

LABELS = Labels.from_names({1: "liver", 2: "spleen & more"})


def say_step(log: EventLog, step: int, loss: float, waited: float | None = None) -> None:
    more = {} if waited is None else {"waited": waited}
    log.write(
        "step",
        step=step,
        loss=loss,
        smoothed_loss=loss,
        terms={"soft_dice(logits)": loss / 2, "edge(edges)": loss / 4},
        gradient_norm=1.0,
        learning_rate=1e-3 / step,
        seconds_per_step=2.0,
        elapsed=2.0 * step,
        spent=step / 8,
        seconds_left=1.0,
        skipped=1,
        memory_mb=100.0 + step,
        **more,
    )


def start(log: EventLog, from_step: int = 0) -> None:
    log.write(
        "start",
        recipe="mine <b>",
        stage="segment",
        labels=["liver", "spleen & more"],
        cases=9,
        held_out=3,
        steps=8,
        minutes=None,
        from_step=from_step,
        device="cpu",
        precision="fp32",
        parameters=1234567,
        trained_parameters=1000,
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that was cut off after step 6, resumed from step 4, and came to its end at 8."""
    log = EventLog(tmp_path / "events.jsonl")
    log.write("warning", message="2 cases are <odd>.")
    start(log)
    log.write(
        "validation", step=0, scores={"liver": 0.5, "spleen & more": None, "mean": 0.5}, whole_bundle=True
    )
    for step in range(1, 7):
        say_step(log, step, 8.0 / step, waited=0.5 * step)
        if step in (3, 5):
            log.write(
                "validation",
                step=step,
                scores={"liver": 0.1 * step, "spleen & more": 0.2, "mean": 0.1 * step},
                whole_bundle=False,
            )
    log.write("warning", step=5, message="Step 5 was left out: its gradient was not finite.")
    start(log, from_step=4)
    for step in range(5, 9):
        say_step(log, step, 80.0 / step, waited=0.25 * (step - 4))
    log.write(
        "validation", step=7, scores={"liver": 0.6, "spleen & more": 0.4, "mean": 0.5}, whole_bundle=False
    )
    after = {"liver": 0.7, "spleen & more": 0.5, "mean": 0.6}
    log.write("validation", step=8, scores=after, whole_bundle=True)
    log.write("done", step=8, seconds=16.0, bundle="bundle", before=None, after=after)
    (tmp_path / "recipe.yaml").write_text("name: mine\ndescription: for <everyone>\n")
    return tmp_path


class Page(HTMLParser):
    """Text, table rows and image sources of a page; notices what is left open."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.rows, self.images, self.open = "", list[list[str]](), list[str](), list[str]()
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("img", "meta"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.images += [value or "" for name, value in attrs if name == "src"]
        assert not {"href", "onclick"} & {name for name, _ in attrs} and tag not in (
            "script",
            "link",
            "iframe",
        )

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        elif self.open and self.open[-1] != "style":
            self.text += data


def test_the_page_says_what_the_events_say(run: Path) -> None:
    page = Page(write_report(run))
    assert "mine <b>: training report" in page.text and "Done after 8 steps in 16 s." in page.text
    assert "0.600, before training 0.500" in re.sub(r"\s+", " ", page.text)
    assert page.rows[0] == ["label", "before", "after", "change", "curve, best (step 7)"]
    assert page.rows[1:4] == [
        ["liver", "0.500", "0.700", "+0.200", "0.600"],
        ["spleen & more", "–", "0.500", "–", "0.400"],
        ["mean", "0.500", "0.600", "+0.100", "0.500"],
    ]
    facts = {row[0]: row[1] for row in page.rows[4:]}
    assert facts["Cases"] == "9 trained on, 3 held out" and facts["Memory, at most"] == "108 MB"
    assert (
        facts["A step"].startswith("median 2 s")
        and "2 cases are <odd>." in page.text
        and "1 step was left out" in page.text
    )
    assert "description: for <everyone>" in page.text


def test_the_page_needs_nothing_else(run: Path) -> None:
    save_samples(run / "samples", [CaseComparison("case_7", *finding())], LABELS, step=3)
    page = Page(write_report(run))
    assert len(page.images) == 5 and all(source.startswith("data:image/") for source in page.images)
    drawings = [
        base64.b64decode(source.partition(",")[2]).decode() for source in page.images if "svg" in source
    ]
    assert any("soft_dice(logits)" in one and "edge(edges)" in one for one in drawings)
    assert any("spleen" in one and "mean" in one for one in drawings) and any(
        "waiting for data" in one for one in drawings
    )


def test_only_the_last_picture_of_a_case_is_shown(run: Path) -> None:
    for step in (5, 3, 20):
        save_samples(
            run / "samples",
            [CaseComparison("case_7", *finding()), CaseComparison("step-2", *finding())],
            LABELS,
            step=step,
        )
    page = Page(write_report(run))
    assert "case_7, step 20" in page.text and "step-2, step 20" in page.text and "step 5" not in page.text
    assert sum("png" in source for source in page.images) == 2


def test_the_table_has_every_step_once_with_the_names_of_the_terms(run: Path) -> None:
    rows = list(csv.reader(write_csv(run).read_text().splitlines()))
    assert rows[0] == [
        "step",
        "loss",
        "soft_dice(logits)",
        "edge(edges)",
        "learning_rate",
        "seconds",
        "seconds_per_step",
        "waited",
    ]
    assert [row[0] for row in rows[1:]] == [str(step) for step in range(1, 9)]
    assert rows[4][1:4] == ["2", "1", "0.5"] and rows[5][1:4] == [
        "16",
        "8",
        "4",
    ]  # 5 and 6 as they were done the second time
    assert rows[8] == ["8", "10", "5", "2.5", "0.000125", "16", "2", "1"]


def test_a_loss_that_was_not_finite_is_an_empty_cell(run: Path) -> None:
    say_step(EventLog(run / "events.jsonl"), 9, float("nan"))
    rows = list(csv.reader(write_csv(run).read_text().splitlines()))
    assert rows[-1][:4] == ["9", "", "", ""]
    Page(write_report(run))


def test_a_run_that_has_only_begun_or_failed(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="holds no training run"):
        write_report(tmp_path)
    log = EventLog(tmp_path / "events.jsonl")
    log.write("error", message="labels/a.nii.gz: is <cut> off.")
    page = Page(write_report(tmp_path))
    assert "Failed after 0 steps" in page.text and "labels/a.nii.gz: is <cut> off." in page.text
    start(log)
    page = Page(write_report(tmp_path))
    assert "Still running, or cut off after 0 steps" in page.text and "is <cut> off" not in page.text


def test_waiting_is_told_per_step_also_when_steps_went_untold() -> None:
    steps = [
        {"step": 2, "waited": 1.0},
        {"step": 6, "waited": 3.0},
        {"step": 7, "waited": 0.0},
        {"step": 9, "waited": 0.5},
    ]
    np.testing.assert_allclose(waiting(RunHistory(steps=steps)), [np.nan, 0.5, np.nan, 0.25])


def test_smoothing_is_the_mean_over_a_window_that_skips_what_is_missing() -> None:
    values = np.random.default_rng(1).normal(size=110)
    values[[4, 50]] = np.nan
    plain = [np.nanmean(values[max(0, at - 2) : at + 3]) for at in range(110)]  # 110 // 50 on either side
    np.testing.assert_allclose(smoothed(values), plain, rtol=1e-12)


def finding() -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """(7, 40, 30): a liver low in x (the patient's right) in slices 2 to 4, most of it in 3; found shifted
    by four voxels to the left.
    """
    image = np.full((7, 40, 30), 100.0)
    image += np.random.default_rng(0).normal(0, 5, image.shape)
    truth = np.zeros(image.shape, np.uint8)
    truth[2:5, 10:20, 4:12] = 1
    truth[3, 8:22, 3:13] = 1
    return image, truth, np.roll(truth, 4, axis=2)


def test_the_slice_with_most_truth_is_drawn() -> None:
    _, truth, found = finding()
    assert most_truth(truth, found) == 3
    assert most_truth(np.zeros_like(truth), np.roll(found, 2, axis=0)) == 5
    assert most_truth(np.zeros_like(truth), np.zeros_like(found)) == 3


def coloured(png: bytes, colour: str) -> np.ndarray:  # type: ignore[type-arg]
    """(rows, columns) that have nearly this colour, in shares of the picture, the legend left out."""
    pixels = imread(io.BytesIO(png))[..., :3]
    rows, columns = np.nonzero((np.abs(pixels - to_rgb(colour)) < 0.12).all(axis=-1))
    inside = rows < 0.85 * pixels.shape[0]
    return np.stack([rows[inside] / pixels.shape[0], columns[inside] / pixels.shape[1]], axis=1)


def test_contours_lie_where_the_labels_are() -> None:
    image, truth, found = (array[3] for array in finding())
    found = np.where(found == 1, 2, 0).astype(np.uint8)
    png = draw_overlay(image, truth, found, LABELS)
    for colour, low, high in ((LABELS.colour(1), 3 / 30, 13 / 30), (LABELS.colour(2), 7 / 30, 17 / 30)):
        at = coloured(png, colour)
        assert at[:, 1].min() == pytest.approx(low, abs=0.02) and at[:, 1].max() == pytest.approx(
            high, abs=0.02
        )
    solid, dashed = (len(coloured(png, LABELS.colour(value))) for value in (1, 2))
    assert 0.4 < dashed / solid < 0.85  # the same outline, with gaps


def test_pixels_keep_their_size_in_mm_and_air_is_cut_away() -> None:
    image, truth, found = (array[3] for array in finding())
    body = np.pad(image, 30, constant_values=-1000)
    wide = imread(
        io.BytesIO(draw_overlay(body, np.pad(truth, 30), np.pad(found, 30), LABELS, spacing_mm=(1.0, 2.0)))
    )
    height, width = wide.shape[:2]
    assert width == pytest.approx(
        484, abs=2
    )  # the longer side: 34 columns of 2 mm next to 44 rows of 1 mm, with two of air around
    assert height == pytest.approx(484 * 44 / 68 + 110 * 0.22, abs=2)  # one row of names below


@pytest.mark.parametrize(
    "spoil", [lambda image: np.full_like(image, 7), lambda image: np.where(image > 100, np.nan, image)]
)
def test_a_flat_or_holed_image_is_drawn_too(spoil: Callable[[np.ndarray], np.ndarray]) -> None:  # type: ignore[type-arg]
    image, truth, found = (array[3] for array in finding())
    assert draw_overlay(spoil(image), truth, np.zeros_like(found), LABELS).startswith(b"\x89PNG")


def test_shapes_must_agree() -> None:
    image, truth, found = (array[3] for array in finding())
    with pytest.raises(ValueError, match="must agree"):
        draw_overlay(image, truth[1:], found, LABELS)


def test_the_command_makes_both_files(run: Path) -> None:
    answer = CliRunner().invoke(app, ["report", str(run)])
    assert answer.exit_code == 0 and answer.stdout.split() == [
        str(run / "report.html"),
        str(run / "curves.csv"),
    ]
    assert (run / "report.html").is_file() and (run / "curves.csv").is_file()
