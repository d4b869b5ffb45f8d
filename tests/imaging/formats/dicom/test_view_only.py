"""Tilted, incomplete and uneven series: shown where their slices lie, and refused wherever exact voxels are
needed.
"""

import numpy as np
import pytest

from ctseg_imaging import formats
from ctseg_imaging.errors import FormatError, GeometryError, OnlyViewable
from ctseg_imaging.metrics.reports.evaluation import evaluate_pair
from ctseg_imaging.volume import LabelMap, ViewOnlyVolume
from tests.imaging.formats.dicom.making import HU, ORIGIN, ROW_SPACING, STEP, TURN, plane, save, series


def placed(*places: np.ndarray) -> list:
    """Slice k of HU at the offset places[k] in mm."""
    return [
        plane(k, ImagePositionPatient=[f"{v:.9g}" for v in ORIGIN + place]) for k, place in enumerate(places)
    ]


def tilted() -> list:
    """Each slice lies two pixels further along the columns than the one before."""
    return placed(*[k * (STEP * TURN[:, 2] + 2 * ROW_SPACING * TURN[:, 1]) for k in range(7)])


def test_a_missing_slice_is_an_empty_plane(tmp_path):
    planes = series()
    del planes[3]
    folder = save(tmp_path / "ct", planes)
    with pytest.raises(OnlyViewable, match="view only"):
        formats.read(folder)
    volume = formats.read_view_only(folder)
    assert isinstance(volume, ViewOnlyVolume) and "1 slice is missing" in volume.why
    assert volume.array.shape == HU.shape
    np.testing.assert_array_equal(np.delete(volume.array, 3, 0), np.delete(HU, 3, 0))
    assert (volume.array[3] == np.delete(HU, 3, 0).min()).all()
    np.testing.assert_allclose(volume.geometry.origin_lps_mm, ORIGIN, atol=1e-6)
    assert "1 planes without a slice are empty" in volume.notes[0]


def test_a_tilted_series_is_moved_by_whole_pixels(tmp_path):
    """The physical point of every voxel of every slice is the one that the files give."""
    volume = formats.read_view_only(save(tmp_path / "ct", tilted()))
    assert "gantry tilt" in volume.why
    assert volume.array.shape == (7, 8 + 2 * 6, 9)
    for k in range(7):
        np.testing.assert_array_equal(volume.array[k, 2 * k : 2 * k + 8], HU[k])
        expected = ORIGIN + k * (STEP * TURN[:, 2] + 2 * ROW_SPACING * TURN[:, 1])
        np.testing.assert_allclose(volume.geometry.index_to_lps((k, 2 * k, 0)), expected, atol=1e-5)


def test_a_tilt_to_the_other_side_moves_the_origin(tmp_path):
    back = placed(*[k * (STEP * TURN[:, 2] - 2 * ROW_SPACING * TURN[:, 1]) for k in range(7)])
    volume = formats.read_view_only(save(tmp_path / "ct", back))
    np.testing.assert_array_equal(volume.array[0, 12:], HU[0])
    np.testing.assert_allclose(volume.geometry.index_to_lps((0, 12, 0)), ORIGIN, atol=1e-5)


def test_uneven_slices_show_the_nearest(tmp_path):
    """At 0, 3, 6, 10.5, 13.5, 16.5, 19.5 mm: planes of 3 mm, the fourth one shows no slice farther than 1.5
    mm.
    """
    heights = (0, 3, 6, 10.5, 13.5, 16.5, 19.5)
    volume = formats.read_view_only(save(tmp_path / "ct", placed(*[h * TURN[:, 2] for h in heights])))
    for plane_number, values in enumerate(volume.array):
        nearest = int(np.abs(np.array(heights) - 3 * plane_number).argmin())
        assert abs(heights[nearest] - 3 * plane_number) <= 1.5
        np.testing.assert_array_equal(values, HU[nearest])


def test_a_regular_series_is_not_opened_as_view_only(tmp_path):
    with pytest.raises(FormatError, match="without view only"):
        formats.read_view_only(save(tmp_path / "ct", series()))


def test_slices_that_lie_far_aside_are_refused(tmp_path):
    far = placed(*[k * (STEP * TURN[:, 2] + 30 * ROW_SPACING * TURN[:, 1]) for k in range(7)])
    with pytest.raises(GeometryError, match="too far to the side"):
        formats.read_view_only(save(tmp_path / "ct", far))


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd", "mha"])
def test_it_is_never_written(tmp_path, ending):
    volume = formats.read_view_only(save(tmp_path / "ct", tilted()))
    with pytest.raises(GeometryError, match="viewing only and cannot be written"):
        formats.write(tmp_path / f"out.{ending}", volume)
    mask = LabelMap(np.zeros(volume.geometry.shape, np.uint8), volume.geometry)
    with pytest.raises(GeometryError, match="viewing only and cannot be written"):
        formats.write(tmp_path / f"out.{ending}", mask, like=volume)
    assert not (tmp_path / f"out.{ending}").exists()


def test_it_is_never_measured(tmp_path):
    volume = formats.read_view_only(save(tmp_path / "ct", tilted()))
    mask = LabelMap(np.zeros(volume.geometry.shape, np.uint8), volume.geometry)
    with pytest.raises(GeometryError, match="viewing only and cannot be measured"):
        evaluate_pair(mask, mask, case="a", image=volume)
