"""The controller on a viewer without a window."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from scipy import ndimage

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.measurements import Kind, read
from ctseg_imaging.volume import PALETTE, LabelMap, Labels, ViewOnlyVolume, Volume
from napari_ctseg.docks.measure.controller import MeasureController
from napari_ctseg.docks.measure.shapes_layer import as_drawn, as_taken
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.orientation import show_plane
from napari_ctseg.viewer.showing import show_labels, show_volume
from tests.plugin.workers import at_once


class FakeView:
    state, probe = None, ""

    def show(self, state):
        self.state = state

    def show_probe(self, text):
        self.probe = text

    def zoomed(self):
        pass


class Mouse:
    """A press, moves and a release through the viewer's callbacks, as napari calls them; places are indices
    of a layer's data.
    """

    def __init__(self, viewer, layer):
        self.viewer, self.layer = viewer, layer

    def event(self, kind, index, keys=(), dragging=True):
        return SimpleNamespace(
            type=kind,
            position=tuple(self.layer.data_to_world(index)),
            button=1,
            handled=False,
            modifiers=keys,
            is_dragging=dragging,
        )

    def drag(self, *indices, keys=()):
        event = self.event("mouse_press", indices[0], keys)
        running = [
            drag
            for callback in self.viewer.mouse_drag_callbacks
            if hasattr(drag := callback(self.viewer, event), "send")
        ]
        kinds = ["mouse_press", *["mouse_move"] * (len(indices) - 1), "mouse_release"]
        for kind, index in zip(kinds, [*indices, indices[-1]], strict=True):
            vars(event).update(vars(self.event(kind, index, keys)))
            for drag in running:
                next(drag, None)
        return event.handled

    def hover(self, index):
        for callback in self.viewer.mouse_move_callbacks:
            callback(self.viewer, self.event("mouse_move", index, dragging=False))

    def double_click(self, index):
        for callback in self.viewer.mouse_double_click_callbacks:
            callback(self.viewer, self.event("mouse_double_click", index))


SHAPE, SPACING = (10, 30, 40), (5.0, 2.0, 1.0)


def scan(modality="CT"):
    c, s = np.cos(np.radians(10)), np.sin(np.radians(10))
    turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag([-1, 1, -1.0])
    geometry = Geometry.from_parts(SHAPE, SPACING, (10.0, -20.0, 30.0), turned)
    return Volume(np.random.default_rng(4).integers(-900, 900, SHAPE, np.int16), geometry, modality=modality)


@pytest.fixture
def made(tmp_path):
    viewer = ViewerModel()
    volume = scan()
    layer = show_volume(viewer, volume, "scan")
    controller = MeasureController(FakeView(), viewer, Preferences(tmp_path / "p.json"), at_once)
    controller.set_visible(True)
    viewer.dims.set_point(0, layer.translate[0] + 4 * layer.scale[0])
    return SimpleNamespace(
        controller=controller, viewer=viewer, layer=layer, volume=volume, mouse=Mouse(viewer, layer)
    )


def rows(made):
    return made.controller.view.state.rows


def test_a_ruler_in_each_plane_has_its_length_in_mm(made):
    places = {
        "axial": (0, (4, 5, 5), (4, 14, 29), 30.0),  # 9 x 2 mm and 24 x 1 mm
        "coronal": (1, (2, 7, 3), (5, 7, 11), 17.0),  # 3 x 5 mm and 8 x 1 mm
        "sagittal": (2, (1, 2, 9), (5, 12.5, 9), 29.0),  # 4 x 5 mm and 10.5 x 2 mm
    }
    for plane, (axis, a, b, mm) in places.items():
        show_plane(made.viewer, plane)
        made.viewer.dims.set_point(axis, made.layer.translate[axis] + a[axis] * made.layer.scale[axis])
        made.controller.arm(Kind.RULER)
        assert made.mouse.drag(a, b)
        assert rows(made)[-1].size == f"{mm:.1f} mm" and rows(made)[-1].slice == f"{plane} {a[axis] + 1}"
    made.controller.go_to(0)
    assert made.viewer.dims.order == (0, 1, 2) and made.controller.state.selected == 0
    made.controller.go_to(2)
    assert made.viewer.dims.order[0] == 2


def test_the_row_follows_the_drag_and_the_release_counts(made):
    made.controller.arm(Kind.RECTANGLE)
    seen = []
    show = made.controller.view.show
    made.controller.view.show = lambda state: (show(state), seen.append(tuple(r.size for r in state.rows)))
    made.mouse.drag((4, 2.5, 2.5), (4, 6.5, 4.5), (4, 12.5, 22.5))
    assert ("16.0 mm²",) in seen  # 4 x 2 mm, 2 x 1 mm: half way
    inside = made.layer.data[4, 3:13, 3:23].astype(float)
    assert rows(made)[0].size == "400 mm²"
    text = f"{inside.mean():.0f} ± {inside.std():.0f} HU".replace("-", "−")
    assert rows(made)[0].mean == text
    layer = made.viewer.layers["Measurements"]
    assert layer.features["label"].tolist() == [f"{text}, 400 mm²"]


def test_a_press_that_does_not_move_draws_nothing_and_no_tool_leaves_the_mouse_alone(made):
    made.controller.arm(Kind.RULER)
    made.mouse.drag((4, 5, 5))
    assert rows(made) == () and made.controller.state.tool is Kind.RULER
    made.controller.arm(Kind.RULER)  # a second time: away with it
    assert made.controller.state.tool is None
    assert not made.mouse.drag((4, 5, 5), (4, 9, 9)) and rows(made) == ()


def test_an_angle_by_three_clicks_and_a_polygon_closed_by_a_double_click(made):
    made.controller.arm(Kind.ANGLE)
    before = list(made.viewer.mouse_double_click_callbacks)
    made.mouse.drag((4, 5, 5))
    made.mouse.hover((4, 9, 20))
    made.mouse.drag((4, 10, 5))
    made.mouse.hover((4, 10, 9))
    assert rows(made)[0].size == "90.0°"  # live: 10 mm up, 4 mm across
    made.mouse.drag((4, 5, 15))
    assert rows(made)[0].size == "45.0°" and made.controller.state.tool is None
    made.controller.arm(Kind.POLYGON)
    for corner in ((4, 2, 2), (4, 2, 12), (4, 20, 30)):
        made.mouse.drag(corner)
    made.controller.delete()  # the last corner
    made.mouse.drag((4, 8, 12))
    made.mouse.drag((4, 8, 2))
    made.mouse.double_click((4, 8, 2))
    assert rows(made)[1].size == "120 mm²" and made.controller.state.tool is None
    assert made.viewer.mouse_double_click_callbacks == before


def test_escape_and_a_turn_of_the_slice_take_back_what_is_begun(made):
    made.controller.arm(Kind.POLYGON)
    made.mouse.drag((4, 2, 2))
    made.controller.escape()
    assert rows(made) == () and made.controller.state.tool is Kind.POLYGON
    made.mouse.drag((4, 2, 2))
    made.mouse.drag((4, 2, 9))
    made.viewer.dims.set_point(0, made.layer.translate[0] + 6 * made.layer.scale[0])
    assert rows(made) == () and not made.controller.state.can_undo
    made.controller.escape()
    assert made.controller.state.tool is None


def test_handles_move_shapes_and_each_change_is_one_undo_step(made):
    made.controller.arm(Kind.RULER)
    made.mouse.drag((4, 5, 5), (4, 5, 25))
    assert made.mouse.drag((4, 5, 25), (4, 5, 20), (4, 5, 15))  # the end
    assert rows(made)[0].size == "10.0 mm"
    made.mouse.drag((4, 5, 10), (4, 12, 10))  # the line: all of it
    ((_, shape),) = made.controller.sheet.shapes_here()
    assert (
        shape.array == pytest.approx(np.array([[4, 12, 5], [4, 12, 15]])) and rows(made)[0].size == "10.0 mm"
    )
    assert not made.mouse.drag((4, 25, 35), (4, 27, 37))  # nothing there: napari pans
    made.controller.delete(0)
    sizes = [len(rows(made))]
    for _ in range(4):
        made.controller.undo()
        sizes.append(rows(made)[0].size if rows(made) else 0)
    assert sizes == [0, "10.0 mm", "10.0 mm", "20.0 mm", 0] and not made.controller.state.can_undo


def test_another_layer_in_hand_puts_the_tool_away_and_is_left_alone(made):
    made.controller.arm(Kind.RULER)
    made.viewer.layers.selection.active = made.layer
    assert made.controller.state.tool is None and not made.mouse.drag((4, 5, 5), (4, 9, 9))


def test_a_tool_can_be_kept(made, tmp_path):
    made.controller.set_keep_tool(True)
    made.controller.arm(Kind.RULER)
    for k in range(3):
        made.mouse.drag((4, 5 + k, 5), (4, 5 + k, 25))
    assert len(rows(made)) == 3 and Preferences(tmp_path / "p.json").get("measure", "keep_tool", False)


def test_measurements_survive_the_dock_and_what_naparis_own_tools_draw_is_measured(made, tmp_path):
    for kind in (Kind.RECIST, Kind.ELLIPSE):
        made.controller.arm(kind)
        made.mouse.drag((4, 10, 10), (4, 16, 26))
    before = rows(made)
    made.controller.close()
    assert made.viewer.mouse_drag_callbacks == [] or not made.mouse.drag((4, 10, 10), (4, 2, 2))
    again = MeasureController(FakeView(), made.viewer, Preferences(tmp_path / "p.json"), at_once)
    assert [(row.kind, row.size) for row in again.state.rows] == [(row.kind, row.size) for row in before]
    layer = made.viewer.layers["Measurements"]
    layer.add(np.array([[4, 2, 2], [4, 2, 12]]), shape_type="line")
    assert again.state.rows[-1].size == "10.0 mm" and again.state.can_undo
    made.viewer.layers.remove(layer)
    assert again.state.rows == ()


def test_saved_in_stored_indices_and_opened_equal(made, tmp_path):
    made.controller.arm(Kind.RECTANGLE)
    made.mouse.drag((4, 2, 3), (4, 12, 23))
    show_plane(made.viewer, "coronal")
    made.controller.arm(Kind.RECIST)
    made.mouse.drag((2, 15, 5), (7, 15, 30))
    before = rows(made)
    for name in ("a.csv", "b.json"):
        made.controller.save(tmp_path / name)
        assert made.controller.state.message == f"Written: {name}"
    kept = read(tmp_path / "b.json")
    assert kept == read(tmp_path / "a.csv") and kept.unit == "HU"
    shape, values = kept.shapes[0]  # the file's own order of voxels: stored from the left and from the head
    box = tuple(
        slice(int(np.ceil(low)), int(np.ceil(high))) for low, high in zip(*_extent(shape), strict=True)
    )
    inside = made.volume.array[shape.index][box[1:]]
    assert values.voxels == inside.size and values.mean == pytest.approx(inside.mean(), abs=30)
    assert shape.index == 9 - 4
    for k in (1, 0):
        made.controller.delete(k)
    made.controller.open(tmp_path / "a.csv")
    assert rows(made) == before and made.controller.state.message == "Opened: 2 measurements."
    made.controller.undo()
    assert rows(made) == ()


def _extent(shape):
    return shape.array.min(axis=0), shape.array.max(axis=0)


def test_a_file_of_another_grid_or_with_other_values_is_named(made, tmp_path):
    made.controller.arm(Kind.RECTANGLE)
    made.mouse.drag((4, 2, 3), (4, 12, 23))
    made.controller.save(path := tmp_path / "a.json")
    found = json.loads(path.read_text())
    found["shapes"][0]["mean"] += 1
    path.write_text(json.dumps(found))
    made.controller.open(path)
    assert "1 of them had other values in the file" in made.controller.state.message
    found["image"]["affine_lps"][0][3] += 40
    path.write_text(json.dumps(found))
    made.controller.open(path)
    assert made.controller.state.message.startswith(f"{path}: was measured on another grid")
    assert len(rows(made)) == 2 and made.controller.state.details


def test_nothing_is_overwritten_unasked(made, tmp_path):
    made.controller.save(tmp_path / "a.csv")
    assert made.controller.state.message == "Measure something first."
    made.controller.arm(Kind.RULER)
    made.mouse.drag((4, 2, 3), (4, 12, 23))
    (tmp_path / "a.csv").write_text("mine")
    made.controller.save(tmp_path / "a.csv", overwrite=False)
    assert "exists already" in made.controller.state.message and (tmp_path / "a.csv").read_text() == "mine"


def test_the_probe_gives_value_and_place_and_rests_when_hidden(made):
    made.viewer.cursor.position = tuple(made.layer.data_to_world((4, 20, 30)))
    value = int(made.layer.data[4, 20, 30])
    stored = (9 - 4, 20, 39 - 30)  # stored from the left and from the head
    x, y, z = made.volume.geometry.index_to_lps(stored)
    assert made.volume.array[stored] == value
    want = f"{value} HU at {'L' if x >= 0 else 'R'} {abs(x):.1f}, {'P' if y >= 0 else 'A'} {abs(y):.1f}, "
    want += f"{'S' if z >= 0 else 'I'} {abs(z):.1f} mm"
    assert made.controller.view.probe == want.replace("-", "−")
    made.viewer.cursor.position = tuple(made.layer.data_to_world((4, 200, 30)))
    assert made.controller.view.probe == ""
    made.controller.set_visible(False)
    made.controller.view.probe = "as it was"
    made.viewer.cursor.position = tuple(made.layer.data_to_world((4, 20, 30)))
    assert made.controller.view.probe == "as it was"


def test_labels_have_volumes_and_means_and_follow_the_brush_while_the_dock_is_seen(made):
    array = np.zeros(SHAPE, np.uint8)
    array[2:5, 3:20, 5:31], array[7, 4, 4:9] = 1, 3
    label_map = LabelMap(array, made.volume.geometry, Labels.from_names({1: "liver", 3: "spleen"}))
    mask = show_labels(made.viewer, label_map, "mask")
    liver, spleen = made.controller.state.labels
    mean, sd = (f(made.volume.array, array, 1) for f in (ndimage.mean, ndimage.standard_deviation))
    assert made.controller.state.mask == "mask" and liver.name == "liver"
    assert liver.volume == f"{3 * 17 * 26 * 10 / 1000:.1f} ml" and spleen.volume == "0.05 ml"
    assert liver.mean == f"{mean:.0f} ± {sd:.0f} HU".replace("-", "−")
    made.controller.set_visible(False)
    mask.data[0, 0, 0] = 3
    made.controller.mask._touched()
    made.controller.mask._count()
    assert made.controller.state.labels[1].volume == "0.05 ml"
    made.controller.set_visible(True)
    assert made.controller.state.labels[1].volume == "0.06 ml"


def test_a_mask_on_another_grid_has_volumes_only(made):
    geometry = Geometry.from_parts((4, 5, 6), (2, 2, 2))
    show_labels(made.viewer, LabelMap(np.ones((4, 5, 6), np.uint8), geometry), "other")
    (row,) = made.controller.state.labels
    assert row.volume == "0.96 ml" and row.mean == "–"
    assert "another grid" in made.controller.state.labels_note


def test_without_an_image_and_with_one_for_viewing_only_nothing_is_drawn(tmp_path):
    viewer = ViewerModel()
    controller = MeasureController(FakeView(), viewer, Preferences(tmp_path / "p.json"), at_once)
    controller.arm(Kind.RULER)
    assert controller.state.tool is None and "Open a CT or MR" in controller.state.message
    controller.open(tmp_path / "a.csv")
    show_volume(viewer, ViewOnlyVolume(**vars(scan()), why="a slice is missing"), "tilted")
    controller.arm(Kind.RULER)
    assert controller.state.tool is None and "viewing only" in controller.state.why_not
    assert [layer.name for layer in viewer.layers] == ["tilted (view only)"]


def test_a_mask_on_an_image_for_viewing_only_is_refused_in_a_sentence(tmp_path):
    viewer = ViewerModel()
    controller = MeasureController(FakeView(), viewer, Preferences(tmp_path / "p.json"), at_once)
    controller.set_visible(True)
    image = show_volume(viewer, ViewOnlyVolume(**vars(scan()), why="a slice is missing"), "tilted")
    drawn = np.ones(image.data.shape, np.uint8)
    viewer.add_labels(drawn, name="drawn", scale=image.scale, translate=image.translate)
    assert controller.state.labels == () and not controller.state.counting
    assert controller.state.message.startswith("drawn: ") and "viewing only" in controller.state.message


def test_a_mask_that_napari_made_has_the_colours_of_the_palette(made):
    mask = np.zeros(made.layer.data.shape, np.uint8)
    mask[0, 0, :5] = 3
    made.viewer.add_labels(mask, name="mask", scale=made.layer.scale, translate=made.layer.translate)
    made.viewer.layers.selection.active = made.viewer.layers["mask"]
    (row,) = made.controller.state.labels
    assert (row.value, row.name, row.colour) == (3, "label 3", PALETTE[2])


def test_an_image_that_is_not_ct_has_no_hu_and_each_grid_its_own_measurements(made):
    made.controller.arm(Kind.RULER)
    made.mouse.drag((4, 2, 3), (4, 12, 23))
    values = np.linspace(0, 1, 4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    other = show_volume(made.viewer, Volume(values, Geometry.from_parts((4, 5, 6), (1, 1, 1))), "mr")
    made.viewer.layers.selection.active = other
    assert rows(made) == () and made.controller.state.unit == ""
    made.viewer.dims.set_point(0, other.translate[0] + 2)
    made.controller.arm(Kind.RECTANGLE)
    Mouse(made.viewer, other).drag((2, 0.5, 0.5), (2, 3.5, 4.5))
    assert rows(made)[0].size == "12.0 mm²"
    inside = values[2, 1:4, 1:5]
    assert rows(made)[0].mean == f"{inside.mean():.2f} ± {inside.std():.2f}"
    made.viewer.layers.selection.active = made.layer
    assert [row.kind for row in rows(made)] == [Kind.RULER]


@pytest.mark.parametrize("kind", list(Kind))
def test_what_napari_draws_is_read_back_as_the_same_shape(kind):
    corners = ((3, 1, 2), (3, 1, 9), (3, 6, 9), (3, 6, 2))
    points = {Kind.RULER: corners[:2], Kind.ANGLE: corners[:3]}.get(kind, corners)
    if kind is Kind.RECIST:
        points = ((3, 1, 2), (3, 1, 10), (3, 0, 4), (3, 5, 4))
    from ctseg_imaging.measurements import DrawnShape

    shape = DrawnShape(kind, 0, tuple(tuple(map(float, point)) for point in points))
    assert as_taken(*as_drawn(shape), str(kind), 0) == shape


def test_measurements_are_not_offered_as_the_region_of_a_model(made):
    from napari_ctseg.docks.run_model.controller import _holds_boxes

    made.controller.arm(Kind.RECTANGLE)
    made.mouse.drag((4, 2, 3), (4, 12, 23))
    layer = made.viewer.layers["Measurements"]
    assert layer.nshapes == 1 and not _holds_boxes(layer)
