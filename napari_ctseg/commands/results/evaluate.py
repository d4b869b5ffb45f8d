"""`napari-ctseg evaluate`: predictions against truths, in files or in folders."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_ctseg.commands.console import LAYER, follow, note, refuse_existing, say

if TYPE_CHECKING:
    from ctseg_imaging.metrics.cases import CasePair, EvaluationCases
    from ctseg_imaging.metrics.reports.case_report import CaseReport, Row
    from ctseg_imaging.metrics.summary import SummaryRow
    from ctseg_imaging.progress import Progress

Layers = tuple[str | None, str | None]
MEASURES = (("dice", 3), ("hd95", 1), ("assd", 2), ("nsd", 3))
CASE_HEAD = ("label", "Dice", "HD95 mm", "ASSD mm", "NSD", "truth ml", "pred ml", "note")
MEANS_HEAD = (
    "label",
    "Dice",
    "HD95 mm",
    "ASSD mm",
    "NSD",
    "rows",
    "empty",
    "not contoured",
    "Dice, empty as 0",
)


class ConventionName(StrEnum):
    """The names of ctseg_imaging.metrics.Convention, here so the help needs no image library."""

    DEEPMIND = "deepmind"
    WMH2017 = "wmh2017"
    MONAI = "monai"


def evaluate(
    prediction: Annotated[Path, typer.Argument(metavar="PRED", help="A label file, or a folder of them.")],
    truth: Annotated[
        Path,
        typer.Argument(
            metavar="TRUTH", help="The truth of the same name: a file, a folder, or a data set's folder."
        ),
    ],
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="One line per case and label.")] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Everything, with means, for a program.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="One page with tables and pictures of the worst slices."),
    ] = None,
    per_slice: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV, one line per case, label and slice.")
    ] = None,
    convention: Annotated[
        ConventionName, typer.Option(help="Whose definitions to follow.")
    ] = ConventionName.DEEPMIND,
    nsd_tolerance: Annotated[
        float, typer.Option(min=0.0, metavar="MM", help="Tolerance of the normalised surface Dice.")
    ] = 2.0,
    prediction_layer: Annotated[str | None, typer.Option(metavar="K|NAME", help=LAYER)] = None,
    truth_layer: Annotated[str | None, typer.Option(metavar="K|NAME", help="The same for the truth.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write over files that are there.")] = False,
) -> None:
    """Dice, HD95, ASSD, NSD and volumes per label, against a truth on any overlapping grid."""
    from ctseg_imaging.errors import FormatError
    from ctseg_imaging.formats import is_readable
    from ctseg_imaging.metrics.cases import find_cases
    from ctseg_imaging.metrics.reports import report as reports_of
    from napari_ctseg.commands.images.series_table import segmentation_in

    if prediction.is_dir() != truth.is_dir():  # the segmentation of a patient's folder against a file
        prediction, truth = segmentation_in(prediction), segmentation_in(truth)
        if (
            folder := next(
                (path for path in (prediction, truth) if path.is_dir() and is_readable(path)), None
            )
        ) is not None:
            raise FormatError(
                f"{folder}: holds DICOM images and no segmentation to evaluate; give a label map, DICOM SEG "
                "or RTSTRUCT."
            )
    for path in (csv, json, html, per_slice):
        if path is not None:
            refuse_existing(path, overwrite)
    cases = find_cases(prediction, truth)
    for sentence in _unpaired(cases):
        note(sentence)
    reports = follow(
        _evaluate_all(
            cases, convention.value, nsd_tolerance, (prediction_layer, truth_layer), go_on=prediction.is_dir()
        )
    )
    for report in reports:
        for warning in (report.failed,) if report.failed else report.warnings:
            note(warning)
    writers = (
        (csv, reports_of.write_csv),
        (json, reports_of.write_json),
        (html, reports_of.write_html),
        (per_slice, reports_of.write_per_slice_csv),
    )
    for path, write in writers:
        if path is not None:
            write(path, reports, overwrite)
    _show(reports)
    if any(report.failed for report in reports):
        raise typer.Exit(1)


def _evaluate_all(
    cases: EvaluationCases, convention: str, tolerance_mm: float, layers: Layers, *, go_on: bool
) -> Generator[Progress, None, list[CaseReport]]:
    """One report per case. layers : of the prediction and the truth.

    go_on : a case that cannot be compared becomes a report that says why; else it raises CtsegError.
    """
    from ctseg_imaging.errors import CtsegError
    from ctseg_imaging.metrics.reports.case_report import CaseReport
    from ctseg_imaging.progress import Progress

    reports = []
    for done, pair in enumerate(cases.pairs):
        yield Progress("Evaluating", done, len(cases.pairs), pair.case)
        try:
            reports.append(_evaluate_one(pair, convention, tolerance_mm, layers))
        except CtsegError as error:
            if not go_on:
                raise
            reports.append(CaseReport.failure(pair.case, str(error), convention, tolerance_mm))
    return reports


def _evaluate_one(pair: CasePair, convention: str, tolerance_mm: float, layers: Layers) -> CaseReport:
    from ctseg_imaging.metrics.cases import read_pair
    from ctseg_imaging.metrics.reports.case_report import evaluate_pair

    prediction, truth = read_pair(pair, *layers)
    report = evaluate_pair(
        prediction, truth, case=pair.case, convention=convention, nsd_tolerance_mm=tolerance_mm
    )
    remarks = dict.fromkeys(f"{pair.case}: {remark}" for remark in (*prediction.notes, *truth.notes))
    return replace(report, warnings=(*remarks, *report.warnings))


def _unpaired(cases: EvaluationCases) -> list[str]:
    """What was found on one side only."""
    said = []
    if cases.only_predicted:
        said.append(f"No truth for {_few(cases.only_predicted)}: left out.")
    if cases.only_true:
        said.append(f"No prediction for {_few(cases.only_true)}: left out.")
    return said


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def _show(reports: list[CaseReport]) -> None:
    """The rows of one case or the means of several, and a line that sums up."""
    from ctseg_imaging.metrics.summary import summary

    rows = [row for report in reports for row in report.rows if row.label is not None]
    if not rows:
        return
    *per_label, total = summary(rows)
    _table(CASE_HEAD, [_cells(row) for row in rows]) if len(reports) == 1 else _table(
        MEANS_HEAD, [_means(row) for row in per_label]
    )
    say(
        f"mean Dice {_figure(total.mean.get('dice'), 3)} over {total.n} row{'s' * (total.n != 1)} with the "
        "label on both sides"
    )
    if total.n_empty:
        say(
            f"mean Dice {_figure(total.dice_empty_as_0, 3)} when a label that only one side has counts as 0 "
            f"({total.n_empty} row{'s' * (total.n_empty != 1)} with an empty side)"
        )
    if "lesion_f1" in total.mean:
        say(
            f"lesion recall {_figure(total.mean['lesion_recall'], 3)}, lesion F1 "
            f"{_figure(total.mean['lesion_f1'], 3)}"
        )


def _means(row: SummaryRow) -> tuple[str, ...]:
    figures = (_figure(row.mean.get(key), digits) for key, digits in MEASURES)
    return (
        row.name,
        *figures,
        str(row.n),
        str(row.n_empty),
        str(row.n_not_contoured),
        _figure(row.dice_empty_as_0, 3),
    )


def _cells(row: Row) -> tuple[str, ...]:
    figures = (
        _figure(row.shown(key), digits)
        for key, digits in (*MEASURES, ("volume_truth_ml", 2), ("volume_pred_ml", 2))
    )
    return row.name, *figures, row.note


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None or value != value else f"{value:.{digits}f}"


def _table(head: tuple[str, ...], body: list[tuple[str, ...]]) -> None:
    """Columns as wide as they need to be, names and notes to the left, so a pipe gets the same as a
    person.
    """
    widths = [max(len(line[k]) for line in (head, *body)) for k in range(len(head))]
    for line in (head, *body):
        cells = [
            cell.ljust(width) if title in ("label", "note") else cell.rjust(width)
            for cell, width, title in zip(line, widths, head, strict=True)
        ]
        say("  ".join(cells).rstrip())
