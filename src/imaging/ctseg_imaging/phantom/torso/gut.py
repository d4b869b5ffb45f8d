"""Stomach, duodenum, colon and small bowel of the phantom, with what fills them, and the vessels of the
mesentery.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctseg_imaging.phantom.canvas import Part
from ctseg_imaging.phantom.shapes import BodyBox, Field, Point, Points, blend, capsule, curve, tube
from ctseg_imaging.phantom.torso.build import Build
from ctseg_imaging.phantom.torso.organ_tissue import Tones, in_abdomen, jitter

GAS = -960.0


def _filled(
    name: str,
    path: Sequence[Point],
    radii: Sequence[float],
    tones: Tones,
    *,
    content: float,
    gas_above_y: float | None,
    wall_mm: float = 2.2,
    stool: bool = False,
    rim_mm: float = 1.6,
    haustra: float = 0.0,
) -> Part:
    """A stretch of gut: wall, contents, and gas at y below gas_above_y, as the patient lies on the back."""

    def shape(p: Points) -> Field:
        field = tube(p, path, radii)
        if haustra:
            field += np.float32(haustra) * np.sin((p.x + p.z + 0.5 * p.y) / np.float32(6.5))
        return in_abdomen(p, field + np.float32(0.6) * p.fields["coarse"])

    def tissue(p: Points, field: Field) -> Field:
        inside = content + 6 * p.fields["mid"] + 3 * p.fields["coarse"]
        if stool:
            bubbles = np.maximum(0, p.fields["fine"] - np.float32(0.35)) * np.float32(-230)
            inside = inside + np.maximum(bubbles, np.float32(-700))
        if gas_above_y is not None:
            inside = blend(GAS, inside, p.y - np.float32(gas_above_y), 1.5)
        return blend(tones.gut_wall, inside, -field - np.float32(wall_mm), 1.2)

    return Part(name, shape, tissue, BodyBox.around(path, max(radii) + 6), rim_mm=rim_mm, solid=True)


def stomach_parts(build: Build, tones: Tones, rng: np.random.Generator) -> list[Part]:
    """The stomach from fundus to pylorus and the duodenum's bend around the head of the pancreas."""
    top, front, y = build.dome_top - 13, build.cavity_ends[0], build.spine_y - 15
    size = rng.uniform(0.75, 1.15)
    control = [
        (42, 16, top - 27),
        (47, -4, top - 56),
        (40, 0.45 * front, top - 90),
        (12, 0.62 * front, top - 112),
        (-18, 0.5 * front, top - 108),
    ]
    path = curve([jitter(rng, point, 4) for point in control], 10)
    radii = [
        size * float(r)
        for r in np.interp(np.linspace(0, 1, 10), [0, 0.3, 0.6, 0.85, 1], [30, 34, 29, 20, 12])
    ]
    level = 0.55 * front + rng.uniform(-14, 12)
    stomach = _filled(
        "stomach",
        path,
        radii,
        tones,
        content=build.muscle + rng.uniform(-38, 20),
        gas_above_y=level,
        wall_mm=4,
    )
    bend = curve(
        [
            (-24, 0.4 * front, top - 112),
            (-48, y - 34, 6),
            (-54, y - 24, -18),
            (-44, y - 16, -44),
            (-12, y - 20, -50),
            (16, y - 22, -46),
        ],
        11,
    )
    duodenum = _filled(
        "duodenum",
        [jitter(rng, point, 1.5) for point in bend],
        [10.5] * 11,
        tones,
        content=build.muscle + rng.uniform(-25, 12),
        gas_above_y=None,
        rim_mm=1.8,
    )
    return [duodenum, stomach]


def colon_parts(build: Build, tones: Tones, rng: np.random.Generator) -> list[Part]:
    """Ascending, transverse and descending colon with stool and gas."""
    half, front = build.cavity_half[0], build.cavity_ends[0]
    parts = []
    flank = 0.80 * half
    tracks: dict[str, list[Point]] = {
        "ascending colon": [(-flank, 18, -190), (-flank, 12, -110), (-flank, 10, -60), (-flank + 8, -6, -38)],
        "transverse colon": [
            (-flank + 10, -14, -40),
            (-45, 0.68 * front, -50),
            (0, 0.74 * front, -60),
            (45, 0.68 * front, -45),
            (flank - 14, -10, 8),
        ],
        "descending colon": [
            (flank - 8, -2, 18),
            (flank, 16, -30),
            (flank + 2, 18, -100),
            (flank - 8, 10, -190),
        ],
    }
    for name, control in tracks.items():
        path = curve([jitter(rng, point, 4) for point in control], 10)
        radius = rng.uniform(15, 23) if name != "descending colon" else rng.uniform(10, 17)
        middle = float(np.mean([point[1] for point in path]))
        gas = middle + rng.uniform(-1.0, 0.2) * radius
        parts.append(
            _filled(
                name,
                path,
                [radius * rng.uniform(0.88, 1.12) for _ in path],
                tones,
                content=build.muscle + rng.uniform(-30, 15),
                gas_above_y=gas,
                stool=bool(rng.uniform() < 0.7),
                haustra=2.2,
            )
        )
    return parts


def small_bowel_parts(build: Build, tones: Tones, rng: np.random.Generator, loops: int = 72) -> list[Part]:
    """Loops that fill what the organs leave free, in front of the kidneys and down to the pelvis."""
    half, (front, _) = build.cavity_half[0], build.cavity_ends
    parts = []
    oral = rng.uniform() < 0.4
    for i in range(loops):
        x = rng.uniform(-0.72, 0.72) * half
        z = rng.uniform(-205, 5) if i % 6 else rng.uniform(-60, 35)
        y = rng.uniform(0.85 * front, 0.25 * front + 22 + 0.25 * max(0.0, -60 - z))
        start = (x, y, z)
        way = rng.normal(0, 1, 3) * [1, 0.6, 0.8]
        way *= rng.uniform(20, 50) / np.linalg.norm(way)
        bow = rng.normal(0, 9, 3)
        control = [start, tuple(np.add(start, 0.5 * way + bow)), tuple(np.add(start, way))]
        path = curve([(float(a), float(b), float(c)) for a, b, c in control], 5)
        radius = rng.uniform(8.5, 14.5)
        content = build.muscle + (
            rng.uniform(-5, 60) if oral and rng.uniform() < 0.5 else rng.uniform(-32, 14)
        )
        gas = path[2][1] + rng.uniform(-0.8, 0.3) * radius if rng.uniform() < 0.13 else None
        parts.append(
            _filled(
                "small bowel",
                path,
                [radius] * 5,
                tones,
                content=content,
                gas_above_y=gas,
                rim_mm=rng.uniform(0.8, 2.4),
            )
        )
    return parts


def mesentery_parts(build: Build, rng: np.random.Generator) -> list[Part]:
    """Fine vessels and nodes in the mesentery's fat, fanning out from the root."""
    root = (-2.0, build.spine_y - 52, -35.0)
    parts: list[Part] = []
    for _ in range(46):
        end = (
            rng.uniform(-85, 85),
            rng.uniform(0.8 * build.cavity_ends[0], build.spine_y - 45),
            rng.uniform(-190, 20),
        )
        path = curve(
            [root, jitter(rng, (end[0] * 0.5, (root[1] + end[1]) / 2, (root[2] + end[2]) / 2), 9), end], 5
        )
        radii = [float(r) for r in np.linspace(rng.uniform(1.8, 2.8), 0.9, 5)]
        parts.append(_branch(path, radii, build))
    for _ in range(12):
        at = jitter(rng, (root[0], root[1] - 8, root[2] - 40), 26)
        r = rng.uniform(2.5, 4.5)
        parts.append(_node(at, r, build))
    return parts


def _branch(path: Sequence[Point], radii: Sequence[float], build: Build) -> Part:
    return Part(
        "mesenteric branch",
        lambda p: in_abdomen(p, tube(p, path, radii)),
        build.blood - 5,
        BodyBox.around(path, 4),
        rim_mm=0.3,
    )


def _node(at: Point, radius: float, build: Build) -> Part:
    return Part(
        "lymph node",
        lambda p: capsule(p, at, at, radius, radius),
        build.muscle - 6,
        BodyBox.around([at], radius + 2),
        rim_mm=0.6,
    )
