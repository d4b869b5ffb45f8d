"""What napari saves: a layer's array in its stored voxel order with its source's geometry, to the bit where
the format is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from ctseg_imaging import formats
from ctseg_imaging.formats.disk.atomic import refuse_sources
from ctseg_imaging.volume import LabelMap
from napari_ctseg.viewer.layers import label_map_of, volume_of
from napari_ctseg.viewer.study import open_sources


def write_image(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """npe2's single-layer writer for images; napari's dialog has asked about overwriting.

    What any open layer was read from is not replaced. Raises CtsegError, and then no file changed.
    """
    refuse_sources(path, open_sources())
    formats.write(path, volume_of(_as_layer(data, meta)), overwrite=True)
    return [path]


def write_labels(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """npe2's single-layer writer for labels; see `write_image`. The smallest of uint8, uint16 and int32 that
    holds the values.
    """
    refuse_sources(path, open_sources())
    found = label_map_of(_as_layer(data, meta))
    top = int(found.array.max()) if found.array.size else 0
    array = found.array.astype(
        np.uint8 if top <= 255 else np.uint16 if top <= 65535 else np.int32, copy=False
    )
    formats.write(
        path,
        LabelMap(array, found.geometry, found.labels, found.header, found.source, found.notes),
        overwrite=True,
    )
    return [path]


def _as_layer(data: Any, meta: Mapping[str, Any]) -> Any:
    """What `layers` asks a layer for, from the parts that napari hands to a writer."""
    ndim = np.ndim(data)
    linear = np.asarray(meta.get("affine", np.eye(ndim + 1)))[:ndim, :ndim]
    return SimpleNamespace(
        data=data,
        ndim=ndim,
        name=meta.get("name", "layer"),
        metadata=meta.get("metadata", {}),
        scale=np.asarray(meta.get("scale", np.ones(ndim))),
        translate=np.asarray(meta.get("translate", np.zeros(ndim))),
        rotate=np.asarray(meta.get("rotate", np.eye(ndim))),
        affine=SimpleNamespace(linear_matrix=linear),
    )
