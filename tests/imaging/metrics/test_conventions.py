"""The WMH challenge's own values, and MONAI itself, as oracles of the conventions."""

import json

import numpy as np
import pytest

from ctseg_imaging.metrics.boundaries import in_plane_boundary_distances
from ctseg_imaging.metrics.conventions import Convention, overlap_scores, surface_scores, wmh_masks
from ctseg_imaging.metrics.lesions import count_lesions
from ctseg_imaging.metrics.overlap import joint_histogram

SPACING = (2.5, 0.8, 0.9)
WMH_PAIRS = (
    "equal",
    "shifted",
    "missed_and_false",
    "dilated",
    "one_big_blob",
    "other_pathology",
    "empty_result",
    "diagonal_neighbours",
    "oblique",
)


@pytest.mark.parametrize("pair", WMH_PAIRS)
def test_the_values_of_the_wmh_challenges_program(pair, shared_file):
    folder = shared_file("oracles/wmh")
    expected = json.loads((folder / "expected.json").read_text())[pair]
    masks = np.load(folder / "masks.npz")
    truth, prediction = wmh_masks(masks[f"{pair}__reference"], masks[f"{pair}__result"])
    histogram = joint_histogram(truth, prediction, (1,))
    overlap = overlap_scores(histogram, 1, Convention.WMH2017)
    surface = surface_scores(
        truth > 0, prediction > 0, tuple(expected["spacing_xyz"][::-1]), Convention.WMH2017, 2.0
    )
    lesions = count_lesions(truth > 0, prediction > 0)
    # The program read spacings rounded to single precision; HD95 inherits that.
    found = [overlap.dice, surface.hd95, overlap.avd_percent, lesions.recall, lesions.f1]
    wanted = [
        float(expected[key]) for key in ("dice", "hd95_mm", "avd_percent", "lesion_recall", "lesion_f1")
    ]
    assert found == pytest.approx(wanted, abs=1e-6, rel=1e-7, nan_ok=True)


def monai_values(truth, prediction, tolerance_mm):
    monai, torch = pytest.importorskip("monai.metrics"), pytest.importorskip("torch")
    t, p = (torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (truth, prediction))
    there = {"include_background": True, "spacing": SPACING}
    return [
        float(value)
        for value in (
            monai.compute_dice(p, t),
            monai.compute_iou(p, t),
            monai.compute_hausdorff_distance(p, t, **there),
            monai.compute_hausdorff_distance(p, t, percentile=95, **there),
            monai.compute_average_surface_distance(p, t, symmetric=True, **there),
            monai.compute_surface_dice(p, t, [tolerance_mm], **there),
        )
    ]


def monai_pairs():
    rng = np.random.default_rng(2)
    inner, solid, none = np.zeros((3, 9, 10, 11), bool)
    inner[2:6, 3:8, 4:9] = True
    solid[:5, :7, 2:] = True
    noise = rng.random(inner.shape) > 0.8
    return {
        "overlapping": (inner, solid),
        "noise": (noise, solid),
        "at the border": (solid, solid[::-1, ::-1]),
        "equal": (inner, inner),
        "empty prediction": (inner, none),
        "empty truth": (none, inner),
        "both empty": (none, none),
    }


@pytest.mark.filterwarnings("ignore:.*all 0")
@pytest.mark.parametrize("name", monai_pairs())
def test_monais_values(name):
    truth, prediction = monai_pairs()[name]
    overlap = overlap_scores(joint_histogram(truth, prediction, (1,)), 1, Convention.MONAI)
    surface = surface_scores(truth, prediction, SPACING, Convention.MONAI, 1.7)
    found = [overlap.dice, overlap.iou, surface.hd, surface.hd95, surface.assd, surface.nsd]
    assert found == pytest.approx(monai_values(truth, prediction, 1.7), rel=1e-5, nan_ok=True)


def test_the_in_plane_boundary_ignores_the_slices_above_and_below():
    column, dot = np.zeros((2, 9, 7, 8), bool)
    column[2:7, 1:6, 1:6] = True
    dot[4, 3, 3] = True
    distances = in_plane_boundary_distances(column, dot, SPACING)
    assert len(distances.a_to_b_mm) == 5 * 16  # the ring of each slice, and no lid
    assert distances.b_to_a_mm.tolist() == pytest.approx([2 * 0.8])


def test_deepmind_and_monai_differ_where_they_should():
    truth, prediction = monai_pairs()["empty truth"]
    histogram = joint_histogram(truth, prediction, (1,))
    assert overlap_scores(histogram, 1, Convention.DEEPMIND).dice == 0
    assert np.isnan(overlap_scores(histogram, 1, Convention.MONAI).dice)
    assert surface_scores(truth, truth, SPACING, Convention.DEEPMIND, 1).hd == np.inf
    assert np.isnan(surface_scores(truth, truth, SPACING, Convention.MONAI, 1).hd)


def test_lesions_are_counted_with_diagonal_neighbours():
    truth, prediction = np.zeros((2, 7, 8, 9), bool)
    for k in range(4):
        truth[k, k, k] = True
    truth[6, 6, 6] = True
    prediction[3, 3, 3] = prediction[0, 7, 7] = prediction[5, 0, 0] = True
    lesions = count_lesions(truth, prediction)
    assert (lesions.true, lesions.found, lesions.predicted, lesions.confirmed) == (2, 1, 3, 1)
    assert lesions.f1 == pytest.approx(2 * 0.5 / 3 / (0.5 + 1 / 3))
    none = count_lesions(truth & False, truth & False)
    assert (none.recall, none.precision, none.f1) == (1, 1, 1)
