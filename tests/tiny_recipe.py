"""A recipe that trains in a second: two levels of a U-Net on patches of 8 voxels."""

from __future__ import annotations

from typing import Any

TINY: dict[str, Any] = {
    "name": "tiny",
    "stage": "segment",
    "network": {"kind": "unet", "levels": 2, "filters": 4, "norm": "instance"},
    "data": {
        "spacing_mm": [3, 3, 3],
        "sizes": {"min": [8, 8, 8], "max": [32, 32, 32], "step": [8, 8, 8]},
        "intensity": {"clip_low": -200, "clip_high": 300, "shift": 50, "scale": 250},
    },
    "sampling": {"mode": "patch", "size": [8, 8, 8]},
    "losses": [{"kind": "dice_cross_entropy", "output": "logits"}],
    "precision": "fp32",
    "budget": {"steps": 2},
}
