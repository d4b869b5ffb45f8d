"""`NAME.json` next to a TorchScript or ONNX file: what a bare network does not define itself.

docs/side-files.md has worked examples.

    {"labels": {"1": "white matter", "2": "grey matter"}, "modality": "MR",
     "channels": [{"name": "T1", "normalise": "minmax"}],
     "spacing": [1, 1, 1], "orientation": "LIA", "interpolation": "linear", "pad": 0,
     "output": {"kind": "logits", "classes": [0, 1, 2]}}
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles.single_file.side_fields import SideFile
from ctseg_models.vetting.faults import first_fault

LARGEST_SIDE_FILE = 4 * 2**20  # bytes; thousands of labels take less


def side_file_path(network: Path) -> Path:
    """The path of a network's side file: `NAME.json` for `NAME.onnx`, `NAME.ts`, `NAME.pt`."""
    return network.with_suffix(".json")


def read_side_file(network: Path) -> SideFile:
    """The side file of a network file.

    Raises BundleError, naming the field, when it is missing or impossible.
    """
    path = side_file_path(network)
    try:
        if path.stat().st_size > LARGEST_SIDE_FILE:
            raise BundleError(
                f"{path}: is larger than {LARGEST_SIDE_FILE // 2**20} MB, so it is not a side file; give the "
                "right one."
            )
        return SideFile.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise BundleError(
            f"{network}: its side file {path.name} is missing; write one that names labels, channels, "
            "spacing or size, orientation and output."
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BundleError(f"{path}: cannot be read as JSON; fix it.") from error
    except ValidationError as error:
        raise BundleError(f"{path}: {first_fault(error, SideFile)}; fix the side file.") from error


def write_side_file(network: Path, side: SideFile, *, overwrite: bool = False) -> Path:
    """Write the side file of `network`, whole or not at all, with what differs from the defaults.

    Raises BundleError.
    """
    path = side_file_path(network)
    if path.exists() and not overwrite:
        raise BundleError(f"{path}: already exists; allow overwriting, or give the network another name.")
    content = (
        json.dumps(side.model_dump(mode="json", exclude_defaults=True), indent=2, ensure_ascii=False) + "\n"
    )
    try:
        handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(partial).chmod(0o644)
            Path(partial).replace(path)
        finally:
            Path(partial).unlink(missing_ok=True)
    except OSError as error:
        raise BundleError(
            f"{path}: cannot be written ({error.strerror}); choose another folder or check its rights."
        ) from error
    return path


def draft_side_file(network: Path) -> dict[str, Any]:
    """A draft of a side file with what the network file itself reveals; nothing in it is run.

    Of ONNX: layout, size or batch, the number of channels and of classes, names of outputs. Of TorchScript:
    the name alone. Raises BundleError when the file is refused or cannot be read.
    """
    if network.suffix.lower() == ".onnx":
        from ctseg_models.vetting.scan_onnx import draft

        return {"name": network.stem, **draft(network)}
    from ctseg_models.vetting.scan_torchscript import checked_archive

    checked_archive(network)
    return {"name": network.stem}
