"""How to run a bundle: choices of the user, not of the bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["auto", "fp32", "bf16"]
Disagreement = Literal["share", "entropy"]


@dataclass(frozen=True)
class InferenceSettings:
    """device : "cpu", "cuda", "cuda:1". precision : "auto" takes bf16 where a short measurement shows it
    is clearly faster. probabilities, edge_map : also give these. threads : of the processor; None: as
    torch has it. mirroring : the mean over all mirrored inputs that the bundle allows, 2, 4 or 8 times the
    work. disagreement : of an ensemble, the share of members that say something else, or the entropy of
    the mean probabilities; a single bundle gives a map of its entropy only. confidence : a table of how
    sure the labels are, in the provenance.
    """

    device: str = "cpu"
    precision: Precision = "auto"
    probabilities: bool = False
    edge_map: bool = False
    threads: int | None = None
    mirroring: bool = False
    disagreement: Disagreement = "share"
    confidence: bool = True
