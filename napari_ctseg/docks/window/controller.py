"""Decides what the Window dock does: which windows are offered, what they apply to, keys, mouse, and the
person's own presets.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.volume import Volume, Window
from ctseg_imaging.windowing import MR_QUANTILES, PAPER3_QUANTILES, PRESETS, is_hu, quantile_window
from napari_ctseg.docks.window.state import Preset, WindowKind, WindowState
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.layers import source_of, volume_of
from napari_ctseg.viewer.proxies import unwrapped

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

DOCK = "window"
KEYS = tuple("123456789")
QUANTILES = {"0.5–99.5 %": MR_QUANTILES, "60–99 %": PAPER3_QUANTILES}
PIXELS_PER_FOLD = (
    200.0  # of mouse drag to make the window e times as wide, or to move its level by a window's width
)


class WindowView(Protocol):
    """The seam to Qt."""

    def show(self, state: WindowState) -> None:
        """Draw all of `state`."""


class WindowController:
    """Follows the viewer's image and its contrast limits; every change goes through the layer, so both ways
    are one.
    """

    def __init__(self, view: WindowView, viewer: napari.viewer.Viewer, preferences: Preferences) -> None:
        viewer = unwrapped(viewer)
        self.view, self.viewer, self._preferences = view, viewer, preferences
        self._offers: weakref.WeakKeyDictionary[Any, tuple[bool, tuple[Preset, ...]]] = (
            weakref.WeakKeyDictionary()
        )
        self._followed: weakref.ref[Any] | None = None
        self._own = _own_from(preferences.get(DOCK, "own", []))
        self.state = WindowState(
            all_images=preferences.get(DOCK, "all_images", False),
            number_keys=preferences.get(DOCK, "number_keys", True),
            radiology_mouse=preferences.get(DOCK, "radiology_mouse", False),
            message=preferences.problem,
        )
        viewer.layers.events.inserted.connect(self.refresh)
        viewer.layers.events.removed.connect(self.refresh)
        viewer.layers.selection.events.active.connect(self.refresh)
        viewer.mouse_drag_callbacks.append(self._drag)
        for key in KEYS:
            viewer.bind_key(key, self._pressing(key, only_when_on=True), overwrite=True)
            viewer.bind_key(f"Alt-{key}", self._pressing(key, only_when_on=False), overwrite=True)
        self.refresh()

    # ---- what is there

    def image(self) -> Image | None:
        """The image that the dock speaks of: the active one, else the one it spoke of, else the topmost
        visible one.
        """
        images = list(self._images())
        active = self.viewer.layers.selection.active
        followed = self._followed() if self._followed is not None else None
        visible = [layer for layer in reversed(images) if layer.visible]
        return next(
            (
                layer
                for layer in (active, followed, *visible, *images)
                if layer is not None and layer in images
            ),
            None,
        )

    def refresh(self, event: Any = None) -> None:
        """Bring the state in line with the viewer."""
        layer = self.image()
        self._follow(layer)
        if layer is None:
            self._show(replace(self.state, image=None, presets=self._own, current=None))
            return
        hu, offered = self._offered(layer)
        low, high = map(float, layer.contrast_limits)
        lowest, highest = map(float, layer.contrast_limits_range)
        presets = _keys_given((*offered, *self._own))
        self._show(
            replace(
                self.state,
                image=layer.name,
                unit="HU" if hu else "",
                presets=presets,
                width=high - low,
                level=(high + low) / 2,
                lowest=lowest,
                highest=highest,
                current=_in_force(presets, self.state.current, low, high),
            )
        )

    # ---- what the user does

    def apply(self, kind: WindowKind, name: str) -> None:
        """Set the window called `name`; a quantile window is worked out for each image on its own."""
        found = next(
            (preset for preset in self.state.presets if (preset.kind, preset.name) == (kind, name)), None
        )
        if found is None:
            return
        self.state = replace(self.state, current=(kind, name))
        for layer in self._targets():
            window = found.window
            if kind is WindowKind.QUANTILE:
                window = next(
                    preset.window
                    for preset in self._offered(layer)[1]
                    if (preset.kind, preset.name) == (kind, name)
                )
            _set_limits(layer, window)
        self.refresh()

    def set_window(self, width: float, level: float) -> None:
        """Width and level from the sliders or the mouse."""
        if (round(width, 6), round(level, 6)) == (round(self.state.width, 6), round(self.state.level, 6)):
            return
        for layer in self._targets():
            _set_limits(layer, Window("", max(width, 1e-6), level))
        self.refresh()

    def press(self, key: str) -> bool:
        """Apply the window of a number key; the last one given a key wins, so an own preset takes it. False
        if none has it.
        """
        found = next((preset for preset in self.state.presets if preset.key == key), None)
        if found is not None and self.state.image is not None:
            self.apply(found.kind, found.name)
        return found is not None

    def keep_own(self, name: str, key: str = "") -> None:
        """Keep width and level as an own preset."""
        name = name.strip()
        if not name:
            self._show(replace(self.state, message="Give the window a name first."))
            return
        others = tuple(
            preset for preset in self._own if preset.name != name and (not key or preset.key != key)
        )
        cleared = tuple(
            replace(preset, key="")
            for preset in self._own
            if key and preset.key == key and preset.name != name
        )
        self._set_own(
            (*others, *cleared, Preset(Window(name, self.state.width, self.state.level), WindowKind.OWN, key))
        )

    def rename_own(self, name: str, new: str) -> None:
        """Call an own preset otherwise."""
        new = new.strip()
        if not new or (new != name and any(preset.name == new for preset in self._own)):
            message = f'"{new}" is already there; choose another name.' if new else "Give the window a name."
            self._show(replace(self.state, message=message))
            return
        self._set_own(
            tuple(replace(p, window=replace(p.window, name=new)) if p.name == name else p for p in self._own)
        )

    def key_own(self, name: str, key: str) -> None:
        """Give an own preset a number key ("" for none); it is taken from whatever had it."""
        self._set_own(
            tuple(replace(p, key=key if p.name == name else "" if p.key == key else p.key) for p in self._own)
        )

    def remove_own(self, name: str) -> None:
        """Forget an own preset."""
        self._set_own(tuple(preset for preset in self._own if preset.name != name))

    def set_all_images(self, on: bool) -> None:
        """Whether windows apply to every image or to the active one."""
        self._remember("all_images", on)

    def set_number_keys(self, on: bool) -> None:
        """Whether plain 1 to 9 set windows while an image is selected; Alt with the number always does."""
        self._remember("number_keys", on)
        self._take_image_keys()

    def set_radiology_mouse(self, on: bool) -> None:
        """Whether dragging with the right button changes the window."""
        self._remember("radiology_mouse", on)

    # ---- inside

    def _images(self) -> Iterator[Image]:
        from napari.layers import Image

        for layer in self.viewer.layers:
            if isinstance(layer, Image) and not layer.rgb and layer.ndim == 3:
                yield layer

    def _targets(self) -> list[Image]:
        """The images a window applies to: of "all", those of the same kind of values, so no edge map
        gets a bone window.
        """
        layer = self.image()
        if layer is None:
            return []
        if not self.state.all_images:
            return [layer]
        unit = self._offered(layer)[0]
        return [
            one
            for one in self._images()
            if one is layer or (source_of(one) is not None and self._offered(one)[0] == unit)
        ]

    def _offered(self, layer: Image) -> tuple[bool, tuple[Preset, ...]]:
        """Whether the layer is in HU, and what to offer for it; worked out once a layer."""
        if layer not in self._offers:
            self._offers[layer] = _offers_for(layer)
        return self._offers[layer]

    def _follow(self, layer: Image | None) -> None:
        before = self._followed() if self._followed is not None else None
        if before is layer:
            return
        if before is not None:
            before.events.contrast_limits.disconnect(self.refresh)
            before.events.name.disconnect(self.refresh)
        self._followed = None if layer is None else weakref.ref(layer)
        if layer is not None:
            layer.events.contrast_limits.connect(self.refresh)
            layer.events.name.connect(self.refresh)
        self._take_image_keys()

    def _take_image_keys(self) -> None:
        """On image layers napari uses 1 and 2 itself; while the toggle is on they set windows there."""
        for layer in self._images():
            for key in KEYS:
                layer.bind_key(
                    key,
                    self._pressing(key, only_when_on=True) if self.state.number_keys else None,
                    overwrite=True,
                )

    def _pressing(self, key: str, *, only_when_on: bool) -> Any:
        mine = weakref.ref(self)

        def press(_: Any) -> None:
            controller = mine()
            if controller is not None and (controller.state.number_keys or not only_when_on):
                controller.press(key)

        return press

    def _drag(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        """Right button: across for the width, down for the level; napari's own zoom by the right button rests
        meanwhile.
        """
        if not self.state.radiology_mouse or event.button != 2 or self.state.image is None:
            return
        camera, before = viewer.scene.camera, viewer.scene.camera.mouse_zoom
        camera.mouse_zoom = False
        start, width, level = np.array(event.pos, float), self.state.width, self.state.level
        yield
        while event.type == "mouse_move":
            across, down = np.array(event.pos, float) - start
            self.set_window(
                width * math.exp(across / PIXELS_PER_FOLD), level + width * down / PIXELS_PER_FOLD
            )
            yield
        camera.mouse_zoom = before

    def _set_own(self, own: tuple[Preset, ...]) -> None:
        self._own = own
        self.state = replace(self.state, message="")
        kept = [{"name": p.name, "width": p.window.width, "level": p.window.level, "key": p.key} for p in own]
        self._keep("own", kept)
        self.refresh()

    def _remember(self, field: str, on: bool) -> None:
        self.state = replace(self.state, message="", **{field: on})  # type: ignore[arg-type]
        self._keep(field, on)
        self.refresh()

    def _keep(self, key: str, value: Any) -> None:
        try:
            self._preferences.set(DOCK, key, value)
        except CtsegError as error:
            self.state = replace(self.state, message=str(error))

    def _show(self, state: WindowState) -> None:
        self.state = state
        self.view.show(state)


def _offers_for(layer: Image) -> tuple[bool, tuple[Preset, ...]]:
    try:
        volume: Volume = volume_of(layer)
    except CtsegError:  # turned or sheared by hand: its values are still good for windows
        return False, _quantiles(np.asarray(layer.data))
    hu = is_hu(volume)
    own = [Preset(window, WindowKind.FILE) for window in volume.windows]
    known = (
        [Preset(window, WindowKind.PRESET, key) for window, key in zip(PRESETS, KEYS, strict=True)]
        if hu
        else []
    )
    return hu, (*own, *known, *_quantiles(volume.array))


def _quantiles(array: Any) -> tuple[Preset, ...]:
    return tuple(
        Preset(quantile_window(array, low, high, name), WindowKind.QUANTILE)
        for name, (low, high) in QUANTILES.items()
    )


def _keys_given(presets: tuple[Preset, ...]) -> tuple[Preset, ...]:
    """An own preset's key is taken from the preset that had it; where there are no CT presets, the numbers go
    down the list.
    """
    if not any(preset.kind is WindowKind.PRESET for preset in presets):
        free = iter([key for key in KEYS if key not in {p.key for p in presets}])
        return tuple(
            preset if preset.key or preset.kind is WindowKind.OWN else replace(preset, key=next(free, ""))
            for preset in presets
        )
    taken = {preset.key for preset in presets if preset.kind is WindowKind.OWN and preset.key}
    return tuple(
        replace(p, key="") if p.kind is not WindowKind.OWN and p.key in taken else p for p in presets
    )


def _in_force(
    presets: tuple[Preset, ...], last: tuple[WindowKind, str] | None, low: float, high: float
) -> tuple[WindowKind, str] | None:
    """The preset that the limits are, the last one chosen if several are."""
    fitting = [
        (p.kind, p.name)
        for p in presets
        if np.allclose(p.window.limits, (low, high), atol=max(1e-6, 1e-4 * (high - low)))
    ]
    return last if last in fitting else fitting[0] if fitting else None


def _set_limits(layer: Image, window: Window) -> None:
    """Set limits, making room in the layer's range first: napari cuts them off otherwise."""
    low, high = window.limits
    lowest, highest = layer.contrast_limits_range
    layer.contrast_limits_range = (min(low, lowest), max(high, highest))
    layer.contrast_limits = (low, high)


def _own_from(kept: list[Any]) -> tuple[Preset, ...]:
    """Own presets from the settings; entries that are none are left out."""
    found = []
    for entry in kept:
        if isinstance(entry, dict) and {"name", "width", "level"} <= set(entry):
            key = str(entry.get("key", ""))
            window = Window(str(entry["name"]), float(entry["width"]), float(entry["level"]))
            found.append(Preset(window, WindowKind.OWN, key if key in KEYS else ""))
    return tuple(found)
