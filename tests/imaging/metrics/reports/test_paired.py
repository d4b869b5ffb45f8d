"""Two models on the same cases: counted by hand, by enumerating all signs, and by plain resampling."""

import itertools
import math
import statistics

import numpy as np
import pytest
from scipy import stats

from ctseg_imaging.metrics.reports.case_report import EMPTY_IN_BOTH, NOT_CONTOURED, CaseReport, Row
from ctseg_imaging.metrics.reports.paired import compare_models, holm

FIRST = [0.91, 0.85, 0.88, 0.93, 0.70, 0.86, 0.90, 0.80]
SECOND = [0.90, 0.80, 0.89, 0.90, 0.60, 0.86, 0.83, 0.78]


def reports(dice, label=1, hd95=None):
    """One report per case, c0, c1 ..."""
    distances = hd95 or [10 * (1 - value) for value in dice]
    return [
        CaseReport(f"c{k}", (row(f"c{k}", label, value, distance),))
        for k, (value, distance) in enumerate(zip(dice, distances, strict=True))
    ]


def row(case, label, dice, hd95=1.0):
    return Row(
        case, label, f"organ {label}", dice=dice, nsd=dice, hd95=hd95, volume_truth_ml=5.0,
        volume_pred_ml=5.0,
    )  # fmt: skip


def of(comparison, measure, label):
    (found,) = [one for one in comparison.rows if one.measure == measure and one.label == label]
    return found


def p_by_enumeration(gains):
    """Wilcoxon's two-sided p: the share of all signs whose sum of ranks is at least as extreme."""
    gains = [gain for gain in gains if gain]
    sizes = sorted(abs(gain) for gain in gains)
    ranks = [statistics.mean(k + 1 for k, size in enumerate(sizes) if size == abs(gain)) for gain in gains]
    centre = sum(ranks) / 2
    seen = abs(sum(rank for rank, gain in zip(ranks, gains, strict=True) if gain > 0) - centre)
    sums = [
        abs(sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign) - centre)
        for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    return sum(value >= seen - 1e-9 for value in sums) / len(sums)


def test_wins_means_and_p_of_eight_cases_by_hand():
    row = of(compare_models(reports(FIRST), reports(SECOND)), "dice", 1)
    assert (row.n, row.wins, row.ties, row.losses) == (8, 6, 1, 1)
    assert row.first == pytest.approx(6.83 / 8) and row.second == pytest.approx(6.56 / 8)
    assert row.gain == pytest.approx(0.27 / 8)
    gains = [round(one - other, 2) for one, other in zip(FIRST, SECOND, strict=True)]
    assert row.p == pytest.approx(p_by_enumeration(gains)) == pytest.approx(row.p_corrected)
    assert row.low < row.gain < row.high


def test_a_smaller_distance_is_better_and_swapping_the_models_swaps_everything():
    there, back = (
        compare_models(reports(FIRST), reports(SECOND)),
        compare_models(reports(SECOND), reports(FIRST)),
    )
    one, other = of(there, "hd95", 1), of(back, "hd95", 1)
    assert one.first < one.second and one.gain > 0
    assert (one.wins, one.losses, one.p) == (other.losses, other.wins, other.p)
    assert one.gain == pytest.approx(-other.gain) and one.low == pytest.approx(-other.high, rel=0.05)


def test_many_cases_have_scipys_p_and_an_interval_that_a_plain_bootstrap_confirms():
    random = np.random.default_rng(3)
    second = random.uniform(0.6, 0.95, 40)
    first = np.clip(second + random.normal(0.01, 0.03, 40), 0, 1)
    row = of(compare_models(reports(first), reports(second)), "dice", 1)
    assert row.p == pytest.approx(stats.wilcoxon(first, second).pvalue)
    gains = first - second
    drawn = gains[random.integers(0, 40, (20_000, 40))].mean(axis=1)
    width = np.ptp(np.percentile(drawn, (2.5, 97.5)))
    assert [row.low, row.high] == pytest.approx(np.percentile(drawn, (2.5, 97.5)), abs=0.1 * width)
    assert row.stability == pytest.approx((drawn > 0).mean(), abs=0.02)


def test_a_missed_organ_counts_and_its_infinite_distance_stays_out_of_the_mean():
    first, second = reports(FIRST), reports(SECOND)
    missed = Row("c0", 1, "organ 1", dice=0.0, hd95=math.inf, volume_truth_ml=5.0, volume_pred_ml=0.0)
    second[0] = CaseReport("c0", (missed,))
    comparison = compare_models(first, second)
    dice, distance = of(comparison, "dice", 1), of(comparison, "hd95", 1)
    assert dice.second == pytest.approx((6.56 - 0.90) / 8)
    assert (distance.n, distance.n_infinite, distance.wins) == (8, 1, 6)
    assert distance.second == pytest.approx(10 * (7 - 5.66) / 7) and math.isfinite(distance.high)


def test_what_says_nothing_about_a_model_does_not_count():
    first, second = reports(FIRST), reports(SECOND)
    second[1] = CaseReport.failure("c1", "c1: no overlap")
    empty = Row("c2", 1, dice=1.0, volume_truth_ml=0.0, volume_pred_ml=0.0, note=EMPTY_IN_BOTH)
    first[2] = CaseReport("c2", (empty,))
    first[3] = CaseReport("c3", (Row("c3", 1, note=NOT_CONTOURED),))
    comparison = compare_models(first[:-1], second)
    assert of(comparison, "dice", 1).n == 4
    assert comparison.only_first == ("c1",) and comparison.only_second == ("c7",)
    assert {one.case for one in comparison.differences} == {"c0", "c4", "c5", "c6"}


def test_all_labels_weigh_each_case_once_and_labels_are_corrected():
    first = [
        CaseReport(f"c{k}", (row(f"c{k}", 1, a), row(f"c{k}", 2, b)))
        for k, (a, b) in enumerate(zip(FIRST, SECOND, strict=True))
    ]
    second = [CaseReport(f"c{k}", (row(f"c{k}", 1, b), row(f"c{k}", 2, b))) for k, b in enumerate(SECOND)]
    comparison = compare_models(first, second)
    assert of(comparison, "dice", None).n == 8
    assert of(comparison, "dice", None).gain == pytest.approx(0.27 / 16)
    assert math.isnan(of(comparison, "dice", 2).p)  # no case differs: not a test, so 1 is not corrected
    assert of(comparison, "dice", 1).p_corrected == of(comparison, "dice", 1).p


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    corrected = holm([0.02, math.nan, 0.6])
    assert corrected[0] == 0.04 and math.isnan(corrected[1]) and corrected[2] == 0.6


def test_no_difference_and_one_case_are_no_evidence():
    same = of(compare_models(reports(FIRST), reports(FIRST)), "dice", 1)
    assert math.isnan(same.p) and (same.low, same.high, same.ties) == (0, 0, 8) and math.isnan(same.stability)
    single = of(compare_models(reports([0.9]), reports([0.8])), "dice", 1)
    assert single.p == 1 and math.isnan(single.low) and math.isnan(single.stability)
