"""Study: which layer of the viewer is image, truth, prediction and edited mask. State and signals, no widgets."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import SignalGroupDescriptor

from napari_ctseg.layers import slice_of, source_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

ROLES = ("image", "truth", "prediction", "edited")


@dataclass
class Study:
    """Layer names by role (None: none yet) and the image's axial slice under the cursor; `events.<field>` tells of every change."""

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
        self._viewer = weakref.ref(viewer)
        self._names: dict[int, str] = {}
        for layer in viewer.layers:
            self._watch(layer)
        viewer.layers.events.inserted.connect(self._inserted)
        viewer.layers.events.removed.connect(self._removed)
        viewer.dims.events.current_step.connect(self._moved)

    def _inserted(self, event: Any) -> None:
        self._watch(event.value)

    def _watch(self, layer: Layer) -> None:
        self._names[id(layer)] = layer.name
        layer.events.name.connect(self._renamed)
        if (role := _natural_role(layer)) is not None and (getattr(self.study, role) is None or role == "prediction"):
            setattr(self.study, role, layer.name)
        self._moved()

    def _removed(self, event: Any) -> None:
        layer = event.value
        layer.events.name.disconnect(self._renamed)
        name = self._names.pop(id(layer), layer.name)
        for role in self.study.roles_of(name):
            setattr(self.study, role, None)

    def _renamed(self, event: Any) -> None:
        layer = event.source
        before, self._names[id(layer)] = self._names.get(id(layer), layer.name), layer.name
        for role in self.study.roles_of(before):
            setattr(self.study, role, layer.name)

    def _moved(self, event: Any = None) -> None:
        viewer = self._viewer()
        if viewer is not None and self.study.image is not None and self.study.image in viewer.layers:
            self.study.cursor_slice = slice_of(viewer, viewer.layers[self.study.image])


_BINDINGS: weakref.WeakKeyDictionary[Any, _Binding] = weakref.WeakKeyDictionary()


def study_of(viewer: napari.viewer.Viewer) -> Study:
    """The one Study of a viewer; made, and bound to the viewer's layers and slider, at the first call."""
    if viewer not in _BINDINGS:
        _BINDINGS[viewer] = _Binding(viewer)
    return _BINDINGS[viewer].study


def _natural_role(layer: Layer) -> str | None:
    """What a new layer is taken for: an image, a model's prediction, or else labels from a file, the truth."""
    source = source_of(layer) if layer.ndim == 3 and hasattr(layer.data, "shape") else None
    if source is None:
        return None
    if source.labels is None:
        return "image" if layer.visible else None
    return "prediction" if source.provenance else "truth"
