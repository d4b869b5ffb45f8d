"""What surrounds the organs of the abdominal phantom: table, skin, fat, muscles, spine, ribs, diaphragm,
lungs, heart, pelvis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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

RIB_PITCH_MM = 27.0
VERTEBRA_PITCH_MM = 33.0


@dataclass(frozen=True)
class Build:
    """One patient: lengths in mm of the body frame, tissues in HU."""

    half_width: float  # of the skin's outline
    half_depth: float
    fat_side: float  # subcutaneous fat
    fat_front: float
    fat_back: float
    wall: float  # abdominal muscles
    dome_top: float  # z of the right diaphragm; the left one lies lower
    spine_y: float
    scoliosis: float
    rib_phase: float
    muscle: float
    fat: float
    blood: float
    bone: float
    contrast: float  # 0 plain .. 1 late venous phase

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Build:
        """A random patient."""
        width = rng.uniform(138, 172)
        fat = rng.uniform(0.5, 1.6)
        contrast = float(rng.uniform(0, 1))
        muscle = rng.uniform(48, 62)
        fat_front, fat_back = 16 * fat * rng.uniform(0.7, 1.3), 13 * fat * rng.uniform(0.8, 1.2)
        half_depth = width * rng.uniform(0.66, 0.76)
        return cls(
            half_width=width,
            half_depth=half_depth,
            fat_side=17 * fat * rng.uniform(0.8, 1.2),
            fat_front=fat_front,
            fat_back=fat_back,
            wall=rng.uniform(11, 17),
            dome_top=rng.uniform(95, 125),
            spine_y=half_depth - fat_back - rng.uniform(45, 51),
            scoliosis=rng.normal(0, 5),
            rib_phase=rng.uniform(-12, 12),
            muscle=muscle,
            fat=rng.uniform(-112, -95),
            blood=muscle + rng.uniform(-14, 4) + 45 * contrast,
            bone=rng.uniform(130, 230),
            contrast=contrast,
        )

    @property
    def cavity_half(self) -> tuple[float, float]:
        """Half width and half depth of the abdominal cavity."""
        front, back = self.cavity_ends
        return self.half_width - self.fat_side - self.wall, (back - front) / 2

    @property
    def cavity_ends(self) -> tuple[float, float]:
        """y of the cavity's front and back wall on the midline."""
        return -self.half_depth + self.fat_front + 0.75 * self.wall, self.spine_y + 20

    def shared(self) -> Mapping[str, ShapeFunction]:
        """The surfaces everything else refers to."""
        muscle_front, muscle_back = -self.half_depth + self.fat_front, self.half_depth - self.fat_back
        front, back = self.cavity_ends

        def skin(p: Points) -> Field:
            hips = np.float32(1) + np.float32(0.05) * np.cos((p.z + np.float32(40)) / np.float32(75))
            oval = ellipse(p.x, p.y, hips * np.float32(self.half_width), np.float32(self.half_depth))
            return smooth_max(oval, p.y - np.float32(self.half_depth - 4), 20)

        def wall(p: Points) -> Field:
            y = p.y - np.float32((muscle_front + muscle_back) / 2)
            oval = ellipse(p.x, y, self.half_width - self.fat_side, (muscle_back - muscle_front) / 2)
            groove = np.float32(5) * np.exp(-(((p.x - self.spine_x(p.z)) / 12) ** 2)) * (p.y > 0)
            return np.asarray(oval + groove, np.float32)

        def cavity(p: Points) -> Field:
            half_width, half_depth = self.cavity_half
            oval = ellipse(p.x, p.y - np.float32((front + back) / 2), half_width, half_depth * 1.04)
            return smooth_max(oval, p.y - np.float32(back), 12)

        def dome(p: Points) -> Field:
            """Height above the diaphragm, as a distance; negative in the abdomen."""
            right = self._dome(p, -0.52 * self.half_width, self.dome_top)
            left = self._dome(p, 0.50 * self.half_width, self.dome_top - 13)
            middle = self._dome(p, 0.0, self.dome_top - 24, x_reach=0.62, y=-0.12 * self.half_depth)
            return smooth_min(smooth_min(right, left, 14), middle, 14)

        return {"skin": skin, "wall": wall, "cavity": cavity, "dome": dome}

    def _dome(self, p: Points, x: float, top: float, x_reach: float = 0.48, y: float = 5.0) -> Field:
        rx, ry, drop = x_reach * self.half_width, 0.80 * self.half_depth, 62.0
        rho2 = ((p.x - np.float32(x)) / np.float32(rx)) ** 2 + ((p.y - np.float32(y)) / np.float32(ry)) ** 2
        rho2 = np.minimum(rho2, np.float32(3))
        slope = np.float32(3 * drop / (0.5 * (rx + ry))) * rho2
        return np.asarray(
            (p.z - np.float32(top) + np.float32(drop) * rho2 * np.sqrt(rho2)) / np.sqrt(1 + slope**2),
            np.float32,
        )

    def spine_x(self, z: Field) -> Field:
        """Lateral position of the spine's midline at a height."""
        return np.asarray(self.scoliosis * np.sin(z / np.float32(95)), np.float32)


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


def spine_part(build: Build) -> list[Part]:
    """Vertebrae with discs, canal, laminae, spinous and transverse processes."""

    def local(p: Points) -> tuple[Field, Field, Field]:
        x, y = p.x - build.spine_x(p.z), p.y - np.float32(build.spine_y)
        along = (p.z - np.float32(15)) / np.float32(VERTEBRA_PITCH_MM)
        return (
            x,
            y,
            (along - np.round(along)) * np.float32(VERTEBRA_PITCH_MM),
        )  # z from the middle of the nearest vertebra

    def body(p: Points) -> Field:
        x, y, level = local(p)
        waist = np.float32(1) + np.float32(0.10) * (level / np.float32(14)) ** 2
        return ellipse(x, y, np.float32(20.5) * waist, np.float32(15) * waist)

    def arch(p: Points) -> Field:
        x, y, level = local(p)
        ring = np.abs(ellipse(x, y - np.float32(24), 14, 12)) - np.float32(3.2)
        ring = np.maximum(ring, np.abs(level + np.float32(2)) - np.float32(13))
        spinous = np.maximum(
            ellipse(x, y - np.float32(46), 3.6, 15), np.abs(level + np.float32(8)) - np.float32(9)
        )
        transverse = ellipse(y - np.float32(22), level, 4.0, 6.5)
        transverse = np.maximum(transverse, np.abs(np.abs(x) - np.float32(24)) - np.float32(15))
        return np.asarray(
            np.maximum(np.minimum(np.minimum(ring, spinous), transverse), p.fields["skin"] + np.float32(9)),
            np.float32,
        )

    def bone(p: Points, field: Field) -> Field:
        _, _, level = local(p)
        endplate = np.abs(np.abs(level) - np.float32(12.5))
        shell = np.minimum(-field, endplate)
        marrow = build.bone + 22 * p.fields["fine"] + 14 * p.fields["mid"]
        value = blend(build.bone + 230, marrow, shell - np.float32(1.8), 2)
        disc = np.float32(85) + 6 * p.fields["mid"]
        return blend(value, disc, np.abs(level) - np.float32(13.5), 2)

    def arch_bone(p: Points, field: Field) -> Field:
        return blend(build.bone + 290, build.bone + 40 + 25 * p.fields["fine"], -field - np.float32(2), 2)

    def canal(p: Points) -> Field:
        x, y, _ = local(p)
        return ellipse(x, y - np.float32(23.5), 10.5, 8.5)

    def cord(p: Points, field: Field) -> Field:
        x, y, _ = local(p)
        return blend(38.0, 14.0, ellipse(x, y - np.float32(23.5), 6, 4.5), 2)

    s, y = abs(build.scoliosis) + 3, build.spine_y
    wide = BodyBox((-45 - s, y - 20, -2000), (45 + s, y + 66, 2000))
    narrow = BodyBox((-27 - s, y - 20, -2000), (27 + s, y + 36, 2000))
    return [
        Part("arches", arch, arch_bone, wide),
        Part("vertebrae", body, bone, narrow, solid=True),
        Part("canal", canal, cord, narrow),
    ]


def rib_parts(build: Build) -> list[Part]:
    """Twelve pairs at once: ribs run in the chest wall, each a pitch apart, and fall from the spine to the
    side.
    """

    def place(p: Points) -> tuple[Field, Field, Field]:
        """The angle from the back, the rib's number (0 the lowest, running on between ribs) and the height
        above the nearest rib.
        """
        angle = np.arctan2(np.abs(p.x), p.y - np.float32(0.3 * build.spine_y))
        fall = np.float32(64) * np.sin(
            np.clip(angle - np.float32(0.25), 0, 1.9) * np.float32(0.83)
        ) - 30 * np.clip(angle - 2.0, 0, 1.2)
        u = (p.z - np.float32(46 + build.rib_phase) + fall) / np.float32(RIB_PITCH_MM)
        nearest = np.round(u)
        return angle, u, (u - nearest) * np.float32(RIB_PITCH_MM)

    def shape(p: Points) -> Field:
        angle, number, off = place(p)
        depth = p.fields["cavity"] - np.float32(0.45 * build.wall)
        tube = ellipse(off * np.float32(0.85), depth, 6.4, 3.7)
        end = np.minimum(np.float32(1.15) + np.float32(0.38) * number, np.float32(2.75))
        ended = np.maximum(tube, (angle - end) * np.float32(70))
        return np.asarray(np.maximum(ended, -number * np.float32(20) - np.float32(10)), np.float32)

    def bone(p: Points, field: Field) -> Field:
        angle, _, _ = place(p)
        rib = blend(build.bone + 420, build.bone + 20, -field - np.float32(1.6), 1.6)
        return blend(rib, 95 + 12 * p.fields["mid"], (angle - np.float32(2.05)) * np.float32(60), 8)

    def iliac(p: Points) -> Field:
        depth = np.abs(p.fields["cavity"] - np.float32(2)) - np.float32(4.2)
        crest = np.float32(0.5) * np.abs(np.abs(p.x) - np.float32(80)) + np.float32(0.35) * np.abs(
            p.y - np.float32(20)
        )
        top = p.z + np.float32(118) + crest
        return np.asarray(np.maximum(np.maximum(depth, top), np.float32(-35) - p.y), np.float32)

    def iliac_bone(p: Points, field: Field) -> Field:
        return blend(build.bone + 380, build.bone + 15 * p.fields["fine"], -field - np.float32(1.8), 2)

    return [
        Part("ribs", shape, bone, BodyBox((-400, -400, -40), (400, 400, 2000))),
        Part("iliac wings", iliac, iliac_bone, BodyBox((-400, -400, -2000), (400, 400, -100)), solid=True),
    ]


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
