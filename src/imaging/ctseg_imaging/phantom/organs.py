"""The organs of the abdominal phantom, its vessels and its bowel, in the order in which they claim their
place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    curve,
    ellipsoid,
    rotation,
    smooth_max,
    smooth_min,
    tube,
)
from ctseg_imaging.phantom.torso import Build

LIVER, KIDNEYS, SPLEEN, PANCREAS = 1, 2, 3, 4


@dataclass(frozen=True)
class Tones:
    """Mean HU of what the organs are made of. All lie near muscle, so a threshold tells little."""

    liver: float
    vein: float
    spleen: float
    pancreas: float
    cortex: float
    medulla: float
    gut_wall: float

    @classmethod
    def draw(cls, rng: np.random.Generator, build: Build) -> Tones:
        """Random tones for one patient: plain to late venous phase, healthy to fatty liver."""
        m, c = build.muscle, build.contrast
        cortex = m - rng.uniform(14, 22) + 62 * c
        liver = m + rng.uniform(-11, 7) + 6 * c
        return cls(
            liver=liver,
            vein=liver + rng.choice([-1, 1, 1]) * rng.uniform(9, 26),
            spleen=m + rng.uniform(-10, 6) + 14 * c,
            pancreas=m + rng.uniform(-18, -4) + 12 * c,
            cortex=cortex,
            medulla=cortex - rng.uniform(4, 14) - 16 * c,
            gut_wall=m + rng.uniform(-8, 4) + 22 * c,
        )


def in_abdomen(p: Points, field: Field, margin_mm: float = 2.5) -> Field:
    """`field` kept inside the cavity and below the diaphragm."""
    limit = np.maximum(p.fields["cavity"], p.fields["dome"] - np.float32(0.5)) + np.float32(margin_mm)
    return smooth_max(field, limit, 4)


def jitter(rng: np.random.Generator, point: Point, sigma_mm: float) -> Point:
    """`point` moved at random."""
    moved = np.array(point) + rng.normal(0, sigma_mm, 3)
    return float(moved[0]), float(moved[1]), float(moved[2])


def vessel_parts(build: Build, rng: np.random.Generator) -> list[Part]:
    """Aorta with its fork, inferior vena cava, the crura and the adrenal glands next to them."""
    front = build.spine_y - 15
    aorta_r, vein_r = rng.uniform(8.5, 12.5), rng.uniform(8, 12)
    ax, vx = rng.uniform(2, 12), rng.uniform(-27, -20)
    aorta = [
        (ax + 4, front + 4, 260.0),
        (ax + 2, front, 120.0),
        (ax, front - 13, 30.0),
        (ax - 2, front - 14, -72.0),
    ]
    cava = [
        (vx + 4, front - 36, build.dome_top + 12),
        (vx, front - 22, 70.0),
        (vx + 1, front - 10, 10.0),
        (vx + 4, front - 9, -80.0),
    ]
    paths: list[tuple[str, list[Point], list[float], float]] = []
    trunk = curve(aorta, 9)
    for side in (-1, 1):
        artery: list[Point] = [
            (ax - 2, front - 14, -72),
            (side * 34, front - 4, -125),
            (side * 62, front + 2, -230),
        ]
        vein: list[Point] = [
            (vx + 4, front - 9, -80),
            (side * 36 - 3, front + 8, -130),
            (side * 64, front + 14, -230),
        ]
        paths += [
            ("iliac artery", artery, [7, 5.5, 5], build.blood),
            ("iliac vein", vein, [8, 6.5, 6], build.blood),
        ]
    paths.append(("aorta", trunk, [aorta_r] * 9, build.blood))
    paths.append(("cava", curve(cava, 9), [vein_r] * 9, build.blood - 4))

    return [_vessel(*path) for path in paths] + [
        part for side in (-1, 1) for part in _beside_aorta(build, ax, front, side, rng)
    ]


def _vessel(name: str, path: list[Point], radii: list[float], tone: float) -> Part:
    def blood(p: Points, field: Field) -> Field:
        return blend(tone + 5, tone + 2 * p.fields["mid"], -field - np.float32(1), 2)

    return Part(
        name,
        lambda p: tube(p, path, radii),
        blood,
        BodyBox.around(path, max(radii) + 6),
        rim_mm=0.6,
        solid=True,
    )


def _beside_aorta(build: Build, ax: float, front: float, side: int, rng: np.random.Generator) -> list[Part]:
    """The crus of the diaphragm and the adrenal gland of one side."""
    crus = [
        (ax + side * 15.0, front - 2, build.dome_top - 25),
        (ax + side * 15.0, front - 6, 45.0),
        (ax + side * 11.0, front - 2, 0.0),
    ]
    top = jitter(rng, (side * 38.0 - 4, front - 4, 52.0), 3)
    limbs = [[top, (top[0] + side * dx, top[1] + dy, top[2] - 16)] for dx, dy in ((-6, 14), (9, 13), (0, -7))]
    gland = [
        _vessel("adrenal", limb, [3.2, 2.4], build.muscle - 12 + 10 * build.contrast) for limb in limbs[:3]
    ]
    return [
        _vessel("crus", crus, [4.5, 4.5, 3], build.muscle),
        *[replace(part, rim_mm=None, solid=False) for part in gland],
    ]


def mesenteric_trunk_parts(build: Build, rng: np.random.Generator) -> list[Part]:
    """Superior mesenteric artery and vein: behind the neck of the pancreas, then in front of the duodenum."""
    front, ax = build.spine_y - 15, rng.uniform(3, 9)
    artery = curve([(ax, front - 22, 12), (ax - 3, front - 36, 0), (ax - 8, front - 46, -70)], 6)
    vein = curve([(ax - 16, front - 34, 8), (ax - 17, front - 44, -30), (ax - 18, front - 48, -70)], 6)
    return [
        _vessel("mesenteric artery", artery, [3.8] * 6, build.blood),
        _vessel("mesenteric vein", vein, [5.0] * 6, build.blood),
    ]


def kidney_parts(build: Build, tones: Tones, rng: np.random.Generator, side: int) -> list[Part]:
    """A kidney: bean with cortex, pyramids, sinus fat and the renal pelvis; now and then a cyst. side : -1
    right, 1 left.
    """
    centre = (
        side * rng.uniform(58, 70),
        build.spine_y - rng.uniform(8, 18),
        rng.uniform(-22, 2) + (6 if side > 0 else -8),
    )
    size = rng.uniform(0.9, 1.15)
    radii = (27 * size * rng.uniform(0.93, 1.07), 25 * size, 54 * size * rng.uniform(0.92, 1.1))
    tilt, turn = np.radians(side * rng.normal(14, 4)), np.radians(side * rng.normal(32, 9))
    lean = np.array([[np.cos(tilt), 0, -np.sin(tilt)], [0, 1, 0], [np.sin(tilt), 0, np.cos(tilt)]])
    about_z = np.array([[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    axes = about_z @ lean @ rotation(rng, 4)
    medial = -side * axes[0]  # from the centre towards the hilum

    def inner(distance: float) -> Point:
        at = np.array(centre) + medial * distance
        return float(at[0]), float(at[1]), float(at[2])

    sinus_at, sinus_radii = inner(0.66 * radii[0]), (0.60 * radii[0], 0.34 * radii[1], 0.42 * radii[2])
    calyces = rng.uniform(0, 2 * np.pi, 2)

    def shape(p: Points) -> Field:
        bean = smooth_max(
            ellipsoid(p, centre, radii, axes), -ellipsoid(p, inner(1.35 * radii[0]), (14, 12, 17), axes), 8
        )
        return bean + np.float32(0.5) * p.fields["coarse"]

    def parenchyma(p: Points, field: Field) -> Field:
        x, y, z = p.x - centre[0], p.y - centre[1], p.z - centre[2]
        lobes = np.sin(z / np.float32(5.2) + calyces[0]) * np.sin(1.5 * np.arctan2(y, x) * 2 + calyces[1])
        depth = -field - np.float32(7.5) + np.float32(3.5) * lobes.astype(np.float32)
        return blend(tones.cortex + 4 * p.fields["fine"], tones.medulla + 3 * p.fields["mid"], depth, 2.5)

    def sinus(p: Points) -> Field:
        x, y, z = p.x - centre[0], p.y - centre[1], p.z - centre[2]
        fingers = (
            np.float32(2.4)
            * np.sin(z / np.float32(6.5) + calyces[0])
            * np.sin(2 * np.arctan2(y, x) + calyces[1])
        )
        return np.asarray(
            np.maximum(ellipsoid(p, sinus_at, sinus_radii, axes) + fingers, shape(p) - np.float32(1.5)),
            np.float32,
        )

    urine = build.muscle - 42 + 30 * build.contrast * rng.uniform(0, 1)
    pelvis_path = [
        inner(0.35 * radii[0]),
        inner(1.15 * radii[0]),
        (side * 36.0, build.spine_y - 14, centre[2] - 45),
        (side * 40.0, build.spine_y - 16, -180.0),
    ]
    vein_path = [
        inner(0.5 * radii[0]),
        inner(1.3 * radii[0]),
        (side * 14.0 - 8, build.spine_y - 30, centre[2] + 18),
    ]
    box = BodyBox.around([centre], max(radii) + 8)
    parts = [
        Part(
            "perirenal fascia",
            lambda p: np.abs(shape(p) - np.float32(9)) - np.float32(0.5),
            build.fat + 45,
            BodyBox.around([centre], max(radii) + 18),
            rim_mm=1,
        ),
        Part(
            "kidney",
            lambda p: in_abdomen(p, shape(p), 4),
            parenchyma,
            box,
            KIDNEYS,
            rim_mm=rng.uniform(2, 4),
            solid=True,
        ),
    ]
    if rng.uniform() < 0.4:
        where = np.array(centre) + axes.T @ (
            np.array(radii) * [0.6 * side, rng.uniform(-0.6, 0.2), rng.uniform(-0.6, 0.6)]
        )
        cyst, cyst_r = (float(where[0]), float(where[1]), float(where[2])), rng.uniform(4, 9)
        parts.append(
            Part(
                "cyst",
                lambda p: np.maximum(capsule(p, cyst, cyst, cyst_r, cyst_r), shape(p) + np.float32(1)),
                8.0,
                box,
            )
        )
    return [
        *parts,
        Part("sinus", sinus, build.fat + 14, box, 0),
        Part(
            "renal pelvis",
            lambda p: tube(p, pelvis_path, [4, 4.5, 2.2, 2]),
            urine,
            BodyBox.around(pelvis_path, 8),
        ),
        Part(
            "renal vein", lambda p: tube(p, vein_path, [2.5, 4, 5]), build.blood, BodyBox.around(vein_path, 8)
        ),
    ]


@dataclass(frozen=True, eq=False)
class Tree:
    """A branching vessel: segments (from, to, radius from, radius to)."""

    segments: tuple[tuple[Point, Point, float, float], ...]

    @classmethod
    def grow(
        cls, rng: np.random.Generator, root: Point, towards: Point, radius: float, length: float, levels: int
    ) -> Tree:
        """Two or three branches a level, each thinner and turned away from its parent."""
        segments: list[tuple[Point, Point, float, float]] = []
        heading = np.subtract(towards, root)
        front = [(np.array(root, np.float64), heading / np.linalg.norm(heading), radius, length)]
        for _ in range(levels):
            following = []
            for start, way, r, step in front:
                end = start + way * step
                segments.append(((start[0], start[1], start[2]), (end[0], end[1], end[2]), r, 0.8 * r))
                for _ in range(2):
                    turned = way + rng.normal(0, 0.5, 3)
                    following.append(
                        (end, turned / np.linalg.norm(turned), 0.8 * r, step * rng.uniform(0.65, 0.95))
                    )
            front = following
        return cls(tuple(segments))


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


def spleen_parts(build: Build, tones: Tones, rng: np.random.Generator) -> list[Part]:
    """The spleen: a crescent under the left diaphragm, hollow towards the stomach."""
    half, top = build.cavity_half[0], build.dome_top - 13
    size = rng.uniform(0.92, 1.2)
    centre = (
        0.70 * half + rng.normal(0, 3),
        0.26 * build.half_depth + rng.normal(0, 5),
        top - 52 + rng.normal(0, 7),
    )
    radii, axes = (30 * size, 46 * size, 52 * size), rotation(rng, 10)
    hollow = (centre[0] - 46 * size, centre[1] - 22, centre[2] - 6)

    def shape(p: Points) -> Field:
        field = smooth_max(ellipsoid(p, centre, radii, axes), -ellipsoid(p, hollow, (36, 40, 52), axes), 9)
        return in_abdomen(p, field + np.float32(0.7) * p.fields["coarse"])

    def tissue(p: Points, field: Field) -> Field:
        return np.asarray(
            tones.spleen + 2 * p.fields["coarse"] + 4 * p.fields["mid"] + 3 * p.fields["fine"], np.float32
        )

    return [
        Part(
            "spleen",
            shape,
            tissue,
            BodyBox.around([centre], 56 * size + 6),
            SPLEEN,
            rim_mm=rng.uniform(2, 3.5),
            solid=True,
        )
    ]


def pancreas_parts(build: Build, tones: Tones, rng: np.random.Generator) -> list[Part]:
    """The pancreas: from the duodenum's bend across the great vessels to the spleen, with the splenic vein
    behind it.
    """
    y, lift = build.spine_y - 15, rng.uniform(-8, 10)
    control = [
        (-36, y - 32, -26 + lift),
        (-32, y - 40, -4 + lift),
        (-10, y - 47, 8 + lift),
        (16, y - 42, 18 + lift),
        (44, y - 26, 27 + lift),
        (70, y - 12, 34 + lift + rng.normal(0, 8)),
    ]
    path = curve([jitter(rng, point, 2.5) for point in control], 15)
    size = rng.uniform(0.92, 1.15)
    radii = [
        size * float(r)
        for r in np.interp(np.linspace(0, 1, 15), [0, 0.12, 0.32, 0.45, 0.7, 1], [14, 18, 14, 14, 14, 11])
    ]

    def shape(p: Points) -> Field:
        lobules = (
            np.sin(p.x / np.float32(3.3)) * np.sin(p.y / np.float32(3.6)) * np.sin(p.z / np.float32(3.4))
        )
        return in_abdomen(p, tube(p, path, radii) + np.float32(1.0) * lobules)

    def tissue(p: Points, field: Field) -> Field:
        clefts = np.maximum(0, p.fields["fine"] - np.float32(0.9)) * np.float32(-22)
        duct = np.maximum(0, np.float32(-7.5) - field) * np.float32(-2)
        return np.asarray(tones.pancreas + 4 * p.fields["mid"] + clefts + duct, np.float32)

    behind = [(a + 2, b + 11, c + 2) for a, b, c in path[5:]]
    vein = Part(
        "splenic vein",
        lambda p: tube(p, behind, [4.0] * len(behind)),
        build.blood,
        BodyBox.around(behind, 8),
        rim_mm=0.5,
    )
    pancreas = Part(
        "pancreas",
        shape,
        tissue,
        BodyBox.around(path, 24),
        PANCREAS,
        rim_mm=rng.uniform(1.5, 2.5),
        solid=True,
    )
    return [vein, pancreas]
