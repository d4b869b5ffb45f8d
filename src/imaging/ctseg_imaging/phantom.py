"""Procedural phantoms with exact labels: an abdominal CT and a brain-like MR with small lesions, for tests, demonstration and training.

The anatomy lives in mm around a body centre, so a seed gives the same patient at any size and spacing; the field of view crops it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.geometry import Geometry, Shape, Triple
from ctseg_imaging.phantom_canvas import Canvas, Part, Warp
from ctseg_imaging.phantom_gut import colon_parts, mesentery_parts, small_bowel_parts, stomach_parts
from ctseg_imaging.phantom_organs import Tones, kidney_parts, liver_parts, mesenteric_trunk_parts, pancreas_parts, spleen_parts, vessel_parts
from ctseg_imaging.phantom_texture import abdominal_textures, ct_noise
from ctseg_imaging.phantom_torso import Build, chest_parts, rib_parts, spine_part, table_parts, wall_parts
from ctseg_imaging.volume import LabelMap, Labels, Volume

DEFAULT_SHAPE: Shape = (128, 112, 112)
DEFAULT_SPACING_MM: Triple = (3.0, 3.0, 3.0)
ABDOMEN_LABELS = {1: "liver", 2: "kidneys", 3: "spleen", 4: "pancreas"}
SLAB_VOXELS = 1_800_000  # what is painted at once: a few hundred MB of fields


@dataclass(frozen=True, eq=False)
class Case:
    """An image and its exact labels on one grid."""

    image: Volume
    labels: LabelMap


def grid(shape_zyx: Sequence[int], spacing_zyx_mm: Sequence[float], tilt_deg: float = 0.0) -> Geometry:
    """A grid whose middle is the LPS origin; tilt_deg turns it about x, and by half as much about z, into an oblique one."""
    a, b = np.radians(tilt_deg), np.radians(tilt_deg / 2)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    plain = Geometry.from_parts(shape_zyx, spacing_zyx_mm, (0, 0, 0), about_z @ about_x)
    middle = plain.index_to_lps([(n - 1) / 2 for n in plain.shape])
    return Geometry.from_parts(shape_zyx, spacing_zyx_mm, -middle, about_z @ about_x)


def abdomen(seed: int, shape_zyx: Sequence[int] = DEFAULT_SHAPE, spacing_zyx_mm: Sequence[float] = DEFAULT_SPACING_MM, tilt_deg: float = 0.0) -> Case:
    """An abdominal CT from the lung bases to the pelvis: image int16 HU, labels uint8 (1 liver, 2 kidneys, 3 spleen, 4 pancreas).

    seed : the patient and the noise. tilt_deg : turns the grid into an oblique one. The organs' HU overlap each other and their
    surroundings; what tells them apart is place, shape, texture and a thin rim of fat.
    """
    geometry = grid(shape_zyx, spacing_zyx_mm, tilt_deg)
    patient = _Patient(seed)
    image = np.empty(geometry.shape, np.int16)
    labels = np.empty(geometry.shape, np.uint8)
    step = max(1, SLAB_VOXELS // (geometry.shape[1] * geometry.shape[2]))
    for start in range(0, geometry.shape[0], step):
        stop = min(start + step, geometry.shape[0])
        patient.paint(geometry, start, stop, image[start:stop], labels[start:stop])
    names = Labels.from_names(ABDOMEN_LABELS)
    return Case(Volume(image, geometry, modality="CT"), LabelMap(labels, geometry, names))


class _Patient:
    """Everything that is drawn once for a seed, and the painting of a slab of slices."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = np.random.default_rng([seed, 2024])
        self.build = build = Build.draw(rng)
        self.tones = tones = Tones.draw(rng, build)
        self.warp = Warp.draw(rng)
        self.centre = rng.normal(0, 1, 3) * [6, 6, 10] + [0, 0, -15]
        self.textures = abdominal_textures(rng)
        self.noise_hu = rng.uniform(9, 20)
        self.kernel_mm = rng.uniform(0.7, 1.1)
        self.table = table_parts(build, rng)
        self.parts: list[Part] = [
            *wall_parts(build), *chest_parts(build, rng), *rib_parts(build), *spine_part(build), *vessel_parts(build, rng),
            *kidney_parts(build, tones, rng, -1), *kidney_parts(build, tones, rng, 1), *pancreas_parts(build, tones, rng),
            *mesenteric_trunk_parts(build, rng), *liver_parts(build, tones, rng), *spleen_parts(build, tones, rng), *stomach_parts(build, tones, rng),
            *colon_parts(build, tones, rng), *small_bowel_parts(build, tones, rng), *mesentery_parts(build, rng)]

    def paint(self, geometry: Geometry, start: int, stop: int, image: NDArray[np.int16], labels: NDArray[np.uint8]) -> None:
        """Slices [start, stop) of `geometry` into `image` and `labels`; one more slice at each end is painted and dropped."""
        slab = geometry.crop((start - 1, 0, 0), (stop + 1, *geometry.shape[1:]))
        axes = tuple((np.arange(n) - (whole - 1) / 2 + first) * step for n, whole, step, first in
                     zip(slab.shape, geometry.shape, geometry.spacing_mm, (start - 1, 0, 0), strict=True))
        canvas = Canvas(slab, self.warp, self.textures, self.centre, axes)
        for part in self.table:
            canvas.paint(part, warped=False)
        canvas.share_shapes(self.build.shared())
        for part in self.parts:
            canvas.paint(part)
        for k in range(start, stop):
            image[k - start] = self._scan(canvas.image[k - start + 1], canvas.fields["skin"][k - start + 1], geometry.spacing_mm, k)
        labels[:] = canvas.labels[1:-1]

    def _scan(self, plane: NDArray[np.float32], skin: NDArray[np.float32], spacing_mm: Triple, k: int) -> NDArray[np.int16]:
        """One slice with the scanner's noise, stronger in thin slices and deep in the body."""
        rng = np.random.default_rng([self.seed, 7, k])
        finer = (6.0 / float(np.prod(spacing_mm))) ** 0.25
        depth = np.clip(-skin / np.float32(80), 0, 1)
        sigma = np.float32(self.noise_hu * min(max(finer, 0.6), 1.6)) * (np.float32(0.6) + np.float32(0.55) * depth)
        noisy = plane + sigma * ct_noise(rng, plane.shape, (spacing_mm[1], spacing_mm[2]), self.kernel_mm)
        return np.clip(np.rint(noisy), -1024, 3071).astype(np.int16)
