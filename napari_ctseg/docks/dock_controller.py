"""What the controllers of all docks share: state, view, followed events and remembered choices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from ctseg_imaging.errors import CtsegError
from napari_ctseg.background import queue
from napari_ctseg.viewer.layers import volume_of
from napari_ctseg.viewer.proxies import unwrapped
from napari_ctseg.viewer.study import study_of

if TYPE_CHECKING:
    import napari
    from _typeshed import DataclassInstance

    from ctseg_imaging.volume import Volume
    from napari_ctseg.preferences import Preferences

State = TypeVar("State", bound="DataclassInstance")
Shown = TypeVar("Shown", contravariant=True)


class DockView(Protocol[Shown]):
    """The part of a view that every dock has."""

    def show(self, state: Shown) -> None:
        """Draw all of `state`."""


class DockController(ABC, Generic[State]):
    """Changes `state`, lets `view` draw it, and follows the viewer until `close`.

    NAME : the dock's section in the preferences. study : which layer is what. A subclass connects what it
    follows with `follow` and overrides `refresh` and `on_close`.
    """

    NAME: ClassVar[str]
    view: DockView[State]

    def __init__(
        self, view: DockView[State], viewer: napari.viewer.Viewer, preferences: Preferences, state: State
    ) -> None:
        self.view, self.viewer, self.state = view, unwrapped(viewer), state
        self.closed = False
        self.study = study_of(self.viewer)
        self._preferences = preferences
        self._connections: list[tuple[Any, Callable[..., None]]] = []

    @abstractmethod
    def refresh(self, event: Any = None) -> None:
        """Bring the state in line with the viewer."""

    def close(self) -> None:
        """Disconnect from the viewer; the view is not drawn from now on."""
        if self.closed:
            return
        self.closed = True
        for event, callback in self._connections:
            event.disconnect(callback)
        self._connections = []
        self.on_close()

    def on_close(self) -> None:
        """What else the dock has to stop or take out of the viewer."""

    def follow(self, callback: Callable[..., None], *events: Any) -> None:
        """Call `callback` at each of these events until the dock closes."""
        for event in events:
            event.connect(callback)
            self._connections.append((event, callback))

    def follow_layers_and_roles(self, *roles: str) -> None:
        """Refresh when a layer is added or removed, or when one of the study's `roles` changes."""
        layers = self.viewer.layers.events
        self.follow(self.refresh, layers.inserted, layers.removed)
        self.follow(self.refresh, *(getattr(self.study.events, role) for role in roles))

    def image_volume(self) -> Volume | None:
        """The volume of the study's image, None without one."""
        name = self.study.image
        if name is None or name not in self.viewer.layers:
            return None
        return volume_of(self.viewer.layers[name])

    def show(self, state: State) -> None:
        """Keep `state` and draw it."""
        self.state = state
        if not self.closed:
            self.view.show(state)

    def update(self, **changes: Any) -> None:
        """Change some fields of the state and draw it."""
        self.show(replace(self.state, **changes))

    def show_error(self, error: Exception, **changes: Any) -> None:
        """Show what went wrong, with its traceback behind the Details button."""
        self.update(message=queue.sentence(error), details=queue.details(error), **changes)

    def remember(self, key: str, value: Any) -> None:
        """Keep a choice for the next session; a fault of the preferences' file becomes the message."""
        try:
            self._preferences.set(self.NAME, key, value)
        except CtsegError as error:
            self.state = replace(self.state, message=str(error))
