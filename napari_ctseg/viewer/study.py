"""Study: which layer of the viewer is image, truth, prediction and edited mask. State and signals, no
widgets.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import SignalGroupDescriptor

from napari_ctseg.viewer import view_only
from napari_ctseg.viewer.layers import ROLE, slice_of, source_of
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.reference import announce_refusals, lock, release, watch

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

ROLES = ("image", "truth", "prediction", "edited")


@dataclass
class Study:
    """Layer names by role (None: none yet) and the image's axial slice under the cursor; `events.<field>`
    is emitted at every change.

    The layer that becomes the truth is locked (see reference.py). It is unlocked when the role is taken from
    it; but where another layer takes the role over, a label map from a file stays locked.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()
    image: str | None = None
    truth: str | None = None
    prediction: str | None = None
    edited: str | None = None
    cursor_slice: int = 0

    def roles_of(self, name: str) -> tuple[str, ...]:
        """The roles that the layer called `name` has."""
        return tuple(role for role in ROLES if getattr(self, role) == name)


class _Binding:
    """Keeps a Study true to its viewer: layers that come, go or change their name, and the slider."""

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self.study = Study()
        self.viewer = weakref.ref(viewer)
        self._names: weakref.WeakKeyDictionary[Layer, str] = weakref.WeakKeyDictionary()
        self._truth: weakref.ref[Layer] | None = None
        self.study.events.truth.connect(self._truth_changed)
        for layer in viewer.layers:
            self._watch(layer)
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self._removed)
        viewer.dims.events.current_step.connect(self._moved)

    def _inserted(self, event: Any) -> None:
        self._watch(event.value)

    def _watch(self, layer: Layer) -> None:
        self._names[layer] = layer.name
        layer.events.name.connect(self._renamed)
        if (viewer := self.viewer()) is not None:
            view_only.mark(viewer, layer)
        role = natural_role(layer)
        newest = role == "prediction" and layer.source.parent is None  # and no duplicate of an older one
        if role is not None and (newest or getattr(self.study, role) is None):
            setattr(self.study, role, layer.name)
        watch(layer)
        if hasattr(layer, "n_edit_dimensions") and layer.ndim == 3 and source_of(layer) is not None:
            announce_refusals(layer)
        self._moved()

    def _removed(self, event: Any) -> None:
        layer = event.value
        layer.events.name.disconnect(self._renamed)
        name = self._names.pop(layer, layer.name)
        for role in self.study.roles_of(name):
            setattr(self.study, role, None)

    def _renamed(self, event: Any) -> None:
        layer = unwrapped(event.source)
        before, self._names[layer] = self._names.get(layer, layer.name), layer.name
        for role in self.study.roles_of(before):
            setattr(self.study, role, layer.name)

    def _truth_changed(self, name: str | None) -> None:
        viewer, before = self.viewer(), None if self._truth is None else self._truth()
        now = (
            viewer.layers[name] if viewer is not None and name is not None and name in viewer.layers else None
        )
        if now is before:
            return
        self._truth = None if now is None else weakref.ref(now)
        if now is not None:
            lock(now)
        if before is not None and (now is None or natural_role(before) != "truth"):
            release(before)

    def _moved(self, event: Any = None) -> None:
        viewer = self.viewer()
        if viewer is not None and self.study.image is not None and self.study.image in viewer.layers:
            self.study.cursor_slice = slice_of(viewer, viewer.layers[self.study.image])


_BINDINGS: weakref.WeakKeyDictionary[Any, _Binding] = weakref.WeakKeyDictionary()


def study_of(viewer: napari.viewer.Viewer) -> Study:
    """The one Study of a viewer; made, and bound to the viewer's layers and slider, at the first call."""
    viewer = unwrapped(viewer)
    if viewer not in _BINDINGS:
        _BINDINGS[viewer] = _Binding(viewer)
    return _BINDINGS[viewer].study


def open_sources() -> tuple[Path, ...]:
    """The files and folders that the layers of all viewers were read from."""
    viewers = [viewer for binding in _BINDINGS.values() if (viewer := binding.viewer()) is not None]
    found = [
        source_of(layer) for viewer in viewers for layer in viewer.layers if hasattr(layer.data, "shape")
    ]
    return tuple({source.source for source in found if source is not None and source.source is not None})


def viewer_of(layer: Layer) -> napari.viewer.Viewer | None:
    """The viewer with a Study that `layer` is in."""
    viewers = [viewer for binding in _BINDINGS.values() if (viewer := binding.viewer()) is not None]
    return next((viewer for viewer in viewers if layer in viewer.layers), None)


def follow_current() -> None:
    """Bind a Study to the viewer in front, if there is one, so a truth that is opened is locked whether
    or not a dock is open.
    """
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        study_of(viewer)


def natural_role(layer: Layer) -> str | None:
    """What a new layer is taken for: an image, a model's prediction, a mask that was begun here, or else
    labels from a file, the truth.
    """
    source = source_of(layer) if layer.ndim == 3 and hasattr(layer.data, "shape") else None
    if source is None:
        return None
    if hasattr(layer, "n_edit_dimensions"):
        if source.labels is None:
            return None  # an image that was converted to labels
        return layer.metadata.get(ROLE) or ("prediction" if source.provenance else "truth")
    return "image" if source.labels is None and layer.visible else None
