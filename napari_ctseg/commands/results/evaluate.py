"""`napari-ctseg evaluate`: compare predictions with the truth, in files or folders."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_ctseg.commands.console import LAYER, follow, note, print_result, refuse_existing

if TYPE_CHECKING:
    from ctseg_imaging.metrics.cases import EvaluationCases


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
    from ctseg_imaging.errors import FormatError
    from ctseg_imaging.formats import is_readable
    from ctseg_imaging.metrics.cases import find_cases
    from ctseg_imaging.metrics.reports import report as reports_of
    from ctseg_imaging.metrics.reports.case_loop import evaluate_cases
    from ctseg_imaging.metrics.reports.text_table import text_lines
    from napari_ctseg.commands.images.series_table import segmentation_in

    if prediction.is_dir() != truth.is_dir():  # the segmentation of a patient's folder against a file
        prediction, truth = segmentation_in(prediction), segmentation_in(truth)
        if (
            folder := next(
                (path for path in (prediction, truth) if path.is_dir() and is_readable(path)), None
            )
        ) is not None:
            raise FormatError(
                f"{folder}: contains DICOM images but no segmentation; give a label map, DICOM SEG or "
                "RTSTRUCT."
            )
    for path in (csv, json, html, per_slice):
        if path is not None:
            refuse_existing(path, overwrite)
    cases = find_cases(prediction, truth)
    for sentence in _unpaired(cases):
        note(sentence)
    work = evaluate_cases(
        cases,
        convention=convention.value,
        nsd_tolerance_mm=nsd_tolerance,
        layers=(prediction_layer, truth_layer),
        go_on=prediction.is_dir(),
    )
    reports = follow(work)
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
    for line in text_lines(reports):
        print_result(line)
    if any(report.failed for report in reports):
        raise typer.Exit(1)


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
