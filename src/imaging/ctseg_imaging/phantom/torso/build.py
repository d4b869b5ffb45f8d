"""One patient of the abdominal phantom: its size, its tissues and the surfaces that everything refers to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ctseg_imaging.phantom.shapes import Field, Points, ShapeFunction, ellipse, smooth_max, smooth_min


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
