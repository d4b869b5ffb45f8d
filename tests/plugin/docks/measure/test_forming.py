"""Drags and handles as arithmetic: what a shape becomes, in mm on a slice with unequal spacing."""

from __future__ import annotations

import numpy as np
import pytest

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.measurements import DrawnShape, Kind, measure
from ctseg_imaging.volume import Volume
from napari_ctseg.docks.measure.plane import Plane
from napari_ctseg.docks.measure.shapes.drawing import Drawing
from napari_ctseg.docks.measure.shapes.forming import BODY, formed, handles, moved, shifted, taken_at

c, s = np.cos(np.radians(25)), np.sin(np.radians(25))
GEOMETRY = Geometry.from_parts((9, 40, 50), (4.0, 2.0, 0.5), (7, 8, 9), [[c, -s, 0], [s, c, 0], [0, 0, 1]])
VOLUME = Volume(np.zeros(GEOMETRY.shape, np.int16), GEOMETRY)
A, B = np.array([10.0, 4.0]), np.array([34.0, 11.0])  # 24 and 7 mm apart: 25 mm


@pytest.fixture(params=[0, 1, 2])
def plane(request):
    return Plane(GEOMETRY, request.param, 3)


def points_mm(shape, plane):
    return np.delete(shape.array, plane.axis, axis=1) * np.delete((4.0, 2.0, 0.5), plane.axis)


def test_a_drag_makes_each_kind(plane):
    ends = np.stack([A, B])
    shapes = {kind: formed(kind, plane, ends) for kind in Kind}
    values = {kind: measure(shape, VOLUME) for kind, shape in shapes.items()}
    assert values[Kind.RULER].length_mm == pytest.approx(25)
    assert values[Kind.ELLIPSE].area_mm2 == pytest.approx(np.pi * 25**2)
    assert values[Kind.RECTANGLE].area_mm2 == pytest.approx(24 * 7)
    assert values[Kind.RECIST].long_mm == pytest.approx(25)
    assert values[Kind.RECIST].short_mm == pytest.approx(12.5)
    assert values[Kind.ANGLE].angle_degrees == 0 and values[Kind.POLYGON].area_mm2 == 0
    free = formed(Kind.ELLIPSE, plane, ends, free=True)
    assert measure(free, VOLUME).area_mm2 == pytest.approx(np.pi * 24 * 7)
    for shape in shapes.values():
        assert plane.holds(shape) and (shape.axis, shape.index) == (plane.axis, 3)


def test_a_circle_stays_round_by_a_handle_and_becomes_an_ellipse_with_shift(plane):
    circle = formed(Kind.ELLIPSE, plane, np.stack([A, B]))
    for number, end in enumerate(handles(circle, plane)):
        assert np.linalg.norm(end - A) == pytest.approx(25)
        bigger = moved(circle, plane, number, A + (end - A) * 2)
        assert measure(bigger, VOLUME).area_mm2 == pytest.approx(np.pi * 50**2)
        assert handles(bigger, plane)[number] == pytest.approx(A + (end - A) * 2)
        flat = moved(circle, plane, number, A + (end - A) * 2, free=True)
        assert measure(flat, VOLUME).area_mm2 == pytest.approx(np.pi * 50 * 25)
        again = moved(flat, plane, number, A + (end - A) * 3)  # an ellipse stays one without Shift
        assert measure(again, VOLUME).area_mm2 == pytest.approx(np.pi * 75 * 25)
    nothing = moved(circle, plane, 0, A)
    assert measure(nothing, VOLUME).area_mm2 == pytest.approx(0)
    assert measure(moved(nothing, plane, 0, A + np.array([5, 0])), VOLUME).area_mm2 == pytest.approx(
        np.pi * 25
    )


def test_a_rectangle_keeps_the_opposite_corner_and_its_directions(plane):
    rectangle = formed(Kind.RECTANGLE, plane, np.stack([A, B]))
    for handle in range(4):
        before = points_mm(rectangle, plane)
        to = before[handle] + np.array([3.0, -2.0])
        after = points_mm(moved(rectangle, plane, handle, to), plane)
        assert after[handle] == pytest.approx(to) and after[handle - 2] == pytest.approx(before[handle - 2])
        sides = np.diff(after, axis=0)
        assert np.dot(sides[0], sides[1]) == pytest.approx(0, abs=1e-9)
        assert {tuple(np.round(abs(side), 9) > 0) for side in sides} == {(True, False), (False, True)}


def test_a_recist_pair_stays_at_right_angles(plane):
    pair = formed(Kind.RECIST, plane, np.stack([A, B]))
    across = np.array([-7.0, 24.0]) / 25
    wider = moved(pair, plane, 3, A + 0.25 * (B - A) + 9 * across)
    long, short = np.split(points_mm(wider, plane), 2)
    assert long == pytest.approx(np.stack([A, B]))
    assert short[1] == pytest.approx(A + 0.25 * (B - A) + 9 * across)
    assert short[0] == pytest.approx(A + 0.25 * (B - A) - 6.25 * across)  # the other arm keeps its length
    turned = moved(wider, plane, 0, np.array([34.0, 41.0]))  # 30 mm from the other end
    long, short = np.split(points_mm(turned, plane), 2)
    assert np.dot(long[1] - long[0], short[1] - short[0]) == pytest.approx(0, abs=1e-6)
    values = measure(turned, VOLUME)
    assert (values.long_mm, values.short_mm) == (pytest.approx(30), pytest.approx(15.25))


def test_handles_are_taken_before_lines_and_nothing_far_away(plane):
    ruler = formed(Kind.RULER, plane, np.stack([A, B]))
    middle, aside = (A + B) / 2, np.array([-7.0, 24.0]) / 25
    assert taken_at(ruler, plane, A + np.array([0.5, 0.5]), 1.0) == 0
    assert taken_at(ruler, plane, B + np.array([0.5, 0.5]), 1.0) == 1
    assert taken_at(ruler, plane, middle + 0.9 * aside, 1.0) == BODY
    assert taken_at(ruler, plane, middle + 1.1 * aside, 1.0) is None
    circle = formed(Kind.ELLIPSE, plane, np.stack([A, B]))
    on_line = A + 25 * np.array([np.cos(0.7), np.sin(0.7)])
    assert taken_at(circle, plane, on_line, 1.0) == BODY and taken_at(circle, plane, A, 1.0) is None
    polygon = plane.shape(Kind.POLYGON, [(0, 0), (0, 10), (10, 10)])
    assert taken_at(polygon, plane, np.array([5.0, 5.0]), 0.5) == BODY  # the side that closes it
    assert points_mm(shifted(polygon, plane, np.array([2.0, -1.0])), plane)[0] == pytest.approx([2, -1])


def test_undo_goes_back_step_by_step():
    one, two = (DrawnShape(Kind.RULER, 0, ((0, 0, 0), (0, k, k))) for k in (1, 2))
    drawing = Drawing()
    drawing.begin()
    drawing.commit()
    assert not drawing.can_undo  # nothing was changed
    drawing.begin()
    drawing.add([one])
    drawing.begin()  # ends the step before
    drawing.replace(0, two)
    drawing.commit()
    drawing.begin()
    drawing.remove(0)
    drawing.commit()
    assert drawing.shapes == ()
    seen = []
    while drawing.can_undo:
        drawing.undo()
        seen.append(drawing.shapes)
    assert seen == [(two,), (one,), ()]
    drawing.begin()
    drawing.add([one])
    drawing.undo()  # the step under way
    assert drawing.shapes == () and not drawing.under_way
