"""The spleen and the pancreas of the abdominal phantom."""

from __future__ import annotations

import numpy as np

from ctseg_imaging.phantom.canvas import Part
from ctseg_imaging.phantom.shapes import BodyBox, Field, Points, curve, ellipsoid, rotation, smooth_max, tube
from ctseg_imaging.phantom.torso.build import Build
from ctseg_imaging.phantom.torso.organ_tissue import PANCREAS, SPLEEN, Tones, in_abdomen, jitter


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
