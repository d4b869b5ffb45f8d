"""Case reports: awkward grids, empty and unknown labels, means, and the files that are written."""

import csv
import json

import numpy as np
import pytest

from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.formats import read_labels
from ctseg_imaging.geometry import Geometry, Match
from ctseg_imaging.metrics.reports.case_report import NOT_CONTOURED, CaseReport, Row
from ctseg_imaging.metrics.reports.evaluation import evaluate_pair
from ctseg_imaging.metrics.reports.page import write_html
from ctseg_imaging.metrics.reports.tables import COLUMNS, write_csv, write_json, write_per_slice_csv
from ctseg_imaging.metrics.summary import summary
from ctseg_imaging.volume import LabelMap, Labels, Volume

SHAPE, SPACING = (7, 18, 19), (2.5, 0.8, 0.9)
TURNED = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
GEOMETRY = Geometry.from_parts(SHAPE, SPACING, (-12.5, 7.25, 30.0), TURNED)
NAMES = Labels.from_names({1: "liver", 2: "spleen", 4: "pancreas"})
CLI_COLUMNS = [
    "case",
    "label",
    "name",
    "dice",
    "iou",
    "precision",
    "recall",
    "volume_truth_ml",
    "volume_pred_ml",
    "avd_percent",
    "hd",
    "hd95",
    "assd",
    "nsd",
    "resampled",
    "note",
]


def label_map(boxes, geometry=GEOMETRY, labels=NAMES):
    array = np.zeros(geometry.shape, np.uint8)
    for value, box in boxes.items():
        array[box] = value
    return LabelMap(array, geometry, labels)


TRUTH = {1: np.s_[1:5, 2:9, 3:11], 2: np.s_[3:6, 11:16, 2:8]}
SHIFTED = {1: np.s_[1:5, 3:10, 3:11], 2: np.s_[3:6, 11:16, 2:8]}


def rows_of(report):
    return {row.label: row for row in report.rows}


def test_one_case_by_hand():
    report = evaluate_pair(label_map(SHIFTED), label_map(TRUTH), case="a", nsd_tolerance_mm=1.0)
    rows = rows_of(report)
    assert report.match is Match.SAME
    assert report.warnings == ()
    assert [row.name for row in report.rows] == ["liver", "spleen", "pancreas"]
    assert rows[1].dice == pytest.approx(6 / 7)
    assert rows[1].iou == pytest.approx(6 / 8)
    assert rows[1].volume_truth_ml == pytest.approx(4 * 7 * 8 * 2.5 * 0.8 * 0.9 / 1000)
    assert rows[1].hd == pytest.approx(0.8)
    assert rows[1].nsd == pytest.approx(1)
    assert (rows[2].dice, rows[2].hd95, rows[2].assd, rows[2].note) == (1, 0, 0, "")
    assert rows[4].note == "empty in both"
    assert np.isnan(rows[4].dice)


def test_slices_are_counted_from_feet_to_head_however_the_file_is_stored():
    head_first = Geometry.from_parts(SHAPE, SPACING, direction=np.diag([1.0, 1.0, -1.0]))
    report = evaluate_pair(
        label_map({1: np.s_[1, 2:6, 3:9]}, head_first),
        label_map({1: np.s_[1, 2:6, 3:8]}, head_first),
        case="a",
    )
    (row,) = report.slices
    assert row.slice == SHAPE[0] - 2
    assert (row.fp_mm2, row.fn_mm2) == pytest.approx((4 * 0.8 * 0.9, 0))
    assert row.dice == pytest.approx(40 / 44)


def test_every_slice_of_every_label_has_a_row():
    report = evaluate_pair(label_map(SHIFTED), label_map(TRUTH), case="a")
    assert [(row.label, row.slice) for row in report.slices] == [(1, k) for k in (1, 2, 3, 4)] + [
        (2, k) for k in (3, 4, 5)
    ]
    assert sum(row.fn_mm2 for row in report.slices) == pytest.approx(4 * 8 * 0.8 * 0.9)


@pytest.mark.parametrize(("order", "flips"), [((0, 1, 2), (0, 1, 2)), ((2, 0, 1), (1,)), ((1, 2, 0), ())])
def test_a_prediction_stored_in_another_voxel_order_scores_the_same(order, flips):
    truth, prediction = label_map(TRUTH), label_map(SHIFTED)
    affine = GEOMETRY.affine_lps.copy()
    array = prediction.array.transpose(order)
    affine[:3, :3] = GEOMETRY.affine_lps[:3, list(order)]
    for axis in flips:
        affine[:3, 3] += affine[:3, axis] * (array.shape[axis] - 1)
        affine[:3, axis] *= -1
        array = np.flip(array, axis)
    report = evaluate_pair(LabelMap(array, Geometry(array.shape, affine), NAMES), truth, case="a")
    plain = evaluate_pair(prediction, truth, case="a")
    assert report.match is Match.REORIENTED and not report.resampled
    assert (report.rows, report.warnings) == (plain.rows, plain.warnings)


def test_rounding_is_evaluated_and_noted():
    affine = GEOMETRY.affine_lps.copy()
    affine[:3, 3] += 1e-4
    report = evaluate_pair(label_map(SHIFTED, Geometry(SHAPE, affine)), label_map(TRUTH), case="a")
    assert report.match is Match.ROUNDING
    assert not report.resampled
    assert report.warnings == ()
    assert rows_of(report)[1].dice == pytest.approx(6 / 7)


def test_no_common_point_is_refused():
    affine = GEOMETRY.affine_lps.copy()
    affine[:3, 3] += 5000
    with pytest.raises(GeometryError, match="do not overlap"):
        evaluate_pair(label_map(SHIFTED, Geometry(SHAPE, affine)), label_map(TRUTH), case="a")


def test_what_was_not_contoured_has_a_row_without_numbers_and_no_slices():
    truth = label_map({1: TRUTH[1]}, labels=NAMES.contoured_only(("liver", "pancreas")))
    report = evaluate_pair(label_map(SHIFTED), truth, case="a")
    spleen = rows_of(report)[2]
    assert spleen.note == NOT_CONTOURED
    assert np.isnan([spleen.dice, spleen.volume_pred_ml]).all()
    assert {row.label for row in report.slices} == {1}
    assert all(not (picture.prediction == 2).any() for picture in report.pictures)


def test_unknown_labels_are_compared_by_value_with_a_warning():
    truth = label_map(TRUTH, labels=Labels.from_names({1: "liver", 2: "spleen"}))
    prediction = label_map(
        {**SHIFTED, 9: np.s_[6, :3, :3]}, labels=Labels.from_names({1: "liver", 2: "milz", 9: "aorta"})
    )
    report = evaluate_pair(prediction, truth, case="a")
    assert rows_of(report)[9].name == "aorta"
    assert rows_of(report)[9].note == "empty in the truth"
    assert any("label 9" in warning and "truth does not have" in warning for warning in report.warnings)
    assert any(
        "2 is spleen in the truth and milz in the prediction" in warning for warning in report.warnings
    )


def test_an_empty_prediction_is_a_warning_and_rows():
    report = evaluate_pair(label_map({}, labels=Labels()), label_map(TRUTH), case="a")
    assert report.warnings == ("a: the prediction is empty.",)
    assert [(row.dice, row.hd, row.nsd) for row in report.rows[:2]] == [(0, np.inf, 0)] * 2
    total = summary(report.rows)[-1]
    assert (total.n, total.n_empty, total.dice_empty_as_0) == (0, 3, 0)
    assert total.mean == {}


def test_means_leave_out_what_is_empty_and_count_it():
    def row(case, label, dice, truth=1.0, prediction=1.0, note=""):
        return Row(
            case,
            label,
            f"organ {label}",
            dice=dice,
            hd95=10 * dice,
            volume_truth_ml=truth,
            volume_pred_ml=prediction,
            note=note,
        )

    rows = [
        row("a", 1, 0.9),
        row("b", 1, 0.7),
        row("c", 1, 0.0, prediction=0.0),
        row("d", 1, np.nan, 0.0, 0.0),
        row("a", 2, 0.5),
        Row("b", 2, "organ 2", note=NOT_CONTOURED),
        Row("e", note="do not overlap"),
    ]
    first, second, total = summary(rows)
    assert (first.n, first.n_empty, first.n_not_contoured) == (2, 2, 0)
    assert first.mean["dice"] == pytest.approx(0.8)
    assert first.std["dice"] == pytest.approx(0.1)
    assert first.dice_empty_as_0 == pytest.approx(1.6 / 3)
    assert (second.n, second.n_empty, second.n_not_contoured) == (1, 0, 1)
    assert (total.label, total.n) == (None, 3)
    assert total.mean["hd95"] == pytest.approx(7)
    assert total.dice_empty_as_0 == pytest.approx(2.1 / 4)


def test_the_wmh_convention_leaves_other_pathology_out():
    truth, prediction = label_map(TRUTH), label_map({1: np.s_[1:6, 2:16, 2:11]})
    report = evaluate_pair(prediction, truth, case="a", convention="wmh2017")
    (row,) = report.rows
    cells = 5 * 14 * 9 - 3 * 5 * 6
    assert row.dice == pytest.approx(2 * 4 * 7 * 8 / (4 * 7 * 8 + cells))
    assert (row.lesion_recall, row.lesion_f1) == (1, 1)


REPORTS = [
    evaluate_pair(label_map(SHIFTED), label_map(TRUTH), case="first <case>"),
    CaseReport.failure("second", "No point in common."),
]


def test_the_csv_has_the_columns_that_are_promised(tmp_path):
    write_csv(tmp_path / "a.csv", REPORTS)
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == CLI_COLUMNS == list(COLUMNS)
    assert float(rows[0]["dice"]) == pytest.approx(6 / 7)
    assert rows[0]["resampled"] == "no"
    assert float(rows[2]["hd"]) == np.inf
    assert (rows[3]["case"], rows[3]["label"], rows[3]["note"]) == ("second", "", "No point in common.")


def test_lesion_columns_come_last_and_only_when_there_are_lesions(tmp_path):
    write_csv(
        tmp_path / "a.csv",
        [evaluate_pair(label_map(SHIFTED), label_map(TRUTH), case="a", convention="wmh2017")],
    )
    assert (tmp_path / "a.csv").read_text().splitlines()[0].split(",") == [
        *CLI_COLUMNS,
        "lesion_recall",
        "lesion_f1",
    ]


def test_the_per_slice_csv(tmp_path):
    write_per_slice_csv(tmp_path / "s.csv", REPORTS)
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert lines[0] == "case,label,slice,dice,fp_mm2,fn_mm2"
    assert len(lines) == 1 + 4 + 3
    drawn = [index for mask in TRUTH.values() for index in range(SHAPE[0])[mask[0]]]
    assert min(int(line.split(",")[2]) for line in lines[1:]) == min(drawn) + 1
    assert REPORTS[0].slices[0].slice == int(lines[1].split(",")[2]) - 1


def test_the_page_numbers_slices_from_1(tmp_path):
    report = evaluate_pair(
        label_map({**TRUTH, 4: np.s_[6, :12, :12]}), label_map(TRUTH), case="a", convention="deepmind"
    )
    write_html(tmp_path / "a.html", [report])
    assert report.pictures[0].slice == 6
    assert "Slice 7: 104 mm² wrong" in (tmp_path / "a.html").read_text()


def test_the_json_is_strict_and_names_what_failed(tmp_path):
    def refuse(constant):
        raise AssertionError(constant)

    write_json(tmp_path / "a.json", REPORTS)
    found = json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse)
    assert (found["n_cases"], found["n_failed"], found["convention"]) == (2, 1, "deepmind")
    assert found["cases"][1]["failed"] == "No point in common."
    assert found["cases"][0]["rows"][2]["dice"] is None
    assert found["cases"][0]["rows"][2]["hd"] == "inf"
    assert found["summary"][-1]["mean"]["dice"] == pytest.approx((6 / 7 + 1) / 2)


def test_the_page_needs_nothing_else_and_escapes_names(tmp_path):
    write_html(tmp_path / "a.html", REPORTS)
    text = (tmp_path / "a.html").read_text()
    assert "first &lt;case&gt;" in text
    assert "<case>" not in text
    assert "http" not in text
    assert text.count("data:image/png;base64,") == len(REPORTS[0].pictures) > 0


def test_pictures_show_the_worst_slices_over_the_image():
    prediction = label_map({**SHIFTED, 4: np.s_[6, :12, :12]})
    image = Volume(np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE), GEOMETRY)
    report = evaluate_pair(prediction, label_map(TRUTH), case="a", image=image)
    worst = report.pictures[0]
    assert worst.slice == 6
    assert worst.wrong_mm2 == pytest.approx(144 * 0.8 * 0.9)
    assert worst.image.shape == worst.truth.shape
    assert [picture.wrong_mm2 for picture in report.pictures] == sorted(
        (p.wrong_mm2 for p in report.pictures), reverse=True
    )


@pytest.mark.parametrize("write", [write_csv, write_json, write_html, write_per_slice_csv])
def test_nothing_is_overwritten_unless_allowed(write, tmp_path):
    path = tmp_path / "report"
    path.write_text("mine")
    with pytest.raises(FormatError, match="exists"):
        write(path, REPORTS)
    assert path.read_text() == "mine"
    write(path, REPORTS, overwrite=True)
    assert path.read_text() != "mine"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "match", "resampled"),
    [
        ("same_grid", Match.SAME, False),
        ("coarser_grid", Match.OTHER_GRID, True),
        ("cropped_extent", Match.SHIFTED, True),
        ("flipped_axis_same_physical", Match.REORIENTED, False),
        ("same_shape_other_spacing", Match.OTHER_GRID, True),
        ("half_voxel_shift", Match.SHIFTED, True),
        ("empty", Match.SAME, False),
    ],
)
def test_the_collected_grid_mismatches(name, match, resampled, shared_file):
    truth = read_labels(shared_file("grid-mismatch/label_same_grid.nii.gz"))
    report = evaluate_pair(read_labels(shared_file(f"grid-mismatch/label_{name}.nii.gz")), truth, case=name)
    assert (report.match, report.resampled) == (match, resampled)
    total = summary(report.rows)[-1]
    if name in ("same_grid", "flipped_axis_same_physical"):
        assert total.mean["dice"] == 1
    elif name == "cropped_extent":  # worked out on the cut-out itself: index (x, y, z) 20:100, 10:90, 5:25
        cut = truth.array[5:25, 10:90, 20:100]
        expected = [
            2 * (cut == v).sum() / ((cut == v).sum() + (truth.array == v).sum()) for v in np.unique(cut) if v
        ]
        assert total.mean["dice"] == pytest.approx(np.mean(expected))
    elif name == "empty":
        assert (total.n, total.n_empty) == (0, len(np.unique(truth.array)) - 1)


def test_a_label_on_no_common_ground(shared_file):
    truth = read_labels(shared_file("grid-mismatch/label_same_grid.nii.gz"))
    with pytest.raises(GeometryError, match="do not overlap"):
        evaluate_pair(read_labels(shared_file("grid-mismatch/label_no_overlap.nii.gz")), truth, case="a")
