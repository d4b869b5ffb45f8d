"""The lesion phantom: a brain-like FLAIR MR with small bright lesions around the ventricles and below the
cortex.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ctseg_imaging.phantom.canvas import Part
from ctseg_imaging.phantom.shapes import (
    BodyBox,
    Field,
    Point,
    Points,
    ShapeFunction,
    blend,
    capsule,
    ellipsoid,
    rotation,
    smooth_max,
    smooth_min,
)
from ctseg_imaging.phantom.texture import Texture

REFERENCE_ML = (
    180 * 212 * 185 / 1000
)  # the head with its margin: the default field of view, to which the lesion load refers


@dataclass(frozen=True)
class Head:
    """One head: half axes of the brain in mm, tissues in the MR's arbitrary units."""

    brain: Point
    ventricle: float  # scale
    white: float
    grey: float
    fluid: float
    lesion: float
    skull: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Head:
        """A random head; grey matter and lesions overlap in brightness."""
        size, white = rng.uniform(0.93, 1.06), rng.uniform(440, 560)
        grey = white * rng.uniform(1.16, 1.3)
        return cls(
            brain=(65 * size, 80 * size * rng.uniform(0.96, 1.04), 62 * size),
            ventricle=rng.uniform(0.8, 1.5),
            white=white,
            grey=grey,
            fluid=rng.uniform(90, 170),
            lesion=grey * rng.uniform(1.12, 1.4),
            skull=rng.uniform(5, 8),
        )

    def shared(self) -> Mapping[str, ShapeFunction]:
        """Surfaces that several parts use: the brain's hull, its folded surface and the ventricles."""
        bx, by, bz = self.brain

        def hull(p: Points) -> Field:
            cerebrum = smooth_max(
                ellipsoid(p, (0, 0, 10), (bx, by, bz)), np.float32(-28) - p.z - np.float32(0.12) * p.y, 14
            )
            cerebellum = smooth_min(
                ellipsoid(p, (0, 42, -36), (48, 30, 25)), capsule(p, (0, 8, -20), (0, 18, -95), 14, 9), 6
            )
            return smooth_min(cerebrum, cerebellum, 6)

        def folded(p: Points) -> Field:
            """The hull with sulci and the cleft between the hemispheres cut in."""
            depth = p.fields["hull"]
            narrow = np.maximum(
                0, 1 - np.abs(p.fields["gyri"] + np.float32(0.25) * p.fields["mid"]) / np.float32(0.34)
            )
            sulci = np.where(depth > -17, np.float32(17) * narrow, 0)
            cleft = np.minimum(
                np.minimum(np.float32(1.4) - np.abs(p.x), depth + np.float32(34)), p.z + np.float32(8)
            )
            return np.asarray(np.maximum(depth + np.float32(1.5) + sulci, cleft), np.float32)

        def ventricles(p: Points) -> Field:
            scale = self.ventricle
            field = np.full_like(p.x, 60)
            for side in (-1, 1):
                horn = capsule(p, (side * 7.0, -32, 18), (side * 13.0, 12, 22), 6.0 * scale, 6.5 * scale)
                back = capsule(p, (side * 13.0, 12, 22), (side * 24.0, 38, 10), 6.0 * scale, 4.0 * scale)
                field = np.minimum(field, smooth_min(horn, back, 4))
            third = smooth_max(
                np.abs(p.x) - np.float32(2.0 * scale), ellipsoid(p, (0, -4, 6), (6, 15, 12)), 1
            )
            return smooth_min(field, third, 2)

        return {"hull": hull, "folded": folded, "ventricles": ventricles}


def brain_textures(rng: np.random.Generator) -> Mapping[str, Texture]:
    """Fine grain, folds, and the slow field of the receiving coils."""
    lengths = {"fine": 1.8, "mid": 5.0, "coarse": 16.0, "gyri": 6.5, "coil": 70.0}
    return {name: Texture(rng, length) for name, length in lengths.items()}


def head_parts(head: Head) -> list[Part]:
    """Scalp, skull, fluid, grey and white matter, deep nuclei and ventricles."""

    def brain(p: Points, field: Field) -> Field:
        cortex = -p.fields["folded"] - np.float32(3.6) - np.float32(0.8) * p.fields["mid"]
        value = blend(head.grey, head.white, cortex, 1.5)
        nuclei = np.minimum(ellipsoid(p, (18, -4, 8), (9, 20, 12)), ellipsoid(p, (-18, -4, 8), (9, 20, 12)))
        value = blend(0.94 * head.grey, value, nuclei + p.fields["mid"], 3)
        cap = np.exp(-(((p.fields["ventricles"] - 1) / 2.5) ** 2)) * np.float32(
            0.10 * head.white
        )  # the bright rim every FLAIR has
        return np.asarray(value + cap + 9 * p.fields["mid"] + 7 * p.fields["fine"], np.float32)

    def scalp(p: Points, field: Field) -> Field:
        return np.asarray(blend(420.0, 760.0, -field - np.float32(2.5), 2) + 40 * p.fields["mid"], np.float32)

    outer = np.float32(head.skull + 8)
    return [
        Part("scalp", lambda p: p.fields["hull"] - outer, scalp),
        Part("skull", lambda p: p.fields["hull"] - np.float32(head.skull + 2), 90.0),
        Part(
            "marrow",
            lambda p: np.abs(p.fields["hull"] - np.float32(0.5 * head.skull + 1.8)) - np.float32(0.8),
            260.0,
        ),
        Part("fluid", lambda p: p.fields["hull"] - np.float32(1.2), head.fluid),
        Part("brain", lambda p: p.fields["folded"], brain),
        Part("ventricles", lambda p: p.fields["ventricles"], head.fluid),
    ]


def lesion_parts(head: Head, rng: np.random.Generator) -> list[Part]:
    """Lesions until they fill the share of the default field of view that was drawn (0.05 to 0.7 %), each of
    0.01 to 5 ml.
    """
    wanted_ml = REFERENCE_ML * float(np.exp(rng.uniform(np.log(0.0006), np.log(0.0065))))
    parts: list[Part] = []
    filled_ml = 0.0
    while filled_ml < wanted_ml and len(parts) < 220:
        radius = float(np.clip(np.exp(rng.normal(1.25, 0.45)), 1.7, 9))
        radius = min(radius, 1.3 * ((wanted_ml - filled_ml) * 1000 * 3 / (4 * np.pi)) ** (1 / 3) + 1.2)
        side = rng.choice([-1, 1])
        if rng.uniform() < 0.6:  # next to a ventricle
            t = rng.uniform(0, 1)
            at = (side * (12 + 12 * t + abs(rng.normal(7, 5))), -34 + 70 * t, 20 + rng.normal(4, 9))
        else:
            way = rng.normal(size=3)
            way /= np.linalg.norm(way)
            reach = rng.uniform(0.35, 0.8)
            at = (
                way[0] * reach * head.brain[0],
                way[1] * reach * head.brain[1],
                12 + abs(way[2]) * reach * head.brain[2],
            )
        centre = (float(at[0]), float(at[1]), float(at[2]))
        parts.append(_lesion(head, centre, radius, rng))
        filled_ml += 0.8 * 4 / 3 * np.pi * radius**3 / 1000
    return parts


def _lesion(head: Head, at: Point, radius: float, rng: np.random.Generator) -> Part:
    axes, radii = rotation(rng, 50), (radius, radius * rng.uniform(0.7, 1.2), radius * rng.uniform(0.75, 1.3))
    tone = head.lesion * rng.uniform(0.88, 1.1)

    def shape(p: Points) -> Field:
        ball = ellipsoid(p, at, radii, axes) + np.float32(0.13 * radius) * p.fields["mid"]
        inside = np.maximum(p.fields["folded"] + np.float32(3.2), np.float32(0.3) - p.fields["ventricles"])
        return np.asarray(np.maximum(ball, inside), np.float32)

    def tissue(p: Points, field: Field) -> Field:
        return np.asarray(tone + 14 * p.fields["mid"] + 10 * p.fields["fine"], np.float32)

    return Part("lesion", shape, tissue, BodyBox.around([at], 1.5 * radius + 2), label=1)
