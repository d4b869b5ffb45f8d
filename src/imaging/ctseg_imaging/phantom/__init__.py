"""Procedural phantoms with exact labels: an abdominal CT and a brain-like MR with small lesions, for tests,
demonstration and training.

The anatomy is defined in mm around a body centre, so a seed gives the same patient at any size and spacing;
the field of view crops it.
"""

from ctseg_imaging.phantom.cases import (
    KINDS,
    LABELS,
    SHAPES,
    SPACINGS_MM,
    PhantomCase,
    PhantomName,
    abdomen,
    lesions,
    make,
)
from ctseg_imaging.phantom.dataset import dataset_steps, write_dataset

__all__ = [
    "KINDS",
    "LABELS",
    "SHAPES",
    "SPACINGS_MM",
    "PhantomCase",
    "PhantomName",
    "abdomen",
    "dataset_steps",
    "lesions",
    "make",
    "write_dataset",
]
