"""Letters, crosshair and clicks in the three linked planes, from rendered pixels, whatever the voxel order.

The oracle is the patient: a marker at a known place in LPS millimetres, put into the array by the inverse of
an affine that is made here.
"""

from itertools import permutations, product

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import Volume, Window
from napari_ctseg.viewer.planes import Layout
from napari_ctseg.viewer.planes.crosshair import COLOURS
from napari_ctseg.viewer.planes.place import go_to
from napari_ctseg.viewer.showing import show_volume
from tests.plugin import canvas_events as canvas
from tests.plugin.viewer.looks import corner_of, letters_seen, templates
from tests.plugin.viewer.planes.conftest import red

# By the axis across the plane (0 axial, 1 coronal, 2 sagittal): the letters at the left, right, top and
# bottom, and where a marker in the patient's right, front and top is seen.
HANGING = {0: "RLAP", 1: "RLSI", 2: "APSI"}
SIZE_MM = np.array([56.0, 70.0, 60.0])  # of the volume along LPS x, y, z
SPACING_MM = np.array([2.0, 1.25, 3.0])
TOWARDS = np.array([-0.3, -0.3, 0.3])  # the marker, as a share of the size from the centre: right, front, top


def turned_by(degrees, axis):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    a, b = [k for k in range(3) if k != axis]
    matrix[[a, a, b, b], [a, b, a, b]] = c, -s, s, c
    return matrix


def orientations():
    """Name -> direction, of which column k is the LPS direction of array axis x, y, z number k."""
    made = {}
    for axes in permutations(range(3)):
        for signs in product((1, -1), repeat=3):
            direction = np.zeros((3, 3))
            direction[axes, range(3)] = signs
            name = "".join("RAI"[a] if sign < 0 else "LPS"[a] for a, sign in zip(axes, signs, strict=True))
            made[name] = direction
    made["oblique about z"] = turned_by(12, 2) @ made["RPI"]
    made["oblique twice"] = turned_by(9, 0) @ turned_by(-7, 1) @ made["SLA"]
    return made


ORIENTATIONS = orientations()
LONG = pytest.mark.long
QUICK = ("RAI", "ASL", "oblique twice")


def volume_with_marker(direction):
    """A dark CT with a bright cube at TOWARDS, and the marker's place in LPS mm."""
    along = np.abs(direction).argmax(axis=0)  # the LPS axis of each array axis x, y, z
    spacing = SPACING_MM[along]
    size = np.round(SIZE_MM[along] / spacing).astype(int)
    linear = direction * spacing
    origin = -linear @ ((size - 1) / 2)
    place = TOWARDS * SIZE_MM
    index = np.round(np.linalg.solve(linear, place - origin)).astype(int)
    array = np.full(size[::-1], -500, np.int16)
    array[tuple(slice(i - 1, i + 2) for i in index[::-1])] = 1000
    geometry = Geometry.from_parts(array.shape, spacing[::-1], origin, direction)
    return Volume(array, geometry, modality="CT"), linear @ index + origin


class Hung:
    """A volume in three planes, with the crosshair away from the marker."""

    def __init__(self, viewer, canvases, name):
        self.viewer, self.canvases = viewer, canvases
        volume, self.lps = volume_with_marker(ORIENTATIONS[name])
        self.layer = show_volume(viewer, volume, name, Window("w", 200, 0))
        self.layer.colormap = "red"
        self.oblique = name.startswith("oblique")
        canvases.planes.show(Layout.EQUAL)
        self.marker = np.argwhere(np.asarray(self.layer.data) > 0).mean(axis=0)
        self.world = np.array(self.layer.data_to_world(self.marker))
        self.go_to_marker()
        canvases.fit()

    def go_to_marker(self):
        go_to(self.viewer, tuple(self.world))
        QApplication.processEvents()

    def move_within(self, axis):
        """Somewhere else in the slices across `axis` that show the marker."""
        away = self.world + 8 * np.array(self.layer.scale)
        away[axis] = self.world[axis]
        go_to(self.viewer, tuple(away))
        QApplication.processEvents()

    def check_place(self):
        """The crosshair is on the marker, in the patient too where the axes are the patient's."""
        point = np.array(self.viewer.dims.point)
        assert np.all(np.abs(self.layer.world_to_data(point) - self.marker) < 1.01)
        if not self.oblique:
            assert np.all(np.abs(point[::-1] - self.lps) <= self.layer.scale[::-1] + 0.01)

    def check_canvas(self, number, letters, looks):
        """What canvas `number` shows, and what a click there does."""
        axis = self.canvases.shown_axis(number)
        self.go_to_marker()
        shot = self.canvases.picture(number)
        assert letters_seen(shot, looks) == letters
        vertical, horizontal = self.canvases.models[number].dims.displayed
        place = red(shot)
        expected = "left" if letters[0] in "RA" else "right", "top" if letters[2] in "AS" else "bottom"
        assert corner_of(shot, place) == expected
        row, column = lines_seen(shot, vertical, horizontal)
        zoom = self.canvases.models[number].scene.camera.zoom
        voxels = np.abs([row - place[0], column - place[1]]) / (
            zoom * self.layer.scale[[vertical, horizontal]]
        )
        assert voxels.max() < 0.75, "the crosshair misses the marker"
        self.move_within(axis)
        shot = self.canvases.picture(number)
        at = red(shot)
        ratio = self.canvases.native(number).width() / shot.shape[1]
        canvas.click(self.canvases.native(number), (round(at[1] * ratio), round(at[0] * ratio)))
        self.check_place()


def lines_seen(shot, vertical, horizontal):
    """(row, column) of the two lines of the crosshair, by their colours."""
    found = []
    for axis, across in ((vertical, 0), (horizontal, 1)):
        rgb = np.array([int(COLOURS[axis][k : k + 2], 16) for k in (1, 3, 5)])
        count = (np.abs(shot - rgb).max(axis=2) < 40).sum(axis=1 - across)
        assert count.max() > 20, "a line of the crosshair is not on the canvas"
        found.append(np.flatnonzero(count > count.max() / 2).mean())
    return found


LOOKS = {}  # templates of the letters by the size of the canvas: they are the same in every test


def looks_of(canvases, number):
    """Templates of the letters at the canvas's size."""
    shape = canvases.picture(number).shape
    if shape not in LOOKS:
        LOOKS[shape] = templates(canvases.models[number], lambda: canvases.picture(number))
    return LOOKS[shape]


def check(viewer, canvases, name):
    hung = Hung(viewer, canvases, name)
    assert sorted(canvases.shown_axis(number) for number in range(3)) == [0, 1, 2]
    for number in range(3):
        letters = HANGING[canvases.shown_axis(number)]
        hung.check_canvas(number, letters, looks_of(canvases, number))
    return hung


@pytest.mark.parametrize("name", QUICK)
def test_letters_crosshair_and_clicks_in_three_planes(viewer, canvases, name):
    check(viewer, canvases, name)


@LONG
@pytest.mark.parametrize("name", [name for name in ORIENTATIONS if name not in QUICK])
def test_every_orientation(viewer, canvases, name):
    check(viewer, canvases, name)


def test_there_are_48_orientations_and_two_obliques():
    assert len(ORIENTATIONS) == 50
    assert len({tuple(map(tuple, direction)) for direction in ORIENTATIONS.values()}) == 50


@pytest.mark.parametrize(
    "flip",
    [("up", "left"), pytest.param(("down", "left"), marks=LONG), pytest.param(("up", "right"), marks=LONG)],
)
def test_right_after_flips_in_every_canvas(viewer, canvases, flip):
    """Each canvas is flipped by itself; napari's default of each plane comes from `HANGING`."""
    hung = check(viewer, canvases, "PIR")
    for number in range(3):
        camera = canvases.models[number].scene.camera
        before = camera.orientation2d
        left, right, top, bottom = HANGING[canvases.shown_axis(number)]
        camera.orientation2d = flip
        if flip[1] != str(before[1]):
            left, right = right, left
        if flip[0] != str(before[0]):
            top, bottom = bottom, top
        hung.check_canvas(number, left + right + top + bottom, looks_of(canvases, number))


def test_right_after_the_planes_change_places(viewer, canvases):
    hung = check(viewer, canvases, "ASL")
    for _ in range(2):
        viewer.dims.roll()
        QApplication.processEvents()
        canvases.fit()
        for number in range(3):
            letters = HANGING[canvases.shown_axis(number)]
            hung.check_canvas(number, letters, looks_of(canvases, number))
