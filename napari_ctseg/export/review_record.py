"""The review marks in the provenance file of a mask, and back in the layer when the mask is opened again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from ctseg_imaging.dataset_json import read_json_object
from ctseg_imaging.errors import FormatError
from ctseg_imaging.geometry import AxisView
from ctseg_imaging.label_names import provenance_paths
from ctseg_imaging.volume import LabelMap
from napari_ctseg.viewer.layers import LayerData
from napari_ctseg.viewer.review import Marks
from napari_ctseg.viewer.review.review import REVIEW

CHANGED = "Its review marks were not used: the mask was changed after the review."
DAMAGED = "Its review marks were not used: they are damaged."


def review_record(label_map: LabelMap, marks: Marks) -> dict[str, Any]:
    """The marks as JSON, with the hash of the mask that they are of."""
    return {**marks.as_json(), "mask_voxels_sha256": upright_hash(label_map)}


def with_marks(layer: LayerData, label_map: LabelMap, path: Path) -> tuple[LayerData, str]:
    """The layer with the marks of the provenance file next to `path`, if that has any.

    Returns with it what is wrong with them, "" for nothing; then there are none.
    """
    place = provenance_paths(path)[0]
    try:
        record = read_json_object(place).get("review") if place.is_file() else None
        if record is None:
            return layer, ""
        marks = Marks.from_json(record)
    except FormatError as error:
        return layer, f"Its review marks were not used: {error}"
    except ValueError:
        return layer, DAMAGED
    if record.get("mask_voxels_sha256") != upright_hash(label_map):
        return layer, CHANGED
    data, settings, kind = layer
    return (data, {**settings, "metadata": {**settings["metadata"], REVIEW: marks}}, kind), ""


def upright_hash(label_map: LabelMap) -> str:
    """SHA-256 of the values as they are shown, whatever the order and type in which they are stored."""
    shown = AxisView.of(label_map.geometry).apply(label_map.array)
    digest = hashlib.sha256(str(shown.shape).encode())
    for plane in shown:
        digest.update(np.ascontiguousarray(plane, "<i4").tobytes())
    return digest.hexdigest()
