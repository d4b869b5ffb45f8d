"""What the organs of the abdominal phantom share: their labels, their mean HU and the cavity around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctseg_imaging.phantom.shapes import Field, Point, Points, smooth_max
from ctseg_imaging.phantom.torso.build import Build

LIVER, KIDNEYS, SPLEEN, PANCREAS = 1, 2, 3, 4


@dataclass(frozen=True)
class Tones:
    """Mean HU of the organs' tissues. All are close to muscle, so a threshold separates little."""

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
