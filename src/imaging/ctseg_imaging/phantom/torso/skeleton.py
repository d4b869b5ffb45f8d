"""Spine, ribs and pelvis of the abdominal phantom."""

from __future__ import annotations

import numpy as np

from ctseg_imaging.phantom.canvas import Part
from ctseg_imaging.phantom.shapes import BodyBox, Field, Points, blend, ellipse
from ctseg_imaging.phantom.torso.build import Build

RIB_PITCH_MM = 27.0
VERTEBRA_PITCH_MM = 33.0


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
