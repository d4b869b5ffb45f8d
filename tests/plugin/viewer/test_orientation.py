"""What a user sees: the marker and the letters are looked for in rendered pixels."""

import nibabel
import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from ctseg_imaging.formats import read
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Volume, Window
from napari_ctseg.viewer import orientation
from napari_ctseg.viewer.layers import go_to_slice
from napari_ctseg.viewer.showing import show_volume
from tests.plugin.viewer.looks import letters_seen, templates

# Where a marker in the patient's right, front and top appears, and the letters (left, right, top, bottom), as
# radiologists hang images.
HANGING = {
    "axial": (("left", "top"), "RLAP"),
    "coronal": (("left", "top"), "RLSI"),
    "sagittal": (("left", "top"), "APSI"),
}


@pytest.fixture
def viewer(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(900, 700)
    return viewer


def picture(viewer):
    return viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)


def marker_seen(shot):
    """(left|right, top|bottom) of the red marker's centre, against the middle of the canvas."""
    height, width = shot.shape[:2]
    rows, columns = np.nonzero(
        (shot[..., 0] > 200) & (shot[..., 1] < 60)
    )  # red: letters and corner text are white
    assert len(rows) > 20, "the marker is not on the canvas"
    return "left" if columns.mean() < width / 2 else "right", "top" if rows.mean() < height / 2 else "bottom"


def settle(viewer):
    """The whole slice on the canvas, with room for the letters."""
    viewer.reset_view()
    viewer.scene.camera.zoom *= 0.6


def marked(geometry, index):
    """A dark volume with a bright cube of 3 voxels around a stored index."""
    array = np.full(geometry.shape, -500, np.int16)
    array[tuple(slice(max(0, i - 1), i + 2) for i in index)] = 1000
    return Volume(array, geometry, modality="CT")


def check_hanging(viewer, layer, looks):
    where = np.argwhere(np.asarray(layer.data) > 0).mean(axis=0).round().astype(int)
    for plane, (corner, expected) in HANGING.items():
        orientation.show_plane(viewer, plane)
        for axis in range(3):
            go_to_slice(viewer, layer, int(where[axis]), axis)
        settle(viewer)
        shot = picture(viewer)
        # napari makes room for wider sliders: the canvas changes its size, and text moves by part of a pixel.
        if shot.shape not in looks:
            looks[shot.shape] = templates(viewer, lambda: picture(viewer))
        assert marker_seen(shot) == corner, plane
        assert letters_seen(shot, looks[shot.shape]) == expected, plane


def test_every_stored_orientation_hangs_alike(viewer, shared_data):
    """All files of nasty/orientations: the stored voxel of the marker comes from nibabel's affine, not from
    ours.
    """
    files = sorted((shared_data / "nasty" / "orientations").glob("*.nii.gz"))
    files = [path for path in files if path.name.startswith("oblique") or len(path.name) == len("RAS.nii.gz")]
    if not files:
        pytest.skip("The real data has no nasty/orientations.")
    looks = {}
    for path in files:
        image = nibabel.load(path)
        corners = nibabel.affines.apply_affine(
            image.affine, np.array(np.meshgrid(*[(0, n - 1) for n in image.shape[:3]])).reshape(3, -1).T
        )
        low, high = corners.min(axis=0), corners.max(axis=0)
        towards_right_front_top = (
            low + (high - low) * 0.8
        )  # NIfTI's axes run to the right, the front and the top
        ijk = nibabel.affines.apply_affine(np.linalg.inv(image.affine), towards_right_front_top)
        index = np.clip(np.round(ijk).astype(int), 1, np.array(image.shape[:3]) - 2)[::-1]
        layer = show_volume(viewer, marked(read(path).geometry, index), path.name, Window("w", 200, 0))
        layer.colormap = "red"
        try:
            check_hanging(viewer, layer, looks)
        except AssertionError as error:
            raise AssertionError(f"{path.name}: {error}") from error
        viewer.layers.clear()


@pytest.fixture
def upright(viewer):
    """20 x 30 x 40 voxels of 3 x 2 x 1.5 mm with the marker in the patient's right, front and top."""
    geometry = Geometry.from_parts((20, 30, 40), (3.0, 2.0, 1.5))
    layer = show_volume(viewer, marked(geometry, (16, 5, 6)), "ct", Window("w", 200, 0))
    layer.colormap = "red"
    for axis, index in enumerate((16, 5, 6)):
        go_to_slice(viewer, layer, index, axis)
    return layer


def test_napari_rolls_through_the_three_planes_head_up(viewer, upright):
    settle(viewer)
    looks = templates(viewer, lambda: picture(viewer))
    seen = []
    for _ in range(4):
        settle(viewer)
        shot = picture(viewer)
        seen.append((letters_seen(shot, looks), marker_seen(shot)))
        viewer.dims.roll()
    assert seen == [
        ("RLAP", ("left", "top")),
        ("APSI", ("left", "top")),
        ("RLSI", ("left", "top")),
        ("RLAP", ("left", "top")),
    ]


@pytest.mark.parametrize(
    ("flip", "expected", "corner"),
    [
        (("down", "left"), "LRAP", ("right", "top")),
        (("up", "right"), "RLPA", ("left", "bottom")),
        (("up", "left"), "LRPA", ("right", "bottom")),
    ],
)
def test_letters_follow_flips(viewer, upright, flip, expected, corner):
    settle(viewer)
    looks = templates(viewer, lambda: picture(viewer))
    viewer.scene.camera.orientation2d = flip
    shot = picture(viewer)
    assert (letters_seen(shot, looks), marker_seen(shot)) == (expected, corner)


def test_letters_follow_a_transposed_view(viewer, upright):
    settle(viewer)
    looks = templates(viewer, lambda: picture(viewer))
    viewer.dims.transpose()
    settle(viewer)
    shot = picture(viewer)
    assert letters_seen(shot, looks) == "APRL" and marker_seen(shot) == ("left", "top")


def test_no_letters_in_3d_nor_without_our_layers(viewer, upright):
    names = [f"ctseg_{edge}" for edge in ("left", "right", "top", "bottom", "corner")]
    viewer.dims.ndisplay = 3
    assert not any(viewer.canvas.overlays[name].visible for name in names)
    viewer.dims.ndisplay = 2
    assert all(viewer.canvas.overlays[name].visible for name in names)
    viewer.layers.clear()
    assert not any(viewer.canvas.overlays[name].visible for name in names)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1), (1, 2, 0), (2, 1, 0)])
def test_a_3d_view_shows_no_mirrored_patient(order):
    """Right-handed patient axes x, y, z (left, posterior, superior) have to be right-handed on the screen
    (right, up, towards).
    """
    words = {
        "right": (1, 0, 0),
        "left": (-1, 0, 0),
        "up": (0, 1, 0),
        "down": (0, -1, 0),
        "towards": (0, 0, 1),
        "away": (0, 0, -1),
    }
    on_screen = {
        axis: np.array(words[word]) for axis, word in zip(order, orientation.upright(order), strict=True)
    }
    x, y, z = on_screen[2], on_screen[1], on_screen[0]
    assert np.dot(np.cross(x, y), z) == 1


def test_the_corner_speaks_of_slice_window_and_value(viewer, upright):
    corner = viewer.canvas.overlays["ctseg_corner"]
    viewer.cursor.position = upright.data_to_world((16, 5, 6))
    assert corner.text == "axial 17/20\nz 48.0 mm\nW 200  L 0\nHU 1000"
    upright.contrast_limits = (-160, 240)
    orientation.show_plane(viewer, "coronal")
    assert corner.text.startswith("coronal 6/30\ny 10.0 mm\nW 400  L 40")


@pytest.mark.parametrize("size", [(90, 300), (130, 140), (200, 190), (240, 90), (400, 500)])
def test_the_corner_touches_no_letter(make_napari_viewer, size):
    """By the boxes in which napari draws the texts; at 400 x 500 nothing is left out."""
    viewer = make_napari_viewer(show=True)
    geometry = Geometry.from_parts((20, 130, 140), (3.0, 2.0, 1.5), (-1023.0, -1000.0, -1234.5))
    show_volume(viewer, marked(geometry, (16, 5, 6)), "ct", Window("w", 2000, -1000))
    orientation.show_plane(viewer, "sagittal")
    canvas = viewer.window._qt_window._qt_viewer.canvas
    canvas.native.setFixedSize(*reversed(size))
    QApplication.processEvents()
    assert viewer.canvas.size == size
    viewer.screenshot(canvas_only=True, flash=False)
    boxes = {
        name: (*visuals[0].node.transform.translate[:2], visuals[0].x_size, visuals[0].y_size)
        for name, overlay in viewer.canvas.overlays.items()
        if name.startswith("ctseg_") and overlay.visible
        for visuals in (canvas._viewer_overlay_to_visual[overlay],)
    }
    assert ("ctseg_corner" in boxes) == (size[1] >= 180)
    assert size != (400, 500) or viewer.canvas.overlays["ctseg_corner"].text.count("\n") == 3
    if "ctseg_corner" in boxes:
        x, y, width, height = boxes.pop("ctseg_corner")
        assert x + width <= size[1]
        for name, (left, top, across, down) in boxes.items():
            apart = left >= x + width or left + across <= x or top >= y + height or top + down <= y
            assert apart, name


def test_an_oblique_volume_says_so(make_napari_viewer, volume):
    viewer = make_napari_viewer(show=False)
    show_volume(viewer, volume, "ct")
    assert "oblique" in viewer.canvas.overlays["ctseg_corner"].text
