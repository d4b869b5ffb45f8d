"""Whether one model is better than another on the same cases: paired differences, their interval and a test.

The unit is the case: labels of one case are not independent, so the row over all labels first takes the mean
of each case. The test is Wilcoxon's signed-rank test, recommended for two models by Demsar (J. Mach. Learn.
Res. 7, 2006), corrected over the labels by Holm (Scand. J. Stat. 6, 1979); the interval is the bias-corrected
and accelerated bootstrap of the mean difference (Efron, J. Am. Stat. Assoc. 82, 1987).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.metrics.reports.case_report import HIGHER_IS_BETTER, NAN, CaseReport

PAIRED_MEASURES = ("dice", "nsd", "hd95")
RESAMPLES = 9999
EXACT_CASES = 14  # all 2^14 signs are enumerated, which is exact with ties too
SEED = 0  # the same files give the same report
EQUAL = 1e-9


@dataclass(frozen=True)
class CaseDifference:
    """One label of one case in both models; label None for the mean over the labels of the case.

    first, second : the values of the two models. A label that the truth or the model lacks counts as Dice and
    NSD 0 and as an infinite distance.
    """

    case: str
    label: int | None
    measure: str
    first: float
    second: float

    @property
    def gain(self) -> float:
        """How much better the first model is, in the unit of the measure; negative if it is worse."""
        if self.first == self.second:
            return 0.0
        difference = self.first - self.second
        return difference if self.measure in HIGHER_IS_BETTER else -difference


@dataclass(frozen=True)
class PairedRow:
    """One label and measure over the cases that both models have; label None for all labels.

    n : cases. n_infinite : cases with an infinite distance in either model; they count for wins, losses and
    the test, not for means and the interval. first, second : means. gain : mean of how much better the first
    model is; low, high : its 95 % interval, NaN for fewer than two cases. wins, ties, losses : cases where
    the first is better, equal, worse. p : of Wilcoxon's signed-rank test, two-sided, NaN if no case differs;
    p_corrected : after Holm's correction over the labels of the measure. stability : share of the bootstrap
    samples in which the model with the better mean still has it, NaN if the means are equal.
    """

    label: int | None
    name: str
    measure: str
    n: int
    n_infinite: int
    first: float
    second: float
    gain: float
    low: float
    high: float
    wins: int
    ties: int
    losses: int
    p: float
    p_corrected: float
    stability: float


@dataclass(frozen=True)
class PairedComparison:
    """Two models on the cases that both were evaluated on. only_first, only_second : cases of one of them."""

    rows: tuple[PairedRow, ...]
    differences: tuple[CaseDifference, ...]
    only_first: tuple[str, ...] = ()
    only_second: tuple[str, ...] = ()


def compare_models(first: Sequence[CaseReport], second: Sequence[CaseReport]) -> PairedComparison:
    """Compare two models by their reports on the same truths.

    Failed cases and labels that are not contoured, or empty in truth and prediction, do not count.
    """
    values = [_values(reports) for reports in (first, second)]
    cases = [{report.case for report in reports if not report.failed} for reports in (first, second)]
    shared = sorted(values[0].keys() & values[1].keys(), key=_order)
    per_label = [CaseDifference(*key, values[0][key], values[1][key]) for key in shared]
    differences = (*per_label, *_means(per_label))
    names = {
        row.label: row.name for report in reversed(first) for row in report.rows if row.label is not None
    }
    return PairedComparison(
        tuple(_rows(differences, names)),
        differences,
        tuple(sorted(cases[0] - cases[1])),
        tuple(sorted(cases[1] - cases[0])),
    )


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction of several p values; NaN stays NaN and does not count as a test."""
    tested = sorted((value, k) for k, value in enumerate(p) if value == value)
    corrected, highest = list(p), 0.0
    for done, (value, k) in enumerate(tested):
        highest = max(highest, min(1.0, value * (len(tested) - done)))
        corrected[k] = highest
    return corrected


def _values(reports: Iterable[CaseReport]) -> dict[tuple[str, int, str], float]:
    return {
        (report.case, row.label, measure): value
        for report in reports
        for row in report.rows
        if row.label is not None
        for measure in PAIRED_MEASURES
        if (value := row.counted(measure)) == value
    }


def _order(key: tuple[str, int, str]) -> tuple[int, int, str]:
    case, label, measure = key
    return PAIRED_MEASURES.index(measure), label, case


def _means(differences: Iterable[CaseDifference]) -> list[CaseDifference]:
    """The mean over the labels of each case."""
    groups = defaultdict(list)
    for one in differences:
        groups[one.measure, one.case].append(one)
    return [
        CaseDifference(
            case,
            None,
            measure,
            float(np.mean([one.first for one in group])),
            float(np.mean([one.second for one in group])),
        )
        for (measure, case), group in groups.items()
    ]


def _rows(differences: Iterable[CaseDifference], names: Mapping[int, str]) -> list[PairedRow]:
    groups = defaultdict(list)
    for one in differences:
        groups[one.measure, one.label].append(one)
    rows = []
    for measure in PAIRED_MEASURES:
        labels = [label for of, label in groups if of == measure and label is not None]
        found = [_row(groups[measure, label], names[label]) for label in labels]
        corrected = holm([row.p for row in found])
        rows += [replace(row, p_corrected=p) for row, p in zip(found, corrected, strict=True)]
        if found:
            rows.append(_row(groups[measure, None], "all labels"))
    return rows


def _row(group: Sequence[CaseDifference], name: str) -> PairedRow:
    gains = np.array([one.gain for one in group])
    finite = np.array([np.isfinite(one.first) and np.isfinite(one.second) for one in group])
    means = (
        np.array([(one.first, one.second) for one in group])[finite].mean(axis=0)
        if finite.any()
        else (NAN, NAN)
    )
    low, high = _interval(gains[finite])
    p = _wilcoxon(gains)
    return PairedRow(
        group[0].label,
        name,
        group[0].measure,
        len(group),
        int((~finite).sum()),
        float(means[0]),
        float(means[1]),
        float(gains[finite].mean()) if finite.any() else NAN,
        low,
        high,
        int((gains > EQUAL).sum()),
        int((abs(gains) <= EQUAL).sum()),
        int((gains < -EQUAL).sum()),
        p,
        p,
        _stability(gains[finite]),
    )


def _wilcoxon(gains: NDArray[np.float64]) -> float:
    """Equal cases are left out, as Wilcoxon did; exact up to EXACT_CASES cases, then by scipy's choice."""
    from scipy import stats

    different = gains[abs(gains) > EQUAL]
    if not different.size:
        return NAN
    few = 1 < different.size <= EXACT_CASES
    method = stats.PermutationMethod(n_resamples=2**EXACT_CASES) if few else "auto"
    return float(stats.wilcoxon(_ranked(different), method=method).pvalue)


def _ranked(gains: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed ranks: the same test, also with infinite gains and with gains equal but for rounding."""
    from scipy import stats

    ranks: NDArray[np.float64] = stats.rankdata(np.round(abs(gains), 9))
    return np.sign(gains) * ranks


def _interval(gains: NDArray[np.float64]) -> tuple[float, float]:
    from scipy import stats

    if gains.size < 2:
        return NAN, NAN
    if np.ptp(gains) <= EQUAL:
        return float(gains[0]), float(gains[0])
    result = stats.bootstrap((gains,), np.mean, n_resamples=RESAMPLES, rng=np.random.default_rng(SEED))
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _stability(gains: NDArray[np.float64]) -> float:
    if gains.size < 2 or abs(gains.mean()) <= EQUAL:
        return NAN
    drawn = np.random.default_rng(SEED).choice(gains, (RESAMPLES, gains.size)).mean(axis=1)
    return float((drawn * np.sign(gains.mean()) > 0).mean())
