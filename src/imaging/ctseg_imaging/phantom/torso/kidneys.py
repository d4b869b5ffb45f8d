"""The kidneys of the abdominal phantom, with renal pelvis and vein."""

from __future__ import annotations

import numpy as np

from ctseg_imaging.phantom.canvas import Part
from ctseg_imaging.phantom.shapes import (
    BodyBox,
    Field,
    Point,
    Points,
    blend,
    capsule,
    ellipsoid,
    rotation,
    smooth_max,
    tube,
)
from ctseg_imaging.phantom.torso.build import Build
from ctseg_imaging.phantom.torso.organ_tissue import KIDNEYS, Tones, in_abdomen


def kidney_parts(build: Build, tones: Tones, rng: np.random.Generator, side: int) -> list[Part]:
    """A kidney: bean with cortex, pyramids, sinus fat and the renal pelvis; now and then a cyst.

    side : -1 right, 1 left.
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
