"""Segmentations that are dropped on the viewer."""

from __future__ import annotations

import napari
import numpy as np
import pytest

from ctseg_imaging import formats
from ctseg_imaging.volume import LabelMap, Labels
from napari_ctseg.files.readers import open_path
from napari_ctseg.viewer.layers import KEY, label_map_of
from napari_ctseg.viewer.showing import show_volume
from napari_ctseg.viewer.study import study_of
from tests.imaging.formats.segmentations.rtstruct.making import square, write


@pytest.fixture
def with_image(make_napari_viewer, volume):
    viewer = make_napari_viewer()
    study_of(viewer).image = show_volume(viewer, volume, "image").name
    assert napari.current_viewer() is not None
    return viewer


def test_contours_land_on_the_open_image(with_image, volume, tmp_path) -> None:
    path = write(tmp_path / "rs.dcm", [("liver", [square(volume.geometry, 3, 0.5, 4.5)])])
    layer = with_image.add_layer(napari.layers.Layer.create(*open_path(path)[0]))
    found = label_map_of(layer)
    assert np.array_equal(np.argwhere(found.array).min(axis=0), [3, 1, 1])
    assert np.array_equal(np.argwhere(found.array).max(axis=0), [3, 4, 4])
    assert found.geometry.matches(volume.geometry) == "same"
    assert found.labels.name(1) == "liver"


def test_overlapping_segments_become_layers_and_the_first_is_visible(with_image, volume, tmp_path) -> None:
    path = write(
        tmp_path / "rs.dcm",
        [("body", [square(volume.geometry, 3, 0.5, 6.5)]), ("liver", [square(volume.geometry, 3, 1.5, 4.5)])],
    )
    layers = open_path(path)
    assert [settings["visible"] for _, settings, _ in layers] == [True, False]
    assert [settings["metadata"][KEY].labels.values for _, settings, _ in layers] == [(1,), (2,)]


def test_a_cropped_slicer_segmentation_lands_on_the_open_image(with_image, volume, tmp_path) -> None:
    part = LabelMap(
        np.ones((2, 3, 4), np.uint8),
        volume.geometry.crop((1, 2, 3), (3, 5, 7)),
        Labels.from_names({1: "liver"}),
    )
    formats.write(tmp_path / "part.seg.nrrd", part)
    [(data, settings, kind)] = open_path(tmp_path / "part.seg.nrrd")
    assert kind == "labels" and settings["metadata"][KEY].geometry.shape == volume.geometry.shape
    assert np.count_nonzero(data) == 24
