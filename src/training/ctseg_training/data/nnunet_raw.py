"""The cases of an nnU-Net raw folder (nnUNet_raw/DatasetXXX_NAME), whose dataset.json lists none.

dataset.json has `channel_names` (v1: `modality`), `labels` and, in v2, `file_ending`; the cases are the files
labelsTr/CASE.nii.gz with imagesTr/CASE_0000.nii.gz. imagesTs is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctseg_imaging.errors import RecipeError

IMAGES, LABELS = "imagesTr", "labelsTr"
FIRST_CHANNEL = "_0000"
READ = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")


def is_raw(fields: Mapping[str, Any]) -> bool:
    """Whether a dataset.json is that of nnU-Net, without a list of cases."""
    return "training" not in fields and ("channel_names" in fields or "modality" in fields)


def listed(path: Path, fields: Mapping[str, Any]) -> list[dict[str, str]]:
    """The cases in the folder of dataset.json, in the form of the Decathlon's list "training", with relative
    paths.

    Raises RecipeError for a case whose image or label is missing, several channels, region labels or an
    unknown file ending.
    """
    ending = str(fields.get("file_ending", ".nii.gz"))
    if ending not in READ:
        raise RecipeError(
            f"{path}: file_ending is {ending!r}, and cases are read from {', '.join(READ)}; convert the "
            "files."
        )
    channels = fields.get("channel_names", fields.get("modality"))
    if not isinstance(channels, dict) or len(channels) != 1:
        raise RecipeError(
            f"{path}: has {len(channels) if isinstance(channels, dict) else 'no'} channels, and cases of one "
            "file each "
            'are trained on; list the cases under "training", each with a file of all channels.'
        )
    _refuse_regions(path, fields)
    images = _stems(path.parent / IMAGES, ending)
    if several := sorted(stem for stem in images if not stem.endswith(FIRST_CHANNEL)):
        raise RecipeError(
            f"{path.parent / IMAGES / (several[0] + ending)}: is not named CASE{FIRST_CHANNEL}{ending}, as "
            "the one channel of a case is; rename or remove it."
        )
    pictured, labelled = (
        {stem.removesuffix(FIRST_CHANNEL) for stem in images},
        _stems(path.parent / LABELS, ending),
    )
    if missing := sorted(pictured - labelled):
        raise RecipeError(
            f"{path.parent}: the case {missing[0]} has no label {LABELS}/{missing[0]}{ending}; add it, or "
            "remove its image."
        )
    if missing := sorted(labelled - pictured):
        raise RecipeError(
            f"{path.parent}: the case {missing[0]} has no image "
            f"{IMAGES}/{missing[0]}{FIRST_CHANNEL}{ending}; add it, or remove its label."
        )
    return [
        {"image": f"{IMAGES}/{case}{FIRST_CHANNEL}{ending}", "label": f"{LABELS}/{case}{ending}"}
        for case in sorted(labelled)
    ]


def _stems(folder: Path, ending: str) -> set[str]:
    """The names without `ending` of the files that have it, hidden ones aside."""
    if not folder.is_dir():
        raise RecipeError(
            f"{folder}: does not exist; an nnU-Net data set has its cases in {IMAGES} and {LABELS}."
        )
    return {
        file.name.removesuffix(ending)
        for file in folder.iterdir()
        if file.name.endswith(ending) and not file.name.startswith(".")
    }


def _refuse_regions(path: Path, fields: Mapping[str, Any]) -> None:
    labels = fields.get("labels")
    pairs = labels.items() if isinstance(labels, dict) else ()
    for name, value in pairs:
        if isinstance(value, list) and len(value) > 1:
            raise RecipeError(
                f"{path}: the label {name!r} is a region of several values, and a recipe trains one label a "
                "value; name each value instead."
            )
        if name == "ignore":
            raise RecipeError(
                f'{path}: has the label "ignore", and training has no voxels to leave out; complete those '
                "cases and remove the label."
            )
