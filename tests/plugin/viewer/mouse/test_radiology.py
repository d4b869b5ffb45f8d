"""The radiology mouse on the canvas of a window: real Qt events."""

import numpy as np
import pytest
from napari.components import ViewerModel

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume, Window
from napari_ctseg.keys.table import MOUSE
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer import orientation
from napari_ctseg.viewer.layers import slice_of
from napari_ctseg.viewer.mouse import mouse_of
from napari_ctseg.viewer.mouse.radiology import SECTION, SETTING
from napari_ctseg.viewer.showing import show_labels, show_volume
from tests.plugin import canvas_events as canvas

GEOMETRY = Geometry.from_parts((20, 30, 40), (3.0, 2.0, 1.5))
AT = (200, 150)


@pytest.fixture
def viewer(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(900, 700)
    return viewer


@pytest.fixture
def image(viewer):
    array = np.zeros(GEOMETRY.shape, np.int16)
    layer = show_volume(viewer, Volume(array, GEOMETRY, modality="CT"), "ct", Window("w", 400, 40))
    mouse_of(viewer).turn(True)
    viewer.screenshot(flash=False)  # the canvas has its size now
    return layer


@pytest.fixture
def mask(viewer, image):
    array = np.zeros(GEOMETRY.shape, np.uint8)
    return show_labels(
        viewer, LabelMap(array, GEOMETRY, Labels.from_names({1: "liver"})), "mask", role="edited"
    )


@pytest.fixture
def native(viewer):
    return viewer.window._qt_viewer.canvas.native


def under(viewer, at):
    """The world point under a pixel."""
    drawn = viewer.window._qt_viewer.canvas
    return np.array(drawn._map_canvas2world(at, drawn.view))[list(viewer.dims.displayed)]


@pytest.mark.parametrize(("plane", "towards"), [("axial", 1), ("coronal", -1), ("sagittal", -1)])
def test_the_wheel_goes_through_the_slices_of_the_plane_shown(viewer, image, native, plane, towards):
    orientation.show_plane(viewer, plane)
    axis, zoom = orientation.PLANES.index(plane), viewer.scene.camera.zoom
    before = slice_of(viewer, image, axis)
    canvas.wheel(native, AT, 3)
    assert slice_of(viewer, image, axis) == before + 3 * towards
    canvas.wheel(native, AT, -1)
    assert slice_of(viewer, image, axis) == before + 2 * towards
    assert viewer.scene.camera.zoom == zoom


def test_half_notches_of_a_fine_wheel_add_up(viewer, image, native):
    before = slice_of(viewer, image)
    for _ in range(4):
        canvas.wheel(native, AT, 0.5)
    assert slice_of(viewer, image) == before + 2


def test_control_and_the_wheel_zoom_about_the_pointer(viewer, image, native):
    slice_before, zoom, here = slice_of(viewer, image), viewer.scene.camera.zoom, under(viewer, AT)
    canvas.wheel(native, AT, 2, canvas.CONTROL)
    assert viewer.scene.camera.zoom == pytest.approx(zoom * 1.1**2)
    assert under(viewer, AT) == pytest.approx(here, abs=1e-4)
    assert slice_of(viewer, image) == slice_before


def test_the_middle_button_pulls_the_image_along(viewer, image, native):
    grabbed, zoom = under(viewer, AT), viewer.scene.camera.zoom
    canvas.drag(native, AT, (260, 120), canvas.MIDDLE)
    assert under(viewer, (260, 120)) == pytest.approx(grabbed, abs=1e-4)
    assert viewer.scene.camera.zoom == zoom and viewer.scene.camera.mouse_pan


def test_the_right_button_changes_width_and_level(viewer, image, native):
    zoom = viewer.scene.camera.zoom
    canvas.drag(native, AT, (AT[0] + 200, AT[1]), canvas.RIGHT)
    low, high = image.contrast_limits
    assert high - low == pytest.approx(400 * np.e) and (high + low) / 2 == pytest.approx(40)
    assert viewer.scene.camera.zoom == zoom and viewer.scene.camera.mouse_zoom
    image.contrast_limits = (-160, 240)
    canvas.drag(native, AT, (AT[0], AT[1] - 50), canvas.RIGHT)
    assert tuple(image.contrast_limits) == pytest.approx((-260, 140))  # up is brighter: the level is lower


@pytest.mark.parametrize("mode", ["paint", "erase", "fill", "polygon", "pick"])
def test_the_middle_button_pans_in_every_tool_and_draws_nothing(viewer, mask, native, mode):
    mask.data[:] = 1 if mode == "erase" else 0
    before, mask.mode, grabbed = mask.data.copy(), mode, under(viewer, AT)
    callbacks = list(mask.mouse_drag_callbacks)
    canvas.drag(native, AT, (230, 180), canvas.MIDDLE)
    assert under(viewer, (230, 180)) == pytest.approx(grabbed, abs=1e-4)
    assert np.array_equal(mask.data, before) and mask.mouse_drag_callbacks == callbacks


def test_the_right_button_erases_nothing_but_sets_the_window(viewer, image, mask, native):
    mask.data[:], mask.mode = 1, "erase"
    canvas.drag(native, AT, (AT[0] + 50, AT[1]), canvas.RIGHT)
    assert (mask.data == 1).all() and tuple(image.contrast_limits) != (-160, 240)


def test_in_brush_mode_the_right_button_is_naparis_outline(viewer, image, mask, native):
    mask.mode = "paint"
    before = tuple(image.contrast_limits)
    canvas.drag(native, AT, (AT[0] + 50, AT[1]), canvas.RIGHT)
    assert tuple(image.contrast_limits) == before and mask.data.any()


def test_switched_off_the_mouse_is_naparis(viewer, image, native):
    before = [
        list(calls)
        for calls in (
            viewer.mouse_wheel_callbacks,
            viewer.mouse_double_click_callbacks,
            viewer.mouse_drag_callbacks,
        )
    ]
    mouse_of(viewer).turn(False)
    plain = ViewerModel()
    assert viewer.mouse_wheel_callbacks == plain.mouse_wheel_callbacks
    assert viewer.mouse_double_click_callbacks == plain.mouse_double_click_callbacks
    assert viewer.mouse_drag_callbacks == plain.mouse_drag_callbacks
    index = slice_of(viewer, image)
    canvas.wheel(native, AT, 1)
    assert slice_of(viewer, image) == index
    canvas.wheel(native, AT, 1, canvas.CONTROL)
    assert slice_of(viewer, image) == index - 1
    mouse_of(viewer).turn(True)
    assert before == [
        viewer.mouse_wheel_callbacks,
        viewer.mouse_double_click_callbacks,
        viewer.mouse_drag_callbacks,
    ]


def test_in_3d_the_mouse_is_naparis(viewer, image, native):
    viewer.dims.ndisplay = 3
    point = viewer.dims.point
    limits = tuple(image.contrast_limits)
    canvas.wheel(native, AT, 1)
    canvas.drag(native, AT, (230, 180), canvas.RIGHT)
    assert viewer.dims.point == point and tuple(image.contrast_limits) == limits


def test_a_double_click_is_passed_on_unless_a_tool_is_in_hand(viewer, mask, native):
    seen = []
    mouse_of(viewer).enlarged.connect(seen.append)
    mask.mode = "pan_zoom"
    canvas.double_click(native, AT)
    assert len(seen) == 1
    mask.mode = "paint"
    canvas.double_click(native, AT)
    assert len(seen) == 1


def test_the_key_toggles_and_the_choice_is_remembered(viewer, image, native, make_napari_viewer):
    viewer.keymap[next(key for key in viewer.keymap if str(key) == MOUSE.name)](viewer)
    assert not mouse_of(viewer).is_on
    assert Preferences().get(SECTION, SETTING, True) is False
    mouse_of(viewer).toggle()
    assert mouse_of(make_napari_viewer()).is_on


def test_a_slice_of_its_own_has_nowhere_to_go(viewer, native):
    geometry = Geometry.from_parts((1, 30, 40), (3.0, 2.0, 1.5))
    array = np.zeros(geometry.shape, np.int16)
    image = show_volume(viewer, Volume(array, geometry, modality="CT"), "one", Window("w", 400, 40))
    mouse_of(viewer).turn(True)
    canvas.wheel(native, AT, 1)
    assert slice_of(viewer, image) == 0
