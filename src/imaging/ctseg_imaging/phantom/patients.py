"""Patients to paint: everything that is drawn once for a seed, and the scanner that sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.geometry import Triple
from ctseg_imaging.phantom.brain import Head, brain_textures, head_parts, lesion_parts
from ctseg_imaging.phantom.canvas import Part, Warp
from ctseg_imaging.phantom.shapes import Field, ShapeFunction
from ctseg_imaging.phantom.texture import Texture, abdominal_textures, ct_noise
from ctseg_imaging.phantom.torso.build import Build
from ctseg_imaging.phantom.torso.gut import colon_parts, mesentery_parts, small_bowel_parts, stomach_parts
from ctseg_imaging.phantom.torso.kidneys import kidney_parts
from ctseg_imaging.phantom.torso.liver import liver_parts
from ctseg_imaging.phantom.torso.organ_tissue import Tones
from ctseg_imaging.phantom.torso.skeleton import rib_parts, spine_part
from ctseg_imaging.phantom.torso.spleen_pancreas import pancreas_parts, spleen_parts
from ctseg_imaging.phantom.torso.trunk import chest_parts, table_parts, wall_parts
from ctseg_imaging.phantom.torso.vessels import mesenteric_trunk_parts, vessel_parts


class Abdomen:
    """Everything of the abdomen that is drawn once for a seed, and the scanner that sees it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = np.random.default_rng([seed, 2024])
        build = Build.draw(rng)
        tones = Tones.draw(rng, build)
        self.warp = Warp.draw(rng)
        self.centre = rng.normal(0, 1, 3) * [6, 6, 10] + [0, 0, -15]
        self.textures: Mapping[str, Texture] = abdominal_textures(rng)
        self.noise_hu = rng.uniform(9, 20)
        self.kernel_mm = rng.uniform(0.7, 1.1)
        self.shared: Mapping[str, ShapeFunction] = build.shared()
        self.fixed: Sequence[Part] = table_parts(build, rng)
        self.parts: Sequence[Part] = [
            *wall_parts(build),
            *chest_parts(build, rng),
            *rib_parts(build),
            *spine_part(build),
            *vessel_parts(build, rng),
            *kidney_parts(build, tones, rng, -1),
            *kidney_parts(build, tones, rng, 1),
            *pancreas_parts(build, tones, rng),
            *mesenteric_trunk_parts(build, rng),
            *liver_parts(build, tones, rng),
            *spleen_parts(build, tones, rng),
            *stomach_parts(build, tones, rng),
            *colon_parts(build, tones, rng),
            *small_bowel_parts(build, tones, rng),
            *mesentery_parts(build, rng),
        ]
        self.air = -1000.0

    def scan(
        self, plane: Field, fields: Mapping[str, Field], spacing_mm: Triple, k: int
    ) -> NDArray[np.int16]:
        """One slice with the scanner's noise, stronger in thin slices and deep in the body."""
        rng = np.random.default_rng([self.seed, 7, k])
        finer = (6.0 / float(np.prod(spacing_mm))) ** 0.25
        depth = np.clip(-fields["skin"] / np.float32(80), 0, 1)
        sigma = np.float32(self.noise_hu * min(max(finer, 0.6), 1.6)) * (
            np.float32(0.6) + np.float32(0.55) * depth
        )
        noisy = plane + sigma * ct_noise(
            rng, (plane.shape[0], plane.shape[1]), (spacing_mm[1], spacing_mm[2]), self.kernel_mm
        )
        return np.asarray(np.clip(np.rint(noisy), -1024, 3071), np.int16)


class Brain:
    """The head of a seed, and the MR that sees it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = np.random.default_rng([seed, 2025])
        head = Head.draw(rng)
        self.warp = Warp.draw(rng, amplitude_mm=1.6)
        self.centre = rng.normal(0, 1, 3) * [3, 3, 4] + [0, 2, 2]
        self.textures: Mapping[str, Texture] = brain_textures(rng)
        self.noise = rng.uniform(14, 30)
        self.shared: Mapping[str, ShapeFunction] = head.shared()
        self.fixed: Sequence[Part] = ()
        self.parts: Sequence[Part] = [*head_parts(head), *lesion_parts(head, rng)]
        self.air = 0.0

    def scan(
        self, plane: Field, fields: Mapping[str, Field], spacing_mm: Triple, k: int
    ) -> NDArray[np.int16]:
        """One slice as a magnitude image: the coils' slow shading and noise in both channels (Rician)."""
        rng = np.random.default_rng([self.seed, 7, k])
        sigma = np.float32(self.noise * min(max((12.0 / float(np.prod(spacing_mm))) ** 0.25, 0.6), 1.6))
        real = plane * (np.float32(1) + np.float32(0.09) * fields["coil"]) + sigma * rng.standard_normal(
            plane.shape, dtype=np.float32
        )
        imaginary = sigma * rng.standard_normal(plane.shape, dtype=np.float32)
        return np.asarray(np.clip(np.rint(np.hypot(real, imaginary)), 0, 32767), np.int16)
