"""The origin of a prediction as plain JSON, without anything about the patient."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from ctseg_imaging.volume import Volume
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.prediction import RoiBox
from ctseg_models.contract.run_warning import RunWarning
from ctseg_models.inference.inference_settings import InferenceSettings

PACKAGES = ("napari-ctseg", "torch", "numpy", "onnxruntime")


def provenance_of(
    bundles: Sequence[Bundle],
    volume: Volume,
    settings: InferenceSettings,
    arithmetic: Arithmetic,
    stages: Sequence[dict[str, Any]],
    times: dict[str, float],
    warnings: Sequence[RunWarning],
    boxes: Sequence[RoiBox],
    combine: str | None = None,
    confidence: Sequence[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """A prediction's record: bundles and hashes, versions, device, precision, settings, stages, times,
    warnings.

    Device and precision are those used ("mixed" where the stages differ); `settings` holds those asked for.
    confidence : a row for each label found (`confidence.Tally.table`). Of the volume only shape and spacing
    are recorded: no path, no name, no header.
    """
    described = [{"name": b.name, "kind": b.kind, "version": b.version, "sha256": b.sha256} for b in bundles]
    record: dict[str, Any] = {
        "bundles": described,
        "versions": {"python": platform.python_version(), **_installed()},
        "device": _one_or_mixed(
            [device for stage in stages for device in stage.get("devices", ())], settings.device
        ),
        "device_name": _device_name(
            [device for stage in stages for device in stage.get("devices", ())] or [settings.device]
        ),
        "precision": _one_or_mixed(
            [stage["precision"] for stage in stages if "precision" in stage],
            str(arithmetic.dtype).removeprefix("torch."),
        ),
        "threads": torch.get_num_threads(),
        "settings": asdict(settings),
        "stages": list(stages),
        "seconds": {name: round(value, 3) for name, value in times.items()},
        "warnings": [warning.text for warning in warnings],
        "roi": [{"name": box.name, "start": list(box.start), "stop": list(box.stop)} for box in boxes],
        "input": {
            "shape": list(volume.array.shape),
            "spacing_mm": [round(s, 6) for s in volume.geometry.spacing_mm],
        },
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


def _one_or_mixed(used: Sequence[str], otherwise: str) -> str:
    """The value that all have in common, "mixed" if they differ, `otherwise` if there are none."""
    different = set(used)
    return "mixed" if len(different) > 1 else next(iter(different), otherwise)


def _device_name(devices: Sequence[str]) -> str:
    names = (
        torch.cuda.get_device_name(device)
        if device.startswith("cuda")
        else platform.processor() or platform.machine()
        for device in devices
    )
    return ", ".join(dict.fromkeys(names))
