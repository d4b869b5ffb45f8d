"""The liver of the abdominal phantom, its vessels and lesions, and the gallbladder."""

from __future__ import annotations

import numpy as np

from ctseg_imaging.phantom.canvas import Part
from ctseg_imaging.phantom.shapes import (
    BodyBox,
    Field,
    Point,
    Points,
    ShapeFunction,
    Tissue,
    blend,
    capsule,
    ellipsoid,
    rotation,
    smooth_max,
    smooth_min,
)
from ctseg_imaging.phantom.torso.build import Build
from ctseg_imaging.phantom.torso.organ_tissue import LIVER, Tones, in_abdomen, jitter
from ctseg_imaging.phantom.torso.vessels import Tree


def liver_parts(build: Build, tones: Tones, rng: np.random.Generator) -> list[Part]:
    """The liver: two lobes under the diaphragm with fissure, portal and hepatic veins, lesions; and the
    gallbladder.
    """
    top, half, front = build.dome_top, build.cavity_half[0], build.cavity_ends[0]
    size = rng.uniform(0.96, 1.12)
    right = (-0.54 * half, -4 + rng.normal(0, 4), top - 70 + rng.normal(0, 5))
    right_r = (0.55 * half * size, 78 * size, rng.uniform(74, 92) * size)
    left = (rng.uniform(-8, 10), 0.55 * front + rng.normal(0, 3), top - 58 + rng.normal(0, 5))
    left_r = (rng.uniform(55, 80) * size, 36 * size, rng.uniform(34, 42) * size)
    caudate = (-16.0, 2.0, top - 58)
    hollow = (rng.uniform(0, 14), rng.uniform(28, 40), top - 128)
    hollow_r = (rng.uniform(54, 64), rng.uniform(58, 70), rng.uniform(52, 64))
    right_axes, left_axes, hollow_axes = rotation(rng, 6), rotation(rng, 6), rotation(rng, 8)
    fissure_x, slant = rng.uniform(-18, -4), rng.normal(0.1, 0.08)

    def shape(p: Points) -> Field:
        lobes = smooth_min(
            ellipsoid(p, right, right_r, right_axes), ellipsoid(p, left, left_r, left_axes), 26
        )
        lobes = smooth_max(lobes, -ellipsoid(p, hollow, hollow_r, hollow_axes), 10)
        lobes = smooth_min(lobes, ellipsoid(p, caudate, (17, 14, 24)), 7)
        bend = np.float32(3) * p.fields["coarse"] + np.float32(7) * np.sin(
            (p.y - np.float32(left[1])) / np.float32(19)
        )
        fissure = np.hypot(
            (p.x - fissure_x - slant * (p.z - left[2]) - bend) * 2.2,
            np.maximum(0, p.z - np.float32(left[2] - 2)) * np.float32(0.9),
        )
        cut = np.float32(5.5) - fissure.astype(np.float32)
        cut = np.where(p.y < left[1] + 8, cut, cut - (p.y - np.float32(left[1] + 8)))
        lobes = smooth_max(lobes, cut, 5)
        return in_abdomen(p, lobes + np.float32(0.7) * p.fields["coarse"], 1.5)

    def tissue(p: Points, field: Field) -> Field:
        return np.asarray(
            tones.liver + 3.5 * p.fields["coarse"] + 4 * p.fields["mid"] + 3 * p.fields["fine"], np.float32
        )

    box = BodyBox((-0.54 * half - 0.6 * half - 10, front - 8, top - 175), (95, 90, top + 12))
    liver = Part("liver", shape, tissue, box, LIVER, rim_mm=rng.uniform(1.5, 3), solid=True)
    hilum = (-24.0, -2.0, top - 82)
    trees = [
        Tree.grow(rng, hilum, (-70, -6, top - 66), 6.0, 26, 5),
        Tree.grow(rng, hilum, (10, -45, top - 56), 4.5, 28, 4),
    ]
    targets = ((-85.0, 10.0, top - 60), (-50.0, -50.0, top - 60), (15.0, -40.0, top - 50))
    trees += [Tree.grow(rng, (-20, 2, top - 22), target, 4.5, 30, 4) for target in targets]

    def branch(segment: tuple[Point, Point, float, float]) -> Part:
        a, b, ra, rb = segment
        return Part(
            "liver vein",
            lambda p: np.maximum(capsule(p, a, b, ra, rb), 3 + shape(p)),
            tones.vein,
            BodyBox.around([a, b], ra + 3),
        )

    parts = [liver, *[branch(segment) for tree in trees for segment in tree.segments]]
    for _ in range(int(rng.integers(0, 5))):
        at = jitter(rng, right if rng.uniform() < 0.75 else left, 24)
        radius, tone = rng.uniform(4, 17), tones.liver + rng.choice([-1, -1, 1]) * rng.uniform(14, 38)
        parts.append(_tumour(at, radius, float(tone), shape, rng))
    bile = (-52 + rng.normal(0, 6), -0.28 * build.half_depth + rng.normal(0, 5), top - 118 + rng.normal(0, 6))
    bile_axes, bile_r = rotation(rng, 18), (rng.uniform(9, 15), rng.uniform(11, 17), rng.uniform(18, 28))
    fluid = rng.uniform(4, 28)
    wall: Tissue = lambda p, field: blend(  # noqa: E731
        tones.gut_wall, fluid + 2 * p.fields["mid"], -field - np.float32(2), 1.5
    )
    return [
        *parts,
        Part(
            "gallbladder",
            lambda p: in_abdomen(p, ellipsoid(p, bile, bile_r, bile_axes)),
            wall,
            BodyBox.around([bile], 34),
            rim_mm=0.8,
            solid=True,
        ),
    ]


def _tumour(at: Point, radius: float, tone: float, liver: ShapeFunction, rng: np.random.Generator) -> Part:
    """A lesion inside the liver, with a softer core; it belongs to the liver's label."""
    axes, radii = (
        rotation(rng, 60),
        (radius, radius * rng.uniform(0.75, 1.1), radius * rng.uniform(0.75, 1.1)),
    )

    def shape(p: Points) -> Field:
        ball = ellipsoid(p, at, radii, axes) + np.float32(0.09 * radius) * p.fields["mid"]
        return np.asarray(np.maximum(ball, liver(p) + np.float32(1.5)), np.float32)

    def tissue(p: Points, field: Field) -> Field:
        return blend(tone, tone - 8 + 5 * p.fields["mid"], -field - np.float32(0.45 * radius), 4)

    return Part("lesion", shape, tissue, BodyBox.around([at], 1.3 * radius + 2))
