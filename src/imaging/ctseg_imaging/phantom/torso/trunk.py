"""What surrounds the organs of the abdominal phantom: table, skin, fat, muscles, diaphragm, lungs, heart."""

from __future__ import annotations

import numpy as np

from ctseg_imaging.phantom.canvas import Part
from ctseg_imaging.phantom.shapes import (
    BodyBox,
    Field,
    Points,
    ShapeFunction,
    Tissue,
    blend,
    capsule,
    ellipse,
    ellipsoid,
    smooth_max,
    smooth_min,
)
from ctseg_imaging.phantom.torso.build import Build


def table_parts(build: Build, rng: np.random.Generator) -> list[Part]:
    """The patient table, a curved shell around foam, as one layer after the other; it lies in the scanner's
    frame, not the body's.
    """
    top, reach, sag = build.half_depth + rng.uniform(2, 7), rng.uniform(195, 225), rng.uniform(250, 420)

    def below(p: Points, level: float) -> Field:
        depth = np.float32(level + top) - p.y - p.x * p.x * np.float32(0.2 / sag)
        return np.asarray(np.maximum(depth, np.abs(p.x) - np.float32(reach)), np.float32)

    box = BodyBox((-300, top - 60, -2000), (300, top + 60, 2000))
    layers = {
        "mattress": (-9.0, -905.0),
        "table top": (4.0, 60.0),
        "foam": (9.5, -940.0),
        "table base": (33.0, 30.0),
        "air below": (38.5, -1000.0),
    }

    def under(level: float) -> ShapeFunction:
        return lambda p: below(p, level)

    return [Part(name, under(level), hu, box) for name, (level, hu) in layers.items()]


def wall_parts(build: Build) -> list[Part]:
    """Skin, subcutaneous fat, the muscles of the trunk and the fat inside."""

    def fat(p: Points, field: Field) -> Field:
        septa = np.maximum(0, 1 - np.hypot(p.fields["strand"], 0.6 * p.fields["strand2"]) / np.float32(0.35))
        return np.asarray(build.fat + 4 * p.fields["coarse"] + 4 * p.fields["mid"] + 32 * septa, np.float32)

    def muscle(p: Points, field: Field) -> Field:
        marbling = np.maximum(0, p.fields["mid"] - np.float32(1.1)) * np.float32(-38)
        return np.asarray(build.muscle + 5 * p.fields["coarse"] + 5 * p.fields["fine"] + marbling, np.float32)

    def layers(p: Points) -> Field:
        """The wall as a shell: the muscle ring, split by thin fat planes and by the white line in front."""
        depth = p.fields["cavity"]
        plane = np.float32(0.9) - np.abs(depth - np.float32(0.5 * build.wall) - 2 * p.fields["coarse"])
        side = (p.y < np.float32(build.spine_y)) & (np.abs(p.x) > np.float32(0.42 * build.half_width))
        field = np.maximum(p.fields["wall"], np.where(side, plane, np.float32(-9)))
        line = np.float32(2.5) - np.hypot(
            p.x, 0.35 * np.maximum(0, p.y + np.float32(build.half_depth - build.fat_front - 4))
        )
        return np.asarray(np.maximum(field, np.where(p.y < 0, line, np.float32(-9))), np.float32)

    return [
        Part("skin", lambda p: p.fields["skin"], 25.0),
        Part("fat under the skin", lambda p: p.fields["skin"] + np.float32(2.2), fat),
        Part("muscle wall", layers, muscle),
        Part("fat inside", lambda p: p.fields["cavity"], fat),
        *[_deep_muscle(build, side, muscle) for side in (-1, 1)],
    ]


def _deep_muscle(build: Build, side: int, muscle: Tissue) -> Part:
    """Psoas and quadratus lumborum of one side: they grow from the first lumbar vertebra downwards."""

    def shape(p: Points) -> Field:
        down = np.clip((np.float32(25) - p.z) / np.float32(110), 0, 1.1)
        size = np.float32(4) + np.float32(20) * np.sqrt(down)
        x, y = p.x - build.spine_x(p.z), p.y - np.float32(build.spine_y)
        psoas = ellipse(
            x - side * (np.float32(28) + np.float32(11) * down),
            y - np.float32(3) + np.float32(12) * down,
            0.85 * size,
            size,
        )
        quadratus = ellipse(
            x - side * np.float32(58), y - np.float32(18), np.float32(18) + 8 * down, np.float32(7) + 3 * down
        )
        return smooth_max(np.minimum(psoas, quadratus), p.z - np.float32(30), 6)

    x = sorted((side * 4.0, side * 95.0))
    box = BodyBox((x[0] - 12, build.spine_y - 30, -2000), (x[1] + 12, build.spine_y + 45, 36))
    return Part("psoas", shape, muscle, box, solid=True)


def chest_parts(build: Build, rng: np.random.Generator) -> list[Part]:
    """Lungs with vessels, the heart and the diaphragm's sheet."""
    heart_at = (rng.uniform(8, 26), rng.uniform(-38, -24), build.dome_top + rng.uniform(20, 34))
    gullet = ((4.0, build.spine_y - 30, 300.0), (8.0, build.spine_y - 32, build.dome_top - 30))

    def heart(p: Points) -> Field:
        mediastinum = ellipse(p.x - np.float32(3), p.y - np.float32(10), 27, 62)
        mediastinum = np.maximum(mediastinum, np.float32(build.dome_top - 35) - p.z)
        ball = ellipsoid(p, heart_at, (58, 46, 50))
        return np.minimum(smooth_min(mediastinum, ball, 15), capsule(p, *gullet, 11, 11))

    def lungs(p: Points) -> Field:
        field = np.maximum(p.fields["cavity"] + np.float32(1), np.float32(2) - p.fields["dome"])
        return np.asarray(np.maximum(field, np.float32(1.5) - heart(p)), np.float32)

    def lung(p: Points, field: Field) -> Field:
        vessels = np.maximum(0, 1 - np.hypot(p.fields["strand"], p.fields["strand2"]) / np.float32(0.42))
        return np.asarray(-880 + 0.28 * (p.y + 60) + 18 * p.fields["mid"] + 780 * vessels, np.float32)

    def soft(p: Points, field: Field) -> Field:
        inside = blend(build.muscle - 4, build.blood, -ellipsoid(p, heart_at, (42, 32, 36)), 6)
        fatty = blend(inside, build.fat + 10, field + np.float32(4) - 5 * p.fields["coarse"], 3)
        return np.asarray(
            np.where(ellipsoid(p, heart_at, (58, 46, 50)) < -3, inside, fatty) + 5 * p.fields["mid"],
            np.float32,
        )

    def sheet(p: Points) -> Field:
        return np.asarray(
            np.maximum(np.abs(p.fields["dome"]) - np.float32(1.6), p.fields["cavity"] - np.float32(1)),
            np.float32,
        )

    above = BodyBox((-400, -400, build.dome_top - 150), (400, 400, 2000))
    chest = BodyBox((-90, -100, build.dome_top - 60), (110, 100, 2000))

    def in_chest(p: Points) -> Field:
        return np.asarray(np.maximum(np.maximum(heart(p), p.fields["cavity"]), -p.fields["dome"]), np.float32)

    return [
        Part("lungs", lungs, lung, above),
        Part("heart", in_chest, soft, chest, rim_mm=1.0),
        Part("diaphragm", sheet, build.muscle, above),
    ]
