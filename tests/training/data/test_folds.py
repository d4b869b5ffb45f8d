"""Folds by slices, headers read two ways, and the table by hand."""

from __future__ import annotations

import gzip
import json
import statistics
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctseg_imaging import formats
from ctseg_imaging.errors import RecipeError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Volume
from ctseg_training.data.decathlon import open_dataset
from ctseg_training.data.folds import (
    CaseSlices,
    MeanAndDeviation,
    slice_counts,
    sorted_folds,
    spread,
    spread_table,
)


def test_folds_by_hand() -> None:
    cases = [("e", 90, 5.0), ("a", 40, 5.0), ("d", 90, 2.5), ("b", 40, 7.5), ("c", 60, 1.0)]
    assert sorted_folds(cases, 2) == (("a", "b"), ("c", "d", "e"))
    assert sorted_folds(cases, 5) == (("a",), ("b",), ("c",), ("d",), ("e",))


@given(st.lists(st.tuples(st.integers(1, 400), st.floats(0.5, 10)), min_size=2, max_size=40), st.data())
def test_folds_partition_the_cases_and_no_two_folds_overlap_in_slices(
    sizes: list[tuple[int, float]], data: st.DataObject
) -> None:
    folds = data.draw(st.integers(2, len(sizes)))
    cases = [(f"case_{number}", *size) for number, size in enumerate(sizes)]
    cut = sorted_folds(cases, folds)
    assert sorted(name for fold in cut for name in fold) == sorted(name for name, _, _ in cases)
    assert max(map(len, cut)) - min(map(len, cut)) <= 1 and len(cut) == folds
    of = {name: size for name, *size in cases}
    for earlier, later in pairwise(cut):
        assert max(of[name] for name in earlier) <= min(of[name] for name in later)


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(RecipeError, match="2 to 3"):
        sorted_folds([("a", 1, 1.0), ("b", 1, 1.0), ("c", 1, 1.0)], 4)
    with pytest.raises(RecipeError, match="one name"):
        sorted_folds([("a", 1, 1.0), ("a", 2, 1.0)], 2)


def test_slices_come_from_headers_whatever_the_voxel_order(tmp_path: Path) -> None:
    """An axial NIfTI without its voxels, an MHA whose slices run sagittally, and an NRRD along coronal
    slices.
    """
    (tmp_path / "imagesTr").mkdir()
    axial = Geometry.from_parts((5, 6, 7), (4.0, 2.0, 1.0), (1, 2, 3), np.diag([-1.0, -1.0, 1.0]))
    # Array axes (z, y, x) run along LPS x, z, y; the direction's columns are those of x, y, z of the array.
    sagittal = Geometry.from_parts((5, 6, 7), (4.0, 2.5, 1.0), (0, 0, 0), [[0, 0, 1], [1, 0, 0], [0, -1, 0]])
    coronal = Geometry.from_parts((5, 6, 7), (4.0, 2.0, 1.5), (0, 0, 0), [[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    names = ("a.nii.gz", "b.mha", "c.nrrd")
    for name, geometry in zip(names, (axial, sagittal, coronal), strict=True):
        formats.write(tmp_path / "imagesTr" / name, Volume(np.zeros(geometry.shape, np.int16), geometry))
    header = gzip.decompress((tmp_path / "imagesTr/a.nii.gz").read_bytes())[:352]
    (tmp_path / "imagesTr/a.nii.gz").write_bytes(gzip.compress(header))
    pairs = [{"image": f"imagesTr/{name}", "label": f"imagesTr/{name}"} for name in names]
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"1": "x"}, "training": pairs}))
    assert slice_counts(open_dataset(tmp_path)) == [
        CaseSlices("a", 5, 4.0),
        CaseSlices("b", 6, 2.5),
        CaseSlices("c", 7, 1.5),
    ]


def test_mean_and_deviation_are_the_statistics_modules() -> None:
    values = [0.9, 0.7, 0.85, 0.2]
    found = spread([values[0], None, *values[1:]])
    assert (found.mean, found.deviation) == pytest.approx(
        (statistics.mean(values), statistics.stdev(values))
    ) and found.cases == 4
    assert spread([0.5]) == MeanAndDeviation(0.5, None, 1) and spread([None]) == MeanAndDeviation(
        None, None, 0
    )


def test_the_table_by_hand() -> None:
    table = spread_table(
        [{"liver": 0.8, "spleen": 0.6}, {"liver": 0.9, "spleen": None}, {"liver": None, "spleen": None}]
    )
    assert list(table) == ["liver", "spleen", "mean"] and table["spleen"] == MeanAndDeviation(0.6, None, 1)
    assert (table["liver"].mean, table["liver"].deviation) == pytest.approx((0.85, 0.1 / 2**0.5))
    assert (table["mean"].mean, table["mean"].deviation, table["mean"].cases) == pytest.approx(
        (0.8, 0.2 / 2**0.5, 2)
    )  # of 0.7 and 0.9
