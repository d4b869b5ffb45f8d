"""Where a prediction comes from, as plain JSON and without anything about the patient."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from ctseg_imaging.volume import Volume
from ctseg_models.bundles.bundle import Bundle
from ctseg_models.inference.settings import Settings
from ctseg_models.inference.stepwise import Arithmetic
from ctseg_models.prediction import RoiBox

PACKAGES = ("napari-ctseg", "torch", "numpy", "onnxruntime")


def provenance_of(bundles: Sequence[Bundle], volume: Volume, settings: Settings, arithmetic: Arithmetic, stages: Sequence[dict[str, Any]],
                  times: dict[str, float], warnings: Sequence[str], boxes: Sequence[RoiBox], combine: str | None = None,
                  confidence: Sequence[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Bundles with their hashes, versions, device, settings, what each network saw, seconds and warnings.

    confidence : a row for each label found (`confidence.Tally.table`). Of the volume only shape and spacing are told: no path, no name,
    no header.
    """
    described = [{"name": b.name, "kind": b.kind, "version": b.version, "sha256": b.sha256} for b in bundles]
    record: dict[str, Any] = {
        "bundles": described,
        "versions": {"python": platform.python_version(), **_installed()},
        "device": settings.device, "device_name": _device_name(settings.device),
        "precision": str(arithmetic.dtype).removeprefix("torch."), "threads": torch.get_num_threads(),
        "settings": asdict(settings), "stages": list(stages),
        "seconds": {name: round(value, 3) for name, value in times.items()},
        "warnings": list(dict.fromkeys(warnings)),
        "roi": [{"name": box.name, "start": list(box.start), "stop": list(box.stop)} for box in boxes],
        "input": {"shape": list(volume.array.shape), "spacing_mm": [round(s, 6) for s in volume.geometry.spacing_mm]},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if combine is not None:
        record["combine"] = combine
    if confidence is not None:
        record["confidence"] = list(confidence)
    return record


def _installed() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or platform.machine()
