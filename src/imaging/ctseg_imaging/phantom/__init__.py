"""Procedural phantoms with exact labels: an abdominal CT and a brain-like MR with small lesions, for tests,
demonstration and training.

The anatomy lives in mm around a body centre, so a seed gives the same patient at any size and spacing; the
field of view crops it.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import FormatError
from ctseg_imaging.geometry import Geometry, Triple
from ctseg_imaging.geometry import Shape as GridShape
from ctseg_imaging.phantom.brain import Head, brain_textures, head_parts, lesion_parts
from ctseg_imaging.phantom.canvas import Canvas, Part, Warp
from ctseg_imaging.phantom.gut import colon_parts, mesentery_parts, small_bowel_parts, stomach_parts
from ctseg_imaging.phantom.organs import (
    Tones,
    kidney_parts,
    liver_parts,
    mesenteric_trunk_parts,
    pancreas_parts,
    spleen_parts,
    vessel_parts,
)
from ctseg_imaging.phantom.shapes import Field, ShapeFunction
from ctseg_imaging.phantom.texture import Texture, abdominal_textures, ct_noise
from ctseg_imaging.phantom.torso import Build, chest_parts, rib_parts, spine_part, table_parts, wall_parts
from ctseg_imaging.progress import Progress, finish
from ctseg_imaging.volume import LabelMap, Labels, Volume

PhantomName = Literal["abdomen", "lesions"]
KINDS: tuple[PhantomName, ...] = ("abdomen", "lesions")
SHAPES: Mapping[PhantomName, GridShape] = {"abdomen": (128, 112, 112), "lesions": (72, 96, 84)}
SPACINGS_MM: Mapping[PhantomName, Triple] = {"abdomen": (3.0, 3.0, 3.0), "lesions": (2.5, 2.2, 2.2)}
FIELDS_MM: Mapping[PhantomName, tuple[Triple, Triple]] = {  # least and most of a varied data set
    "abdomen": ((330, 300, 350), (420, 350, 430)),
    "lesions": ((170, 205, 180), (195, 225, 195)),
}
VARIED_MM: Mapping[PhantomName, tuple[Triple, Triple]] = {
    "abdomen": ((2, 1.5, 1.5), (5, 3, 3)),
    "lesions": ((2, 1, 1), (4, 2, 2)),
}
LABELS: Mapping[PhantomName, Mapping[int, str]] = {
    "abdomen": {1: "liver", 2: "kidneys", 3: "spleen", 4: "pancreas"},
    "lesions": {1: "lesion"},
}
SLAB_VOXELS = 3_600_000  # what is painted at once: less than 1 GB of fields


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
    overlap each other and their surroundings; what tells them apart is place, shape, texture and a thin rim
    of fat. Fissures, the renal sinus and everything between organs is background; vessels and lesions inside
    an organ belong to it.
    """
    return _case(_Abdomen(seed), _grid(shape_zyx, spacing_zyx_mm, tilt_deg), "abdomen", "CT")


def lesions(
    seed: int,
    shape_zyx: Sequence[int] = SHAPES["lesions"],
    spacing_zyx_mm: Sequence[float] = SPACINGS_MM["lesions"],
    tilt_deg: float = 0.0,
) -> PhantomCase:
    """A brain-like FLAIR MR (int16, arbitrary units) with bright lesions: label 1 takes 0.03 to 1 % of the
    default field of view.
    """
    return _case(_Brain(seed), _grid(shape_zyx, spacing_zyx_mm, tilt_deg), "lesions", "MR")


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


class _Abdomen:
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


class _Brain:
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


def _case(patient: _Abdomen | _Brain, geometry: Geometry, kind: PhantomName, modality: str) -> PhantomCase:
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


def _slabs(patient: _Abdomen | _Brain, geometry: Geometry) -> Iterator[tuple[int, int, Canvas]]:
    """(start, stop, painted canvas) over the slices; a canvas has one slice more at each end, so edges
    see their neighbours.
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


def write_dataset(
    out: str | Path,
    kind: PhantomName,
    count: int,
    size: Sequence[int] | None = None,
    spacing: Sequence[float] | None = None,
    seed: int = 0,
    *,
    overwrite: bool = False,
) -> Path:
    """`dataset_steps` to its end, without showing anything."""
    return finish(dataset_steps(out, kind, count, size, spacing, seed, overwrite=overwrite))


def dataset_steps(
    out: str | Path,
    kind: PhantomName,
    count: int,
    size: Sequence[int] | None = None,
    spacing: Sequence[float] | None = None,
    seed: int = 0,
    *,
    overwrite: bool = False,
) -> Generator[Progress, None, Path]:
    """A data set of `count` phantoms in the Decathlon's layout, seeds `seed` and up, every fifth case for
    validation; returns its folder.

    size : (z, y, x) voxels; None: a field of view drawn for each case. spacing : (z, y, x) mm; None: drawn
    for each case, in-plane equal. `dataset.json` comes last; when the work fails or is closed before, its
    files go again. Raises FormatError if there is a data set already and `overwrite` is false, or for a full
    disk.
    """
    from ctseg_imaging import formats
    from ctseg_imaging.formats.disk.atomic import write_bytes

    folder = Path(out)
    if (folder / "dataset.json").exists() and not overwrite:
        raise FormatError(f"{folder}: holds a data set already; choose another folder or allow overwriting.")
    try:
        for part in ("imagesTr", "labelsTr"):
            (folder / part).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(
            f"{folder}: the folder cannot be made ({error.strerror or error}); choose another."
        ) from error
    entries: list[dict[str, str]] = []
    written: list[Path] = []
    try:
        for i in range(count):
            yield Progress("phantoms", i, count, f"making phantom {i + 1} of {count}")
            case = make(kind, seed + i, *_varied(kind, seed + i, size, spacing))
            name = f"{kind}_{seed + i:04d}.nii.gz"
            for part, item in (("imagesTr", case.image), ("labelsTr", case.labels)):
                formats.write(folder / part / name, item, overwrite=overwrite)
                written.append(folder / part / name)
            entries.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
        write_bytes(
            folder / "dataset.json", json.dumps(_description(kind, entries), indent=1).encode(), overwrite
        )
    except BaseException:  # also when the generator is closed: half a data set is none
        for path in written:
            path.unlink(missing_ok=True)
        raise
    yield Progress("phantoms", count, count, "")
    return folder


def _varied(
    kind: PhantomName, seed: int, size: Sequence[int] | None, spacing: Sequence[float] | None
) -> tuple[Sequence[int], Sequence[float]]:
    """The size and spacing of a case: those given, the others drawn."""
    rng = np.random.default_rng([seed, 11])
    z, y, _ = np.round(rng.uniform(*VARIED_MM[kind]), 2)
    spacing_mm = spacing or (float(z), float(y), float(y))
    field = rng.uniform(*FIELDS_MM[kind])
    return size or [
        max(1, round(float(mm) / step)) for mm, step in zip(field, spacing_mm, strict=True)
    ], spacing_mm


def _description(kind: PhantomName, entries: Sequence[Mapping[str, str]]) -> Mapping[str, Any]:
    """The contents of `dataset.json`."""
    held_out = [entry for i, entry in enumerate(entries) if i % 5 == 4]
    training = [entry for i, entry in enumerate(entries) if i % 5 != 4]
    return {
        "name": f"Procedural phantoms ({kind})",
        "description": "Made by napari-ctseg; no patient data",
        "licence": "BSD-3-Clause",
        "tensorImageSize": "3D",
        "modality": {"0": "CT" if kind == "abdomen" else "MR"},
        "labels": {"0": "background", **{str(value): name for value, name in LABELS[kind].items()}},
        "numTraining": len(training),
        "numValidation": len(held_out),
        "numTest": 0,
        "training": training,
        "validation": held_out,
        "test": [],
    }
