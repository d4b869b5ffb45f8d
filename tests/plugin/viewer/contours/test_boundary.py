"""Outlines against a brute-force list of the sides between voxels, and against lengths worked out by hand."""

import numpy as np
import pytest

from napari_ctseg.viewer.contours.boundary import STEPS, boundary_edges, segments, way_along


def brute_sides(plane):
    """(label, the two corners in any order) of each side of a voxel whose neighbour has another value."""
    found = set()
    rows, columns = plane.shape
    for r in range(rows):
        for c in range(columns):
            for dr, dc in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                r2, c2 = r + dr, c + dc
                other = plane[r2, c2] if 0 <= r2 < rows and 0 <= c2 < columns else 0
                if plane[r, c] and other != plane[r, c]:
                    middle = np.array((r + dr / 2, c + dc / 2))
                    along = np.array((dc, dr)) / 2
                    ends = sorted(tuple((middle + sign * along).tolist()) for sign in (-1, 1))
                    found.add((int(plane[r, c]), *ends))
    return found


def as_set(pieces, values):
    return {
        (int(value), *sorted(tuple(end) for end in ends.tolist()))
        for value, ends in zip(values, pieces, strict=True)
    }


@pytest.fixture
def blobs():
    return np.random.default_rng(0).choice(np.array([0, 0, 1, 2, 7], np.uint8), (9, 13))


def test_solid_lines_are_the_sides_between_voxels(blobs):
    assert as_set(*segments(blobs, (1.0, 1.0), False)) == brute_sides(blobs)


def test_edges_go_round_the_label_on_their_right_and_close(blobs):
    edges = boundary_edges(blobs)
    ends = edges.start + STEPS[edges.direction]
    assert np.array_equal(edges.start[edges.successor], ends)
    assert np.array_equal(edges.value[edges.successor], edges.value)
    assert np.array_equal(np.sort(edges.successor), np.arange(len(ends)))


def test_touching_corners_are_two_outlines():
    plane = np.eye(2, dtype=np.uint8)
    edges = boundary_edges(plane)
    assert len(edges.value) == 8
    at = 0
    for _ in range(4):
        at = edges.successor[at]
    assert at == 0


def test_an_empty_plane_has_no_lines():
    pieces, values = segments(np.zeros((4, 5), np.uint8), (2.0, 1.0), True)
    assert pieces.shape == (0, 2, 2) and len(values) == 0


def test_the_way_along_grows_by_each_edge_once_round():
    successor = np.array([3, 0, 4, 1, 2])  # 0 3 1 and 2 4
    lengths = np.array([2.0, 3.0, 1.0, 5.0, 7.0])
    way = way_along(successor, lengths)
    for ring, round_mm in (((0, 3, 1), 10.0), ((2, 4), 8.0)):
        for edge in ring:
            step = (way[successor[edge]] - way[edge] - lengths[edge]) % round_mm
            assert min(step, round_mm - step) == pytest.approx(0)


def test_dashes_lie_on_the_outline_cover_half_of_it_and_are_as_long_in_mm_in_both_directions():
    plane = np.zeros((40, 256), np.uint8)
    plane[5:25, 20:120] = 3
    spacing = (5.0, 1.0)  # as in a coronal slice; dashes of 2 mm
    pieces, values = segments(plane, spacing, True)
    assert set(values.tolist()) == {3}
    middles = pieces.mean(axis=1)
    on_rows, on_columns = np.isin(middles[:, 0], (4.5, 24.5)), np.isin(middles[:, 1], (19.5, 119.5))
    assert (on_rows | on_columns).all()
    lengths = (np.abs(pieces[:, 1] - pieces[:, 0]) * spacing).sum(axis=1)
    assert lengths.sum() == pytest.approx((2 * 100 + 2 * 20 * 5) / 2, abs=4)
    assert lengths.max() == pytest.approx(1.0)  # pieces of a voxel's short side
    starts = np.sort(pieces[pieces.mean(axis=1)[:, 1] == 19.5][:, :, 0].ravel()) * 5.0
    gaps = np.diff(starts)[1::2]
    assert set(np.round(gaps[gaps > 1e-6], 6)) == {2.0}
