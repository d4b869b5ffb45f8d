"""How to run a bundle: the user's choices, not the bundle's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["auto", "fp32", "bf16"]
Disagreement = Literal["share", "entropy"]


@dataclass(frozen=True)
class InferenceSettings:
    """How to run a bundle. The defaults are those of the command."""

    device: str = "cpu"  # or "cuda", "cuda:1"
    precision: Precision = "auto"  # "auto" takes half precision where a short measurement shows it is faster
    probabilities: bool = False  # also give the probabilities
    edge_map: bool = False  # also give a map of uncertain borders
    threads: int | None = None  # of the processor; None: as torch is configured
    # The mean over all mirrored inputs that the bundle allows: 2, 4 or 8 times the work.
    mirroring: bool = False
    # The disagreement map of an ensemble: the share of members with another label, or the entropy of the mean
    # probabilities; a single bundle has only the latter.
    disagreement: Disagreement = "share"
    confidence: bool = True  # a table of the confidence of each label in the provenance
