"""What a user should know before trusting a model's labels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class WarningKind(StrEnum):
    """What a warning is about; front ends decide by it, never by the wording."""

    IMAGE = "image"  # it differs from what the model was trained on
    SPACING = "spacing"  # the network saw larger voxels than it was trained with
    LOCALISER = "localiser"  # it found nothing
    PRECISION = "precision"  # float32 was used instead of the faster half precision: nothing to do
    MEMORY = "memory"  # there was too little, so smaller windows or the processor were used
    MIRRORING = "mirroring"  # it was asked for and the model does not allow it
    LABELS = "labels"  # a value or a name is not the one in the bundle's description
    MAPS = "maps"  # an extra map was asked for and cannot be given


@dataclass(frozen=True)
class RunWarning:
    """One warning. text : one sentence, which `str` gives too."""

    kind: WarningKind
    text: str

    def __str__(self) -> str:
        return self.text
