import itertools

import numpy as np
import pytest
from napari.components import ViewerModel

from ctseg_imaging.errors import GeometryError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Volume, Window
from napari_ctseg.viewer.layers import (
    colours_of,
    go_to_slice,
    label_map_of,
    shown_box,
    slice_of,
    source_of,
    volume_of,
)
from napari_ctseg.viewer.showing import add_prediction, show_boxes, show_labels, show_volume


class Box:
    def __init__(self, name, start, stop):
        self.name, self.start, self.stop = name, start, stop


class FakePrediction:
    """A prediction as the seam has it."""

    def __init__(self, labels, boxes=(), edge_map=None, disagreement=None):
        self.labels, self.roi_boxes, self.edge_map, self.disagreement = labels, boxes, edge_map, disagreement
        self.probabilities = None
        self.provenance = {"bundles": [{"name": "toy"}]}


def test_a_volume_comes_back_as_the_same_memory_with_its_exact_geometry(volume):
    layer = show_volume(ViewerModel(), volume, "ct")
    back = volume_of(layer)
    assert np.shares_memory(back.array, volume.array) and np.shares_memory(layer.data, volume.array)
    np.testing.assert_array_equal(back.array, volume.array)
    np.testing.assert_array_equal(back.geometry.affine_lps, volume.geometry.affine_lps)
    assert back.modality == "CT"


def test_a_layer_has_units_axes_spacing_and_window(volume):
    layer = show_volume(ViewerModel(), volume, "ct", Window("liver", 150, 30))
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert layer.axis_labels == ("z", "y", "x")
    np.testing.assert_allclose(layer.scale, (3.0, 1.5, 2.0))
    assert tuple(layer.contrast_limits) == (-45, 105)
    assert layer.contrast_limits_range[0] <= -250 and layer.contrast_limits_range[1] >= 253


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, -1)])
@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_a_voxel_lies_in_the_world_where_its_lps_point_is(signs, axes):
    """The oracle: the one bright voxel's LPS point by the affine, whatever the storage; world coordinates are
    (z, y, x) of LPS.
    """
    direction = np.zeros((3, 3))
    for column, (axis, sign) in enumerate(zip(axes, signs, strict=True)):
        direction[axis, column] = sign
    geometry = Geometry.from_parts((4, 5, 6), (3.0, 1.5, 2.0), (10.0, -20.0, 30.0), direction)
    array = np.zeros((4, 5, 6), np.int16)
    array[1, 3, 4] = 1000
    layer = show_volume(ViewerModel(), Volume(array, geometry), "ct")
    where = np.argwhere(np.asarray(layer.data) == 1000)[0]
    np.testing.assert_allclose(layer.data_to_world(where), geometry.index_to_lps((1, 3, 4))[::-1], atol=1e-9)


def test_painting_on_the_layer_paints_the_stored_array(label_map):
    layer = show_labels(ViewerModel(), label_map, "mask")
    before = label_map.array.copy()
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 3)
    changed = np.argwhere(label_map.array != before)
    assert len(changed) == 1
    world = label_map.geometry.index_to_lps(changed[0])[::-1]
    lowest = label_map.geometry.corners_lps_mm().min(axis=0)[::-1]
    assert world[0] - lowest[0] == pytest.approx(
        1.5
    )  # half a slice of 3 mm above the lowest face: view index z = 0
    np.testing.assert_array_equal(label_map_of(layer).array, label_map.array)


def test_labels_have_names_and_colours(label_map):
    layer = show_labels(ViewerModel(), label_map, "mask")
    assert list(layer.features["name"]) == ["background", "liver", "spleen"]
    assert layer.selected_label == 1
    table = colours_of(label_map.labels).color_dict
    assert table[0][3] == 0 and tuple(np.round(table[1][:3] * 255).astype(int)) == (0xE6, 0x9F, 0x00)


def test_a_read_only_map_is_copied_because_labels_are_painted_on(label_map):
    label_map.array.setflags(write=False)
    layer = show_labels(ViewerModel(), label_map, "mask")
    assert layer.data.flags.writeable and not np.shares_memory(layer.data, label_map.array)


def test_several_channels_are_several_layers(volume):
    viewer = ViewerModel()
    show_volume(viewer, Volume(np.stack([volume.array, volume.array + 1]), volume.geometry), "mr")
    assert [layer.name for layer in viewer.layers] == ["mr channel 1", "mr channel 2"]


def test_a_plain_layer_is_an_upright_box():
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((3, 4, 5)), scale=(3, 2, 1), translate=(30, 20, 10))
    found = volume_of(layer)
    assert (
        found.geometry.spacing_mm == (3, 2, 1)
        and found.geometry.origin_lps_mm == (10, 20, 30)
        and source_of(layer) is None
    )


def test_a_turned_plain_layer_is_refused():
    layer = ViewerModel().add_image(np.zeros((3, 4, 5)), rotate=(10, 0, 0))
    with pytest.raises(GeometryError, match="turned"):
        volume_of(layer)


def test_slices_and_the_slider_agree(volume):
    viewer = ViewerModel()
    layer = show_volume(viewer, volume, "ct")
    for index in (0, 3, 6):
        go_to_slice(viewer, layer, index)
        assert slice_of(viewer, layer) == index
        assert viewer.dims.current_step[0] == index


def test_a_box_over_the_whole_volume_leaves_the_slider_on_the_slices(volume):
    viewer = ViewerModel()
    layer = show_volume(viewer, volume, "ct")
    show_boxes(viewer, [Box("all", (0, 0, 0), volume.array.shape)], volume.geometry, "box")
    for index in range(layer.data.shape[0]):
        go_to_slice(viewer, layer, index)
        assert viewer.dims.point[0] == pytest.approx(layer.data_to_world((index, 0, 0))[0])
    assert viewer.dims.nsteps[0] == layer.data.shape[0]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_a_box_is_drawn_in_the_slices_that_cross_it_and_in_no_other(volume, order):
    viewer, (start, stop) = ViewerModel(), ((1, 1, 0), (4, 3, 2))
    view = source_of(show_volume(viewer, volume, "ct")).view
    lines = show_boxes(viewer, [Box("liver", start, stop)], volume.geometry, "box")
    viewer.dims.order = order
    low, high = (np.array(corner) for corner in shown_box(view, volume.array.shape, start, stop))
    across, *within = order
    ends = np.stack([lines.data[:, 0], lines.data.sum(axis=1)], axis=1)  # both ends of each side
    assert {*np.unique(ends[:, :, across])} == {*range(low[across], high[across])}
    for index in range(low[across], high[across]):
        sides = ends[(ends[:, 0, across] == index) & (ends[:, 1, across] == index)][:, :, within]
        inner, outer = (np.maximum(corner[within] - 0.5, 0) for corner in (low, high))
        around = {(inner[0], inner[1]), (inner[0], outer[1]), (outer[0], outer[1]), (outer[0], inner[1])}
        assert (
            len(sides) == 4
            and {tuple(side[0]) for side in sides} == {tuple(side[1]) for side in sides} == around
        )
        assert ((sides[:, 0] != sides[:, 1]).sum(axis=1) == 1).all()  # along the edges, not across


def test_in_three_dimensions_a_box_has_its_twelve_edges(volume):
    viewer = ViewerModel()
    shape = source_of(show_volume(viewer, volume, "ct")).shown.shape
    view = source_of(viewer.layers["ct"]).view
    lines = show_boxes(
        viewer,
        [Box("liver", (1, 1, 1), (4, 3, 6)), Box("spleen", (5, 6, 7), (6, 7, 8))],
        volume.geometry,
        "box",
    )
    flat = lines.data
    viewer.dims.ndisplay = 3
    assert lines.data.shape == (24, 2, 3)
    low, high = (np.array(corner) for corner in shown_box(view, volume.array.shape, (1, 1, 1), (4, 3, 6)))
    ends = [(tuple(start), tuple(start + way)) for start, way in lines.data[:12]]
    corners = {corner for edge in ends for corner in edge}
    assert corners == set(itertools.product(*zip(np.maximum(low - 0.5, 0), high - 0.5, strict=True)))
    assert len(set(map(frozenset, ends))) == 12
    assert (
        all(sum(a != b for a, b in zip(*edge, strict=True)) == 1 for edge in ends)
        and max(np.concatenate(lines.data)[:, 0]) < shape[0]
    )
    viewer.dims.ndisplay = 2
    np.testing.assert_array_equal(lines.data, flat)


def test_a_removed_box_follows_the_planes_no_more(volume):
    viewer = ViewerModel()
    show_volume(viewer, volume, "ct")
    lines = show_boxes(viewer, [Box("liver", (1, 1, 0), (4, 3, 2))], volume.geometry, "box")
    kept = lines.data
    viewer.layers.remove(lines)
    viewer.dims.order = (1, 0, 2)
    assert lines.data is kept


def test_a_stored_box_is_the_same_voxels_in_the_view(volume):
    layer = show_volume(ViewerModel(), volume, "ct")
    start, stop = (1, 2, 0), (3, 5, 2)
    low, high = shown_box(source_of(layer).view, volume.array.shape, start, stop)
    seen = layer.data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    assert sorted(seen.ravel()) == sorted(volume.array[1:3, 2:5, 0:2].ravel())


def test_a_prediction_brings_labels_box_and_hidden_maps(volume, label_map):
    viewer = ViewerModel()
    show_volume(viewer, volume, "ct")
    edges = Volume(np.zeros(volume.array.shape, np.float32), volume.geometry)
    layer = add_prediction(
        viewer,
        FakePrediction(label_map, (Box("region of interest", (1, 2, 0), (3, 5, 2)),), edges, edges),
        "toy",
    )
    assert [one.name for one in viewer.layers] == ["ct", "toy edges", "toy disagreement", "toy", "toy box"]
    assert [one.visible for one in viewer.layers] == [True, False, False, True, True]
    assert layer.data.dtype == np.uint8 and source_of(layer).provenance["bundles"][0]["name"] == "toy"
    box, sides = viewer.layers["toy box"], []
    for order in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
        viewer.dims.order = order
        sides += list(box.data)
    assert len(sides) == 4 * (2 + 3 + 2)  # an outline for each slice of the three planes
    corners = np.array([box.data_to_world(start) for start, _ in sides])
    inside = viewer.layers["toy"].data_to_world
    first, last = (inside(place) for place in np.argwhere(np.asarray(layer.data) == 1)[[0, -1]])
    half = np.array(layer.scale) / 2  # the outlines run along the outer faces of the outermost voxels
    np.testing.assert_allclose(corners.min(axis=0), first - half)
    np.testing.assert_allclose(corners.max(axis=0), last + half)


def test_a_map_of_entropy_is_called_so(volume, label_map):
    viewer, prediction = (
        ViewerModel(),
        FakePrediction(
            label_map, disagreement=Volume(np.zeros(volume.array.shape, np.float32), volume.geometry)
        ),
    )
    prediction.provenance["settings"] = {"disagreement": "entropy"}
    add_prediction(viewer, prediction, "toy")
    assert [one.name for one in viewer.layers] == ["toy entropy", "toy"]


def test_all_layers_share_units(volume, label_map):
    viewer = ViewerModel()
    show_volume(viewer, volume, "ct")
    add_prediction(viewer, FakePrediction(label_map, (Box("roi", (1, 2, 0), (3, 5, 2)),)), "toy")
    assert {str(unit) for layer in viewer.layers for unit in layer.units} == {"millimeter"}


def test_a_map_from_elsewhere_gets_made_up_names():
    layer = ViewerModel().add_labels(np.array([[[0, 2]]], np.uint8))
    found = label_map_of(layer)
    assert isinstance(found, LabelMap) and found.labels.values == (2,)
