"""The great vessels of the abdominal phantom, what lies next to the aorta, and trees of smaller vessels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ctseg_imaging.phantom.canvas import Part
from ctseg_imaging.phantom.shapes import BodyBox, Field, Point, Points, blend, curve, tube
from ctseg_imaging.phantom.torso.build import Build
from ctseg_imaging.phantom.torso.organ_tissue import jitter


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
