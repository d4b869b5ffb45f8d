"""The fuzzed readers: for each a few sound files, and how a program reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.image_inputs import (
    analyze,
    dataset,
    dicom,
    labels,
    metaimage,
    nifti,
    nrrd,
    read_dataset,
    read_image,
    read_label_map,
    read_segmentation,
    read_zarr,
    segmentations,
    zarr_maps,
)
from tests.fuzz.project_inputs import (
    journals,
    measurements,
    monai_bundle,
    network_files,
    nnunet_folder,
    own_bundle,
    preferences,
    read_bundle,
    read_journal,
    read_measurements,
    read_preferences,
    read_recipe,
    recipes,
    sums,
)


@dataclass(frozen=True)
class Target:
    """seeds : writes sound inputs into folders of its own under a folder, and gives what to read in each.
    read : reads one of them.

    spared : endings of files that stay as they are. fix : corrects what depends on the damaged files, in
    most of the inputs.
    """

    seeds: Callable[[Path], list[Path]]
    read: Callable[[Path], None]
    spared: tuple[str, ...] = ()
    fix: Callable[[Path], None] | None = None
    memory_mb: int = 1500


TARGETS = {
    "nifti": Target(nifti, read_image),
    "analyze": Target(analyze, read_image),
    "nrrd": Target(nrrd, read_image),
    "metaimage": Target(metaimage, read_image),
    "dicom": Target(dicom, read_image),
    "labels": Target(labels, read_label_map),
    "segmentations": Target(segmentations, read_segmentation),
    "dataset": Target(dataset, read_dataset, (".gz",)),
    "zarr": Target(zarr_maps, read_zarr),
    "preferences": Target(preferences, read_preferences),
    "measurements": Target(measurements, read_measurements),
    "journal": Target(journals, read_journal),
    "recipe": Target(recipes, read_recipe),
    "own-bundle": Target(own_bundle, read_bundle, fix=sums),
    "monai": Target(monai_bundle, read_bundle),
    "nnunet": Target(nnunet_folder, read_bundle),
    "network-files": Target(network_files, read_bundle),
}
