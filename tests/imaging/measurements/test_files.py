"""Measurements as files: read back equal, and anything else refused in a sentence."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.geometry import AxisView, Geometry
from ctseg_imaging.measurements import DrawnShape, Kind, LabelValues, read, record, shapes_on, write
from ctseg_imaging.volume import Volume

GEOMETRY = Geometry.from_parts((5, 20, 30), (3.3, 0.7, 0.9), (0.1, -20.2, 1 / 3))
SHAPES = (
    DrawnShape(Kind.RULER, 0, ((2.0, 1 / 3, 2.5), (2.0, 10.1, 2e-7))),
    DrawnShape(Kind.ANGLE, 1, ((0.0, 4.0, 2.0), (3.0, 4.0, 2.0), (3.0, 4.0, 9.0))),
    DrawnShape(Kind.RECIST, 0, ((1.0, 2.0, 3.0), (1.0, 9.0, 3.0), (1.0, 4.0, 1.0), (1.0, 4.0, 5.0))),
    DrawnShape(Kind.ELLIPSE, 2, ((0.0, 4.0, 7.0), (4.0, 4.0, 7.0), (4.0, 9.5, 7.0), (0.0, 9.5, 7.0))),
    DrawnShape(Kind.RECTANGLE, 0, ((4.0, 1.0, 1.0), (4.0, 1.0, 6.0), (4.0, 8.0, 6.0), (4.0, 8.0, 1.0))),
    DrawnShape(Kind.POLYGON, 0, ((0.0, -9.0, -9.0), (0.0, -8.0, -9.0), (0.0, -8.0, -7.0))),  # no voxel
)
LABELS = (
    LabelValues(1, 'liver, "left"; 2', 812, 1.4 / 3, 55.25, 9.1),
    LabelValues(70000, "", 1, 0.002),
    LabelValues(9, "12", 1, 0.002, -3.0, 0.0),
)


@pytest.fixture
def kept():
    array = np.random.default_rng(1).integers(-999, 999, GEOMETRY.shape, np.int16)
    return record(Volume(array, GEOMETRY, modality="CT"), SHAPES, LABELS)


@pytest.mark.parametrize("ending", [".csv", ".json", ".CSV"])
def test_what_is_written_is_read_back_equal(tmp_path, kept, ending):
    path = tmp_path / f"case{ending}"
    write(path, kept)
    assert read(path) == kept
    assert [shape for shape, _ in read(path).shapes] == list(SHAPES) and read(path).labels == LABELS


def test_slices_have_the_number_of_the_viewer(tmp_path):
    """A CT stored from head to feet in slices along x: 30 axial slices, of which index 4 is the 26th from the
    feet.
    """
    stored = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0]])
    geometry = Geometry.from_parts((5, 20, 30), (3.3, 0.7, 0.9), (0.0, 0.0, 0.0), stored)
    array = np.zeros(geometry.shape, np.int16)
    shape = DrawnShape(Kind.RULER, 2, ((1.0, 2.0, 4.0), (1.0, 9.0, 4.0)))
    write(tmp_path / "case.json", record(Volume(array, geometry, modality="CT"), [shape]))
    written = json.loads((tmp_path / "case.json").read_text())["shapes"][0]
    assert (written["axis"], written["slice"]) == (2, 26)
    assert read(tmp_path / "case.json").shapes[0][0] == shape


def test_the_table_can_be_read_without_this_program(tmp_path, kept):
    write(tmp_path / "case.csv", kept)
    with (tmp_path / "case.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["kind"] for line in lines] == [*(shape.kind for shape in SHAPES), *["label"] * 3]
    ruler, region, label = lines[0], lines[4], lines[6]
    rows, columns = (10.1 - 1 / 3) * 0.7, 2.5 * 0.9
    assert float(ruler["length_mm"]) == pytest.approx(np.hypot(rows, columns), rel=1e-6)
    assert (
        ruler["slice"] == "3" and ruler["mean"] == "" and region["voxels"] == "35" and region["unit"] == "HU"
    )
    assert float(region["area_mm2"]) == pytest.approx(35 * 0.63)
    assert (label["name"], label["volume_ml"]) == ('liver, "left"; 2', str(1.4 / 3))


def test_nothing_is_replaced_unasked_and_nothing_is_left_of_what_failed(tmp_path, kept):
    path = tmp_path / "case.json"
    write(path, kept)
    before = path.read_bytes()
    with pytest.raises(FormatError, match="exists already"):
        write(path, kept)
    write(path, kept, overwrite=True)
    with pytest.raises(FormatError, match="nothing to write"):
        write(path, record(Volume(np.zeros(GEOMETRY.shape), GEOMETRY), ()), overwrite=True)
    with pytest.raises(FormatError, match=r"\.csv or \.json"):
        write(tmp_path / "case.txt", kept)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_record_names_neither_patient_nor_file(tmp_path, kept):
    volume = Volume(np.zeros(GEOMETRY.shape), GEOMETRY, "PatientName=Doe", tmp_path / "Doe^Jane", "CT")
    write(tmp_path / "case.json", record(volume, SHAPES))
    assert "Doe" not in (tmp_path / "case.json").read_text()


def test_shapes_are_found_again_on_the_same_grid_in_another_voxel_order(kept):
    view = AxisView((1, 2, 0), (True, False, True))
    turned = view.geometry(GEOMETRY)
    there = shapes_on(kept, turned)
    for before, after in zip(SHAPES, there, strict=True):
        assert turned.index_to_lps(after.array) == pytest.approx(GEOMETRY.index_to_lps(before.array))
        assert np.ptp(after.array[:, after.axis]) == 0
    with pytest.raises(GeometryError, match="another grid"):
        shapes_on(kept, Geometry.from_parts(GEOMETRY.shape, (3.3, 0.7, 0.9)))


BROKEN = {
    "not a file of measurements": lambda d: d.update(format="other"),
    "version": lambda d: d.update(version=2),
    "image": lambda d: d.pop("image"),
    "image.shape_zyx": lambda d: d["image"].update(shape_zyx=[1, 2]),
    "without voxels": lambda d: d["image"].update(shape_zyx=[5, 0, 30]),
    "image.affine_lps": lambda d: d["image"].update(affine_lps=[[1, 2, 3, 4]] * 4),
    "unit": lambda d: d.update(unit="kg"),
    "shapes": lambda d: d.update(shapes={}),
    r"shapes\[1\].kind": lambda d: d["shapes"][1].update(kind="arrow"),
    r"shapes\[0\].axis": lambda d: d["shapes"][0].update(axis=0.5),
    r"shapes\[0\]: .*one slice": lambda d: d["shapes"][0]["points_zyx"][0].__setitem__(0, 4),
    "lies outside": lambda d: [point.__setitem__(0, 7) for point in d["shapes"][0]["points_zyx"]],
    r"shapes\[2\].points_zyx": lambda d: d["shapes"][2]["points_zyx"].append([1, 2]),
    "finite": lambda d: d["shapes"][0].update(length_mm=float("nan")),
    "too large": lambda d: d["shapes"][0].update(length_mm=10**400),
    "must be a number": lambda d: d["shapes"][0].update(length_mm=True),
    "unknown field": lambda d: d["shapes"][0].update(lenght_mm=1.0),
    "whole number": lambda d: d["shapes"][4].update(voxels=2.5),
    r"labels\[0\].name": lambda d: d["labels"][0].update(name=3),
    r"labels\[0\].volume_ml": lambda d: d["labels"][0].pop("volume_ml"),
    r"labels\[1\] is not": lambda d: d["labels"].__setitem__(1, 3),
}


@pytest.mark.parametrize("words", BROKEN)
def test_a_damaged_json_is_refused_with_the_field(tmp_path, kept, words):
    path = tmp_path / "case.json"
    write(path, kept)
    found = json.loads(path.read_text())
    BROKEN[words](found)
    path.write_text(json.dumps(found))
    with pytest.raises(FormatError, match=words) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ") and str(error.value).endswith(".")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: "", "not a table of measurements"),
        (lambda text: text.splitlines()[0], "not a table of measurements"),
        (lambda text: text.replace("length_mm", "length_cm", 1), "not a table of measurements"),
        (lambda text: text + "ruler,1\n", "line 11|different images"),
        (lambda text: text.replace("[[2.0,", "[[2.0 ", 1), "line 2, points_zyx"),
        (lambda text: text.replace("[5, 20, 30]", "[5, 20, 31]", 1), "different images"),
        (lambda text: text.replace("\nangle,", "\narrow,", 1), r"shapes\[1\].kind"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path, kept, change, words):
    path = tmp_path / "case.csv"
    write(path, kept)
    path.write_text(change(path.read_text()))
    with pytest.raises(FormatError, match=words):
        read(path)


def test_files_of_other_kinds_are_refused(tmp_path):
    for name, content in (("a.json", b"[1]"), ("b.json", b"{"), ("c.csv", b"\xff\xfe\x00"), ("d.txt", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FormatError, match=name):
            read(tmp_path / name)
    with pytest.raises(FormatError):
        read(tmp_path / "missing.csv")
