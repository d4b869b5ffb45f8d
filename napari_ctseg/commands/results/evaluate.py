"""`napari-ctseg evaluate`: predictions against truths, in files or in folders."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_ctseg.commands.console import LAYER, follow, note, refuse_existing, say

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
                f"{folder}: holds DICOM images and no segmentation to evaluate; give a label map, DICOM SEG "
                "or RTSTRUCT."
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
        say(line)
    if any(report.failed for report in reports):
        raise typer.Exit(1)


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
