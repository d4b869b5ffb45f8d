"""Volumes and labels hold what they are given, or refuse it."""

import numpy as np
import pytest

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import (
    Label,
    LabelMap,
    Labels,
    ViewOnlyVolume,
    Volume,
    Window,
    slice_index,
    slice_number,
)

GRID = Geometry.from_parts((3, 4, 5), (2, 1, 1))


def test_array_and_grid_must_agree():
    assert Volume(np.zeros((3, 4, 5)), GRID).channels == 1
    assert Volume(np.zeros((2, 3, 4, 5)), GRID).channels == 2
    for shape in ((5, 4, 3), (4, 5), (1, 2, 3, 4, 5)):
        with pytest.raises(GeometryError):
            Volume(np.zeros(shape), GRID)
    with pytest.raises(GeometryError):
        LabelMap(np.zeros((5, 4, 3), np.uint8), GRID)


def test_people_count_slices_from_1():
    assert (slice_number(0), slice_number(127)) == (1, 128)
    assert [slice_index(slice_number(index)) for index in (0, 1, 299)] == [0, 1, 299]


def test_labels_are_whole_numbers():
    with pytest.raises(ValueError, match="integers"):
        LabelMap(np.zeros((3, 4, 5), np.float32), GRID)


def test_labels_are_ordered_named_and_coloured():
    labels = Labels.from_names({0: "background", 7: "spleen", 2: "liver"})
    assert labels.values == (2, 7)
    assert (labels.name(7), labels.name(3)) == ("spleen", "label 3")
    assert labels.colour(2) != labels.colour(7)
    assert len(labels.colour(1000)) == 7
    with pytest.raises(ValueError, match="share"):
        Labels((Label(1, "a"), Label(1, "b")))


def test_labels_from_the_values_that_occur():
    assert [label.name for label in Labels.from_values(np.array([[0, 3], [3, 300]]))] == [
        "label 3",
        "label 300",
    ]


def test_contoured_only_marks_what_was_not_drawn():
    labels = Labels.from_names({1: "liver", 2: "spleen"}).contoured_only(["spleen"])
    assert [label.contoured for label in labels] == [False, True]


def test_window_limits():
    assert Window("abdomen", 400, 50).limits == (-150, 250)


def test_volumes_and_labels_are_arrays_for_numpy():
    volume = Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), GRID)
    assert np.shares_memory(np.asarray(volume), volume.array)
    assert np.asarray(volume, copy=False) is volume.array
    assert not np.shares_memory(np.array(volume), volume.array)
    assert not np.shares_memory(np.asarray(volume, copy=True), volume.array)
    assert np.asarray(volume, np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="copy"):
        np.asarray(volume, np.float32, copy=False)
    assert float(np.mean(volume)) == 29.5
    labels = LabelMap(np.ones((3, 4, 5), np.uint8), GRID)
    np.testing.assert_array_equal(np.asarray(labels), labels.array)


@pytest.mark.parametrize(
    "convert",
    [ViewOnlyVolume.to_sitk, ViewOnlyVolume.to_nibabel, LabelMap.from_volume],
    ids=["to_sitk", "to_nibabel", "from_volume"],
)
def test_a_view_only_volume_is_not_converted(convert):
    made_up = ViewOnlyVolume(np.zeros((7, 8, 9), np.int16), Geometry.from_parts((7, 8, 9), (3, 1, 1)))
    with pytest.raises(GeometryError, match="viewing only"):
        convert(made_up)


def test_shape_spacing_and_repr():
    grid = Geometry.from_parts((3, 4, 5), (2.5, 1, 0.75))
    volume = Volume(np.zeros((2, 3, 4, 5), np.float32), grid, modality="CT")
    assert (volume.shape, volume.spacing_mm) == ((2, 3, 4, 5), (2.5, 1.0, 0.75))
    assert repr(volume) == (
        "Volume(shape=(2, 3, 4, 5), spacing_mm=(2.5, 1, 0.75), orientation='SPL', dtype=float32, "
        "modality='CT')"
    )
    labels = LabelMap(np.zeros((3, 4, 5), np.uint8), grid, Labels.from_names({1: "liver"}))
    assert repr(labels) == (
        "LabelMap(shape=(3, 4, 5), spacing_mm=(2.5, 1, 0.75), orientation='SPL', dtype=uint8, labels=1)"
    )


def test_spacing_is_the_files_to_the_bit():
    grid = Geometry((3, 4, 5), GRID.affine_lps, (2.0000001, 1, 1))
    assert Volume(np.zeros((3, 4, 5)), grid).spacing_mm == (2.0000001, 1, 1)
