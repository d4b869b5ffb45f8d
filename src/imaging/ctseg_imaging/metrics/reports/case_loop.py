"""Evaluating all cases, one after another."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.formats import read
from ctseg_imaging.metrics.cases import CasePair, EvaluationCases, read_pair
from ctseg_imaging.metrics.conventions import Convention
from ctseg_imaging.metrics.reports.case_report import CaseReport
from ctseg_imaging.metrics.reports.evaluation import evaluate_pair
from ctseg_imaging.progress import Progress

Layers = tuple[int | str | None, int | str | None]


def evaluate_cases(
    cases: EvaluationCases,
    *,
    convention: Convention | str = Convention.DEEPMIND,
    nsd_tolerance_mm: float = 2.0,
    layers: Layers = (None, None),
    go_on: bool = False,
    images: Mapping[str, Path] | None = None,
) -> Generator[Progress, None, list[CaseReport]]:
    """One report per case.

    layers : of the prediction and the truth, see `read_labels`. go_on : report a case that cannot be
    compared, with the reason, instead of raising CtsegError. images : of cases, drawn under the worst slices.
    """
    reports = []
    for done, pair in enumerate(cases.pairs):
        yield Progress("Evaluating", done, len(cases.pairs), pair.case)
        try:
            image = (images or {}).get(pair.case)
            reports.append(evaluate_files(pair, convention, nsd_tolerance_mm, layers, image))
        except CtsegError as error:
            if not go_on:
                raise
            reports.append(CaseReport.failure(pair.case, str(error), convention, nsd_tolerance_mm))
    return reports


def evaluate_files(
    pair: CasePair,
    convention: Convention | str,
    nsd_tolerance_mm: float,
    layers: Layers,
    image: Path | None = None,
) -> CaseReport:
    """The report of two files; what their readers noted is among its warnings."""
    prediction, truth = read_pair(pair, *layers)
    report = evaluate_pair(
        prediction,
        truth,
        case=pair.case,
        convention=convention,
        nsd_tolerance_mm=nsd_tolerance_mm,
        image=None if image is None else read(image),
    )
    notes = dict.fromkeys(f"{pair.case}: {note}" for note in (*prediction.notes, *truth.notes))
    return replace(report, warnings=(*notes, *report.warnings))
