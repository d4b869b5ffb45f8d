"""Phantom cases: a patient painted on a grid, as an image with exact labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ctseg_imaging.geometry import Geometry, Triple
from ctseg_imaging.geometry import Shape as GridShape
from ctseg_imaging.phantom.canvas import Canvas
from ctseg_imaging.phantom.patients import Abdomen, Brain
from ctseg_imaging.volume import LabelMap, Labels, Volume

PhantomName = Literal["abdomen", "lesions"]
KINDS: tuple[PhantomName, ...] = ("abdomen", "lesions")
SHAPES: Mapping[PhantomName, GridShape] = {"abdomen": (128, 112, 112), "lesions": (72, 96, 84)}
SPACINGS_MM: Mapping[PhantomName, Triple] = {"abdomen": (3.0, 3.0, 3.0), "lesions": (2.5, 2.2, 2.2)}
LABELS: Mapping[PhantomName, Mapping[int, str]] = {
    "abdomen": {1: "liver", 2: "kidneys", 3: "spleen", 4: "pancreas"},
    "lesions": {1: "lesion"},
}
SLAB_VOXELS = 3_600_000  # painted at once: less than 1 GB of fields


@dataclass(frozen=True, eq=False)
class PhantomCase:
    """An image and its exact labels on one grid."""

    image: Volume
    labels: LabelMap


def abdomen(
    seed: int,
    shape_zyx: Sequence[int] = SHAPES["abdomen"],
    spacing_zyx_mm: Sequence[float] = SPACINGS_MM["abdomen"],
    tilt_deg: float = 0.0,
) -> PhantomCase:
    """An abdominal CT from the lung bases to the pelvis: image int16 HU, labels uint8 (1 liver, 2 kidneys, 3
    spleen, 4 pancreas).

    seed : the patient and the noise, 0 or more. tilt_deg : turns the grid into an oblique one. The organs' HU
    overlap each other and their surroundings; they differ in position, shape, texture and by a thin rim of
    fat. Fissures, the renal sinus and everything between organs is background; vessels and lesions inside an
    organ belong to it.
    """
    return _case(Abdomen(seed), _grid(shape_zyx, spacing_zyx_mm, tilt_deg), "abdomen", "CT")


def lesions(
    seed: int,
    shape_zyx: Sequence[int] = SHAPES["lesions"],
    spacing_zyx_mm: Sequence[float] = SPACINGS_MM["lesions"],
    tilt_deg: float = 0.0,
) -> PhantomCase:
    """A brain-like FLAIR MR (int16, arbitrary units) with bright lesions: label 1 fills 0.03 to 1 % of the
    default field of view.
    """
    return _case(Brain(seed), _grid(shape_zyx, spacing_zyx_mm, tilt_deg), "lesions", "MR")


def make(
    kind: PhantomName,
    seed: int,
    shape_zyx: Sequence[int] | None = None,
    spacing_zyx_mm: Sequence[float] | None = None,
) -> PhantomCase:
    """The phantom of a kind; its default size and spacing where None."""
    paint = {"abdomen": abdomen, "lesions": lesions}[kind]
    return paint(seed, shape_zyx or SHAPES[kind], spacing_zyx_mm or SPACINGS_MM[kind])


def _grid(shape_zyx: Sequence[int], spacing_zyx_mm: Sequence[float], tilt_deg: float) -> Geometry:
    """A grid whose middle is the LPS origin; tilt_deg turns it about x, and by half as much about z, into an
    oblique one.
    """
    if len(shape_zyx) != 3 or len(spacing_zyx_mm) != 3 or min(shape_zyx) < 1 or min(spacing_zyx_mm) <= 0:
        raise ValueError(
            f"A phantom needs three sizes from 1 and three spacings above 0 (z, y, x), not {shape_zyx} and "
            f"{spacing_zyx_mm}."
        )
    a, b = np.radians(tilt_deg), np.radians(tilt_deg / 2)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    plain = Geometry.from_parts(shape_zyx, spacing_zyx_mm, (0, 0, 0), about_z @ about_x)
    middle = plain.index_to_lps([(n - 1) / 2 for n in plain.shape])
    return Geometry.from_parts(shape_zyx, spacing_zyx_mm, -middle, about_z @ about_x)


def _case(patient: Abdomen | Brain, geometry: Geometry, kind: PhantomName, modality: str) -> PhantomCase:
    """Paint `patient` on `geometry`, slab by slab."""
    image = np.empty(geometry.shape, np.int16)
    labels = np.empty(geometry.shape, np.uint8)
    for start, stop, canvas in _slabs(patient, geometry):
        for k in range(start, stop):
            fields = {name: field[k - start + 1] for name, field in canvas.fields.items()}
            image[k] = patient.scan(canvas.image[k - start + 1], fields, geometry.spacing_mm, k)
        labels[start:stop] = canvas.labels[1:-1]
    return PhantomCase(
        Volume(image, geometry, modality=modality),
        LabelMap(labels, geometry, Labels.from_names(LABELS[kind])),
    )


def _slabs(patient: Abdomen | Brain, geometry: Geometry) -> Iterator[tuple[int, int, Canvas]]:
    """(start, stop, painted canvas) over the slices; a canvas has one slice more at each end, so edges see
    their neighbours.
    """
    step = max(1, SLAB_VOXELS // (geometry.shape[1] * geometry.shape[2]))
    for start in range(0, geometry.shape[0], step):
        stop = min(start + step, geometry.shape[0])
        slab = geometry.crop((start - 1, 0, 0), (stop + 1, *geometry.shape[1:]))
        z, y, x = (
            (np.arange(n, dtype=np.float64) - (whole - 1) / 2 + first) * spacing
            for n, whole, spacing, first in zip(
                slab.shape, geometry.shape, geometry.spacing_mm, (start - 1, 0, 0), strict=True
            )
        )
        canvas = Canvas(slab, patient.warp, patient.textures, patient.centre, (z, y, x), patient.air)
        for part in patient.fixed:
            canvas.paint(part, warped=False)
        canvas.share_shapes(patient.shared)
        for part in patient.parts:
            canvas.paint(part)
        yield start, stop, canvas
