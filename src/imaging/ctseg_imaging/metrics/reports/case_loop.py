"""Evaluating all cases, one after another."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from ctseg_imaging.errors import CtsegError
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
) -> Generator[Progress, None, list[CaseReport]]:
    """One report per case.

    layers : of the prediction and the truth, see `read_labels`. go_on : report a case that cannot be
    compared, with the reason, instead of raising CtsegError.
    """
    reports = []
    for done, pair in enumerate(cases.pairs):
        yield Progress("Evaluating", done, len(cases.pairs), pair.case)
        try:
            reports.append(evaluate_files(pair, convention, nsd_tolerance_mm, layers))
        except CtsegError as error:
            if not go_on:
                raise
            reports.append(CaseReport.failure(pair.case, str(error), convention, nsd_tolerance_mm))
    return reports


def evaluate_files(
    pair: CasePair, convention: Convention | str, nsd_tolerance_mm: float, layers: Layers
) -> CaseReport:
    """The report of two files; what their readers noted is among its warnings."""
    prediction, truth = read_pair(pair, *layers)
    report = evaluate_pair(
        prediction, truth, case=pair.case, convention=convention, nsd_tolerance_mm=nsd_tolerance_mm
    )
    notes = dict.fromkeys(f"{pair.case}: {note}" for note in (*prediction.notes, *truth.notes))
    return replace(report, warnings=(*notes, *report.warnings))
