"""`napari-ctseg evaluate`: compare predictions with the truth, in files or folders."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_ctseg.commands.console import LAYER, follow, note, print_result, refuse_existing

if TYPE_CHECKING:
    from ctseg_imaging.metrics.cases import EvaluationCases
    from ctseg_imaging.metrics.reports.case_report import CaseReport
    from ctseg_imaging.metrics.reports.paired import PairedComparison

WORST = 5  # lines of the list of the worst labels


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
            metavar="TRUTH", help="The truth, a file or a folder with the same names, or a data set's folder."
        ),
    ],
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A table with one line per case and label.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option(metavar="FILE", help="All results with means, as JSON.")
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="One page with tables and pictures of the worst slices."),
    ] = None,
    per_slice: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="CSV, one line per case, label and slice; slices from 1 at the feet."
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Predictions of a second model for the same cases: paired differences with a test.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Images named like the cases, drawn under the worst slices and opened by the commands of "
            "the worst cases; those of a data set are found.",
        ),
    ] = None,
    convention: Annotated[
        ConventionName, typer.Option(help="Whose definitions of the metrics to use.")
    ] = ConventionName.DEEPMIND,
    nsd_tolerance: Annotated[
        float, typer.Option(min=0.0, metavar="MM", help="Tolerance of the normalised surface Dice.")
    ] = 2.0,
    prediction_layer: Annotated[str | None, typer.Option(metavar="K|NAME", help=LAYER)] = None,
    truth_layer: Annotated[str | None, typer.Option(metavar="K|NAME", help="The same for the truth.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
) -> None:
    """Compute Dice, HD95, ASSD, NSD and volumes per label; the grids only have to overlap."""
    from ctseg_imaging.metrics.cases import find_cases, images_of
    from ctseg_imaging.metrics.reports import report as reports_of
    from ctseg_imaging.metrics.reports.paired import compare_models
    from ctseg_imaging.metrics.reports.text_table import text_lines

    prediction, truth = _both_files_or_both_folders(prediction, truth)
    for path in (csv, json, html, per_slice):
        if path is not None:
            refuse_existing(path, overwrite)
    cases = find_cases(prediction, truth)
    others = None if against is None else find_cases(against, truth)
    shown = images_of(cases, truth, images)
    options = {
        "convention": convention.value,
        "nsd_tolerance_mm": nsd_tolerance,
        "layers": (prediction_layer, truth_layer),
        "go_on": prediction.is_dir(),
        "images": shown,
    }
    reports = _reports(cases, options)
    comparison = None if others is None else compare_models(reports, _reports(others, options))
    if csv is not None:
        reports_of.write_csv(csv, reports, overwrite)
    if json is not None:
        reports_of.write_json(json, reports, overwrite, comparison)
    if html is not None:
        reports_of.write_html(html, reports, overwrite, comparison)
    if per_slice is not None:
        reports_of.write_per_slice_csv(per_slice, reports, overwrite)
    for line in (*text_lines(reports), *_worst(cases, reports, shown), *_paired(comparison)):
        print_result(line)
    if any(report.failed for report in reports):
        raise typer.Exit(1)


def _both_files_or_both_folders(prediction: Path, truth: Path) -> tuple[Path, Path]:
    """A patient's folder against a file stands for the segmentation in it; raises FormatError without one."""
    from ctseg_imaging.errors import FormatError
    from ctseg_imaging.formats import is_readable
    from napari_ctseg.commands.images.series_table import segmentation_in

    if prediction.is_dir() == truth.is_dir():
        return prediction, truth
    prediction, truth = segmentation_in(prediction), segmentation_in(truth)
    for path in (prediction, truth):
        if path.is_dir() and is_readable(path):
            raise FormatError(
                f"{path}: contains DICOM images but no segmentation; give a label map, DICOM SEG or RTSTRUCT."
            )
    return prediction, truth


def _reports(cases: EvaluationCases, options: dict[str, Any]) -> list[CaseReport]:
    """Evaluate the cases; what is missing or to be known goes to stderr."""
    from ctseg_imaging.metrics.reports.case_loop import evaluate_cases

    for sentence in _unpaired(cases):
        note(sentence)
    reports = follow(evaluate_cases(cases, **options))
    for report in reports:
        for warning in (report.failed,) if report.failed else report.warnings:
            note(warning)
    return reports


def _worst(cases: EvaluationCases, reports: list[CaseReport], images: Mapping[str, Path]) -> list[str]:
    """The labels with the lowest Dice of several cases, each with the command that opens it."""
    from ctseg_imaging.metrics.reports.worst import worst_rows

    pairs = {pair.case: pair for pair in cases.pairs}
    lines = []
    for dice, row in worst_rows(reports, WORST) if len(reports) > 1 else []:
        pair = pairs[row.case]
        layers = ["--labels", pair.prediction, "--truth", pair.truth]
        words = [images.get(row.case, pair.truth), *layers]
        command = shlex.join(["napari-ctseg", "open", *map(str, words)])
        lines.append(f"  {dice:.3f}  {row.name} of {row.case}: {command}")
    return ["lowest Dice:", *lines] if lines else []


def _paired(comparison: PairedComparison | None) -> list[str]:
    from ctseg_imaging.metrics.reports.paired_table import paired_lines

    if comparison is None:
        return []
    return ["", "PRED (first) and --against (second) on the same cases:", *paired_lines(comparison)]


def _unpaired(cases: EvaluationCases) -> list[str]:
    """Cases with a prediction or a truth only."""
    remarks = []
    if cases.only_predicted:
        remarks.append(f"No truth for {_few(cases.only_predicted)}: skipped.")
    if cases.only_true:
        remarks.append(f"No prediction for {_few(cases.only_true)}: skipped.")
    return remarks


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
