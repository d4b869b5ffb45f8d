"""Data sets of phantoms in the layout of the Medical Segmentation Decathlon."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ctseg_imaging.errors import FormatError
from ctseg_imaging.geometry import Triple
from ctseg_imaging.phantom.cases import LABELS, PhantomName, make
from ctseg_imaging.progress import Progress, finish

FIELDS_MM: Mapping[PhantomName, tuple[Triple, Triple]] = {  # least and most of a varied data set
    "abdomen": ((330, 300, 350), (420, 350, 430)),
    "lesions": ((170, 205, 180), (195, 225, 195)),
}
VARIED_MM: Mapping[PhantomName, tuple[Triple, Triple]] = {
    "abdomen": ((2, 1.5, 1.5), (5, 3, 3)),
    "lesions": ((2, 1, 1), (4, 2, 2)),
}


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
    """Run `dataset_steps` to its end without reporting progress."""
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
    for each case, in-plane equal. `dataset.json` is written last; if the work fails or is closed earlier, its
    files are removed. Raises FormatError if there is a data set already and `overwrite` is false, or for a
    full disk.
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
            name = f"{kind}-{seed + i:04d}.nii.gz"
            for part, item in (("imagesTr", case.image), ("labelsTr", case.labels)):
                formats.write(folder / part / name, item, overwrite=overwrite)
                written.append(folder / part / name)
            entries.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
        write_bytes(
            folder / "dataset.json", json.dumps(_description(kind, entries), indent=1).encode(), overwrite
        )
    except BaseException:  # also when the generator is closed: no partial data set is left
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
