"""A small data set with an organ on either side, in an orientation and spacing that show a swapped axis."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ctseg_imaging import formats
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels, Volume
from ctseg_training.recipes import Recipe, load_recipe

NAMES = {1: "right", 2: "left", 3: "middle"}
SHAPE = (30, 34, 38)
SPACING = (3.0, 2.5, 2.0)

TINY = (
    "data.spacing_mm=[3, 3, 3]",
    "data.sizes={min: [16, 16, 16], max: [48, 48, 48], step: [8, 8, 8]}",
    "data.margin_mm=6",
    "budget={steps: 4}",
    "precision=fp32",
    "validation={share: 0.25, at_most: 1}",
    "schedule.warmup_steps=0",
    "workers=0",
)
TINY_SCN = (
    *TINY,
    "network={kind: scn, levels: 2, filters: 4, spatial_levels: 1, spatial_filters: 4, norm: instance}",
    "sampling={mode: patch, size: [16, 16, 16], margin_mm: 6, near_distance_mm: [6, 6, 6]}",
    "augmentation.mirror=0.5",
    "augmentation.mirror_pairs=[[right, left]]",
)
TINY_UNET = (*TINY, "network={kind: unet, levels: 2, filters: 4, norm: instance}")


def anatomy(seed: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """(z, y, x) upright HU and labels: a bright ball to the patient's right (low x), a dark one to the
    left, a box between.
    """
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(
        *[(np.arange(n) + 0.5) * s for n, s in zip(SHAPE, SPACING, strict=True)], indexing="ij"
    )
    shift = rng.uniform(-4, 4, 3)
    labels = np.zeros(SHAPE, np.uint8)
    labels[(z - 45 - shift[0]) ** 2 + (y - 40 - shift[1]) ** 2 + (x - 20 - shift[2]) ** 2 < 12**2] = 1
    labels[(z - 45 - shift[0]) ** 2 + (y - 40 - shift[1]) ** 2 + (x - 56 - shift[2]) ** 2 < 12**2] = 2
    labels[(abs(z - 25 - shift[0]) < 8) & (abs(y - 45 - shift[1]) < 10) & (abs(x - 38 - shift[2]) < 6)] = 3
    image = np.array([-80, 220, -300, 500])[labels] + rng.normal(0, 15, SHAPE)
    return image.astype(np.int16), labels


def write_dataset(folder: Path, count: int = 4, absent: dict[str, list[str]] | None = None) -> Path:
    """Decathlon layout; stored right to left and head first, as many scanners do. absent : {case: labels
    that were not contoured}.
    """
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    stored = Geometry.from_parts(SHAPE, SPACING, (10, -20, 30), np.diag([-1.0, 1.0, -1.0]))
    training = []
    present = {}
    for number in range(count):
        image, labels = anatomy(number)
        name = f"case_{number}"
        gone = (absent or {}).get(name, [])
        for value, label in NAMES.items():
            if label in gone:
                labels[labels == value] = 0
        formats.write(folder / "imagesTr" / f"{name}.nii.gz", Volume(image[::-1, :, ::-1].copy(), stored))
        formats.write(
            folder / "labelsTr" / f"{name}.nii.gz",
            LabelMap(labels[::-1, :, ::-1].copy(), stored, Labels.from_names(NAMES)),
        )
        training.append({"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"})
        present[name] = [label for label in NAMES.values() if label not in gone]
    fields = {
        "name": "balls",
        "labels": {"0": "background", **{str(k): v for k, v in NAMES.items()}},
        "training": training,
        "labels_present": present,
    }
    (folder / "dataset.json").write_text(json.dumps(fields))
    return folder


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are slower on several threads, much slower where other work runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "balls", absent={"case_1": ["middle"]})


@pytest.fixture
def tiny() -> Recipe:
    return load_recipe("scn-segment-small", TINY_SCN)


@pytest.fixture
def tiny_localiser() -> Recipe:
    return load_recipe("scn-localise-small", TINY_UNET)
