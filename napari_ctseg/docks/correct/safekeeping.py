"""Autosave of the mask that is corrected, and what of earlier edits waits to be restored."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.volume import Labels
from napari_ctseg import recovery
from napari_ctseg.aside import Aside
from napari_ctseg.layers import label_map_of, source_of
from napari_ctseg.study import Study

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels as LabelsLayer

TOKEN = "ctseg_recovery"  # (id of the layer, token of its file), in the layer's metadata
EDITS = "ctseg_edits"  # what was done to a layer, in its metadata: it goes where the layer goes


def edits_of(layer: LabelsLayer) -> list[dict[str, Any]]:
    """What was done to this layer so far, oldest first; append to it."""
    edits: list[dict[str, Any]] = layer.metadata.setdefault(EDITS, [])
    return edits


class Safekeeping:
    """Writes one layer at a time into the recovery folder, in a thread, and never two writes at once.

    saved : called with a time once the edits are kept. failed : with the error when they could not be.
    """

    def __init__(self, viewer: napari.viewer.Viewer, study: Study, aside: Aside, saved: Callable[[datetime], None],
                 failed: Callable[[Exception], None]) -> None:
        self._viewer, self._study, self._aside, self._saved, self._failed = viewer, study, aside, saved, failed
        self._dirty: dict[int, LabelsLayer] = {}
        self._saving = False

    def touch(self, layer: LabelsLayer) -> None:
        """The layer was changed."""
        self._dirty[id(layer)] = layer

    def keep(self, names: Callable[[LabelsLayer], Labels]) -> None:
        """Save what was touched since it was last saved. names : gives a layer's labels."""
        if self._saving or not self._dirty:
            return
        _, layer = self._dirty.popitem()
        path = self.path_of(layer)
        if path is None:
            return
        label_map = label_map_of(layer)
        snapshot = replace(label_map, array=label_map.array.copy(), labels=names(layer))
        self._saving = True

        def done(_: Any) -> None:
            self._saving = False
            self._saved(datetime.now())
            self.keep(names)

        def failed(error: Exception) -> None:
            self._saving = False
            self.touch(layer)
            self._failed(error)

        self._aside(lambda: recovery.save(path, snapshot), done, failed)

    def exported(self, layer: LabelsLayer) -> None:
        """The layer as it stands is safe elsewhere: forget what was kept."""
        self._dirty.pop(id(layer), None)
        if (path := self.path_of(layer)) is not None:
            recovery.discard(path)

    def path_of(self, layer: LabelsLayer) -> Path | None:
        """Where this layer's edits are kept; None for a layer whose place in the patient is not known."""
        key = self.key(layer)
        return None if key is None else recovery.path_for(key, _token(layer))

    def waiting(self, layer: LabelsLayer | None) -> tuple[recovery.Kept, ...]:
        """What was kept for this image and belongs to no layer that is open."""
        key = self.key(layer)
        if key is None:
            return ()
        own = {self.path_of(one) for one in self._viewer.layers if hasattr(one, "n_edit_dimensions")}
        return tuple(kept for kept in recovery.find(key) if kept.path not in own)

    def take_over(self, kept: recovery.Kept, layer: LabelsLayer) -> None:
        """From now on `kept` holds the edits of `layer`."""
        layer.metadata[TOKEN] = (id(layer), kept.path.stem.rpartition("-")[2])

    def key(self, layer: LabelsLayer | None) -> str | None:
        """By the image's place and grid; by the mask's own where there is no image."""
        name = self._study.image
        source = source_of(self._viewer.layers[name]) if name is not None and name in self._viewer.layers else None
        if source is None and layer is not None:
            source = source_of(layer)
        return None if source is None else recovery.key_of(source.geometry, source.source)


def _token(layer: LabelsLayer) -> str:
    """Made once a layer. It goes with the layer's metadata, which napari copies when a layer is duplicated: hence the id."""
    owner, token = layer.metadata.get(TOKEN, (None, ""))
    if owner != id(layer):
        token = secrets.token_hex(4)
        layer.metadata[TOKEN] = (id(layer), token)
    return str(token)
