"""Layouts, what the planes follow, and what they leave behind."""

import numpy as np
import pytest
from napari.qt import QtViewer
from qtpy.QtWidgets import QApplication

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume, Window
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.layers import slice_of
from napari_ctseg.viewer.mouse import mouse_of
from napari_ctseg.viewer.painting import BrushRules, Painting
from napari_ctseg.viewer.planes import Layout, planes_of
from napari_ctseg.viewer.planes.linked_planes import SECTION, SETTING
from napari_ctseg.viewer.showing import show_labels, show_volume
from tests.plugin import canvas_events as canvas

GEOMETRY = Geometry.from_parts((20, 30, 40), (3.0, 2.0, 1.5))
FINER = Geometry.from_parts((10, 60, 20), (6.0, 1.0, 3.0))


def ct(geometry=GEOMETRY):
    return Volume(np.zeros(geometry.shape, np.int16), geometry, modality="CT")


def labels_on(geometry=GEOMETRY):
    array = np.zeros(geometry.shape, np.uint8)
    return LabelMap(array, geometry, Labels.from_names({1: "liver", 2: "spleen"}))


@pytest.fixture
def image(viewer):
    return show_volume(viewer, ct(), "ct", Window("w", 400, 40))


@pytest.fixture
def mask(viewer, image):
    return show_labels(viewer, labels_on(), "mask", role="edited")


def callbacks(viewer):
    """How many listeners the viewer and its layers have."""
    groups = [viewer.dims.events, viewer.layers.events, viewer.scene.camera.events]
    groups += [layer.events for layer in viewer.layers]
    return [sum(len(emitter.callbacks) for emitter in group.emitters.values()) for group in groups]


def test_layouts_go_round_are_remembered_and_leave_nothing_behind(viewer, image, mask, canvases):
    planes = planes_of(viewer)
    before, shown = callbacks(viewer), len(QtViewer._instances)
    drags = list(viewer.mouse_drag_callbacks)
    assert planes.layout is Layout.ONE and planes.models == ()
    for layout in (Layout.LARGE, Layout.EQUAL):
        planes.next_layout()
        QApplication.processEvents()
        assert planes.layout is layout and len(QtViewer._instances) == shown + 2
        own, first, second = (widget.width() * widget.height() for widget in canvases.widgets)
        assert first == pytest.approx(second, rel=0.05)
        assert own > 1.9 * first if layout is Layout.LARGE else own == pytest.approx(first, rel=0.1)
        assert Preferences().get(SECTION, SETTING, "") == layout.value
    planes.next_layout()
    QApplication.processEvents()
    assert planes.layout is Layout.ONE and planes.models == ()
    assert callbacks(viewer) == before and viewer.mouse_drag_callbacks == drags


def test_the_layout_of_the_last_session_comes_with_the_first_volume(make_napari_viewer):
    Preferences().set(SECTION, SETTING, Layout.EQUAL.value)
    viewer = make_napari_viewer(show=True)
    planes = planes_of(viewer)
    assert planes.layout is Layout.ONE
    show_volume(viewer, ct(), "ct")
    assert planes.layout is Layout.EQUAL and len(planes.models) == 2
    viewer.window._qt_window.close()  # as the user, by the X
    viewer.close()
    assert planes.layout is Layout.ONE and Preferences().get(SECTION, SETTING, "") == "equal"


def test_without_a_volume_there_are_no_planes(viewer):
    planes_of(viewer).next_layout()
    assert planes_of(viewer).layout is Layout.ONE


def test_the_planes_look_as_the_viewer_does(viewer, image, mask, canvases):
    canvases.planes.show(Layout.LARGE)
    image.contrast_limits, image.gamma, image.colormap = (-100, 500), 0.7, "magma"
    mask.contour, mask.opacity, mask.selected_label, mask.mode = 2, 0.3, 2, "erase"
    for plane in canvases.planes.view.planes:
        picture, labels = plane.layer_for(image), plane.layer_for(mask)
        assert picture.contrast_limits == [-100, 500] and picture.gamma == 0.7
        assert picture.colormap.name == "magma" and picture.data is image.data
        assert (labels.contour, labels.opacity) == (2, 0.3)
        assert (labels.selected_label, labels.mode, labels.data is mask.data) == (2, "erase", True)
        labels.selected_label = 1  # the picker
        assert mask.selected_label == 1
        mask.selected_label = 2
    mask.visible = False
    assert not any(plane.layer_for(mask).visible for plane in canvases.planes.view.planes)
    later = show_volume(viewer, ct(), "later")
    viewer.layers.move(viewer.layers.index(later), 0)
    viewer.layers.remove(image)
    image.contrast_limits = (0, 1)  # a removed layer is not followed
    for plane in canvases.planes.view.planes:
        assert [layer.name for layer in plane.model.layers] == ["later", "mask"]
        assert plane.layer_for(image) is None
    viewer.layers.clear()
    assert all(not model.layers for model in canvases.planes.models)


def test_the_slices_follow_each_other(viewer, image, canvases):
    canvases.planes.show(Layout.LARGE)
    for number, axis in ((1, 2), (2, 1)):
        assert canvases.shown_axis(number) == axis
        canvases.models[number].dims.set_current_step(axis, 7)
        assert slice_of(viewer, image, axis) == 7
        viewer.dims.set_current_step(axis, 9)
        assert canvases.models[number].dims.current_step[axis] == 9
    viewer.dims.roll()  # the viewer's own canvas shows another plane: the two others beside it
    assert sorted(canvases.shown_axis(number) for number in range(3)) == [0, 1, 2]


def test_strokes_in_all_planes_are_undone_one_by_one(viewer, image, mask, canvases):
    canvases.planes.show(Layout.LARGE)
    viewer.dims.current_step = (10, 15, 20)
    viewer.layers.selection.active = mask
    mask.mode, mask.brush_size = "paint", 3
    states = [mask.data.copy()]
    for number in range(3):
        mask.selected_label = number % 2 + 1
        native = canvases.native(number)
        canvas.drag(
            native,
            (native.width() // 2, native.height() // 2),
            (native.width() // 2 + 30, native.height() // 2),
        )
        Painting.of(mask).flush()
        states.append(mask.data.copy())
        assert not np.array_equal(states[-1], states[-2])
    for plane in canvases.planes.view.planes:
        side = plane.layer_for(mask)
        side.refresh()
        assert not side._undo_history
    for state in reversed(states[:-1]):
        canvases.planes.view.planes[0].layer_for(mask).undo()
        assert np.array_equal(mask.data, state)
    mask.redo()
    assert np.array_equal(mask.data, states[1])


def test_what_is_painted_in_one_plane_is_seen_in_the_others(viewer, image, mask, canvases):
    canvases.planes.show(Layout.LARGE)
    viewer.dims.current_step = (10, 15, 20)
    mask.opacity, mask.mode, mask.brush_size, mask.contour = 1, "paint", 9, 0
    canvases.fit()
    for number in range(3):
        native = canvases.native(number)
        here = canvases.widgets[number].canvas
        world = here._map_canvas2world((native.width() // 2, native.height() // 2), here.view)
        viewer.dims.point = [
            value if axis in canvases.models[number].dims.displayed else viewer.dims.point[axis]
            for axis, value in enumerate(world)
        ]
        before = [canvases.picture(other) for other in range(3)]
        canvas.click(native, (native.width() // 2, native.height() // 2))
        Painting.of(mask).flush()
        changed = [bool((canvases.picture(other) != before[other]).any()) for other in range(3)]
        assert changed == [True] * 3, number
        mask.undo()
        Painting.of(mask).flush()


def test_locks_hold_in_every_plane(viewer, image, mask, canvases):
    canvases.planes.show(Layout.LARGE)
    mask.data[:], mask.mode, mask.selected_label = 1, "paint", 2
    native = canvases.native(1)
    at = (native.width() // 2, native.height() // 2)
    Painting.of(mask).rules = BrushRules(frozenset({1}))
    canvas.click(native, at)
    assert (mask.data == 1).all()
    Painting.of(mask).rules, mask.locked = BrushRules(), True
    canvas.click(native, at)
    assert (mask.data == 1).all()
    mask.locked = False
    canvas.click(native, at)
    assert (mask.data == 2).any()


def test_labels_of_another_grid_are_painted_on_their_own(viewer, image, canvases):
    mask = show_labels(viewer, labels_on(FINER), "finer", role="edited")
    canvases.planes.show(Layout.LARGE)
    mask.mode, mask.brush_size = "paint", 1
    for number in (1, 2):
        native, here = canvases.native(number), canvases.widgets[number].canvas
        at = (native.width() // 2 - 8, native.height() // 2 + 6)
        expected = np.round(mask.world_to_data(here._map_canvas2world(at, here.view))).astype(int)
        canvas.click(native, at)
        assert np.argwhere(mask.data).tolist() == [expected.tolist()]
        mask.undo()


def test_series_and_single_slices_have_planes(viewer, canvases):
    viewer.add_image(np.zeros((3, 5, 6, 7)), name="series", units=("s", "mm", "mm", "mm"))
    canvases.planes.show(Layout.LARGE)
    assert [model.dims.order for model in canvases.planes.models] == [(0, 3, 1, 2), (0, 2, 1, 3)]
    viewer.dims.set_current_step(0, 2)
    assert all(model.dims.current_step[0] == 2 for model in canvases.planes.models)
    viewer.layers.clear()
    one = Geometry.from_parts((1, 30, 40), (3.0, 2.0, 1.5))
    show_volume(viewer, ct(one), "one")
    assert [canvases.shown_axis(number) for number in range(3)] == [0, 2, 1]
    assert canvases.picture(1).shape[0] > 0


def test_a_drag_of_the_crosshair_moves_it_and_any_other_pans(viewer, image, canvases):
    canvases.planes.show(Layout.LARGE)
    canvases.fit()
    viewer.dims.current_step = (10, 15, 20)
    native, drawn = canvases.native(0), canvases.widgets[0].canvas
    canvases.picture(0)
    scene = drawn.view.transform * drawn.view.scene.transform
    column, row = (int(v) for v in scene.map([viewer.dims.point[2], viewer.dims.point[1]])[:2])
    centre = viewer.scene.camera.center
    canvas.drag(native, (column + 60, row), (column + 60, row + 40))  # by its horizontal line
    assert slice_of(viewer, image, 1) > 15 and viewer.scene.camera.center == centre
    point = viewer.dims.point
    canvas.drag(native, (30, 30), (70, 60))
    canvases.picture(0)
    assert viewer.dims.point == point and viewer.scene.camera.center != centre
    mouse_of(viewer).turn(True)
    centre = viewer.scene.camera.center
    canvas.drag(native, (60, 60), (native.width() // 2, native.height() // 2))
    assert viewer.dims.point != point and viewer.scene.camera.center == centre


def test_the_wheel_of_the_radiology_mouse_turns_the_plane_below_it(viewer, image, canvases):
    canvases.planes.show(Layout.LARGE)
    mouse_of(viewer).turn(True)
    viewer.dims.current_step = (10, 15, 20)
    canvas.wheel(canvases.native(1), (40, 40), 2)
    assert viewer.dims.current_step == (10, 15, 18)  # sagittal, to the patient's right
    canvas.drag(canvases.native(2), (40, 40), (90, 40), canvas.RIGHT)
    assert image.contrast_limits[1] - image.contrast_limits[0] > 400


def test_a_double_click_shows_one_plane_large_and_the_three_again(viewer, image, canvases):
    mouse_of(viewer).turn(True)
    canvases.planes.show(Layout.EQUAL)
    canvas.double_click(canvases.native(1), (40, 40))
    assert canvases.planes.layout is Layout.ONE and viewer.dims.order == (2, 0, 1)  # sagittal
    canvas.double_click(viewer.window._qt_window._qt_viewer.canvas.native, (40, 40))
    assert canvases.planes.layout is Layout.EQUAL


def test_zooms_go_together_where_that_is_chosen(viewer, image, canvases):
    canvases.planes.show(Layout.LARGE)
    before = [model.scene.camera.zoom for model in canvases.models]
    viewer.scene.camera.zoom = 2 * before[0]
    assert canvases.models[1].scene.camera.zoom == before[1]
    canvases.planes.set_synchronous_zoom(True)
    canvases.models[2].scene.camera.zoom = 3.0
    assert [model.scene.camera.zoom for model in canvases.models] == [3.0, 3.0, 3.0]


def test_a_plane_is_drawn_again_only_if_its_own_slice_has_changed(viewer, image, canvases):
    """The error map of Compare changes in place, slice by slice, and asks for a refresh."""
    errors = viewer.add_labels(np.zeros((20, 30, 40), np.uint8), scale=GEOMETRY.spacing_mm, name="errors")
    canvases.planes.show(Layout.LARGE)
    viewer.dims.current_step = (10, 15, 20)
    sides = [plane.layer_for(errors) for plane in canvases.planes.view.planes]
    drawn = []
    for side in sides:
        side.events.set_data.connect(lambda event, side=side: drawn.append(sides.index(side)))

    def refreshed():
        drawn.clear()
        errors.events.refresh()
        return list(drawn)

    refreshed()  # from here on it is known what they show
    errors.data[4, 3, 3] = 2  # in neither of their slices
    assert refreshed() == []
    errors.data[4, 3, 20] = 2  # in the sagittal slice alone
    assert refreshed() == [0]
    errors.data[4, 15, 20] = 2
    assert refreshed() == [0, 1]
    viewer.dims.current_step = (10, 15, 21)  # and back, with another array
    errors.data[4, 3, 20] = 0
    viewer.dims.current_step = (10, 15, 20)
    errors.data[4, 3, 20] = 2
    assert 0 in refreshed()
