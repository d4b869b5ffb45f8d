"""What has been measured of a network in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ctseg_imaging.geometry import Shape


@dataclass(frozen=True)
class Agreement:
    """The labels of two precisions, compared on a part of an image."""

    dice: float  # the lowest of a class; NaN where none was large enough
    judged: tuple[int, ...]  # label values that were large enough
    left_out: tuple[int, ...]  # the others
    finite: bool = True  # whether half precision gave finite numbers wherever float32 did


@dataclass(eq=False)
class Measured:
    """Grows while a network is used, and goes with it."""

    agreements: dict[tuple[torch.dtype, str], Agreement] = field(default_factory=dict)  # type, device
    # For one array (z, y, x): by type, device and shape.
    seconds: dict[tuple[torch.dtype, str, Shape], float] = field(default_factory=dict)
