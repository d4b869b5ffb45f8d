"""Decides what the Window dock does: the window of the viewer's image, presets and number keys."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ctseg_imaging.volume import Window
from napari_ctseg.docks.dock_controller import DockController, DockView
from napari_ctseg.docks.window import own_presets
from napari_ctseg.docks.window.presets import Presets, preset_in_force, presets_for, with_keys
from napari_ctseg.docks.window.state import Preset, WindowKind, WindowState
from napari_ctseg.keys import bind_each, release
from napari_ctseg.keys import table as keys
from napari_ctseg.preferences import Preferences
from napari_ctseg.viewer.layers import source_of
from napari_ctseg.viewer.mouse import mouse_of
from napari_ctseg.viewer.mouse.canvas_mouse import set_limits

if TYPE_CHECKING:
    import napari
    from napari.layers import Image


class WindowController(DockController[WindowState]):
    """Follows the viewer's image and its contrast limits. Every change is made on the layer and read back."""

    NAME = "window"

    def __init__(
        self, view: DockView[WindowState], viewer: napari.viewer.Viewer, preferences: Preferences
    ) -> None:
        self._offers: weakref.WeakKeyDictionary[Any, tuple[bool, Presets]] = weakref.WeakKeyDictionary()
        self._followed: weakref.ref[Any] | None = None
        self._own = own_presets.from_settings(preferences.get(self.NAME, "own", []))
        self._mouse = mouse_of(viewer)
        state = WindowState(
            all_images=preferences.get(self.NAME, "all_images", False),
            number_keys=preferences.get(self.NAME, "number_keys", True),
            radiology_mouse=self._mouse.is_on,
            message=preferences.problem,
        )
        super().__init__(view, viewer, preferences, state)
        self.follow_layers_and_roles()
        self.follow(self.refresh, self.viewer.layers.selection.events.active)
        self.follow(self._mouse_changed, self._mouse.changed)
        self._take_right_button()
        bind_each(self.viewer, keys.PRESET, self._pressing(only_when_on=True))
        bind_each(self.viewer, keys.PRESET_ANYWHERE, self._pressing(only_when_on=False))
        self.refresh()

    def on_close(self) -> None:
        """Give the right button's choice of images and the number keys back."""
        self._follow(None)
        self._mouse.targets = self._others_targets
        release(self.viewer, keys.PRESET_ANYWHERE)
        for target in (self.viewer, *self._images()):
            release(target, keys.PRESET)

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
            self.update(image=None, presets=self._own, current=None)
            return
        hu, offered = self._offered(layer)
        low, high = map(float, layer.contrast_limits)
        lowest, highest = map(float, layer.contrast_limits_range)
        presets = with_keys((*offered, *self._own))
        self.update(
            image=layer.name,
            unit="HU" if hu else "",
            presets=presets,
            width=high - low,
            level=(high + low) / 2,
            lowest=lowest,
            highest=highest,
            current=preset_in_force(presets, self.state.current, low, high),
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
            set_limits(layer, *window.limits)
        self.refresh()

    def set_window(self, width: float, level: float) -> None:
        """Width and level from the sliders or the mouse."""
        if (round(width, 6), round(level, 6)) == (round(self.state.width, 6), round(self.state.level, 6)):
            return
        for layer in self._targets():
            set_limits(layer, *Window("", max(width, 1e-6), level).limits)
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
            self.update(message="Give the window a name first.")
            return
        preset = Preset(Window(name, self.state.width, self.state.level), WindowKind.OWN, key)
        self._set_own(own_presets.with_preset(self._own, preset))

    def rename_own(self, name: str, new: str) -> None:
        """Rename an own preset."""
        new = new.strip()
        if not new:
            self.update(message="Give the window a name.")
        elif new != name and any(preset.name == new for preset in self._own):
            self.update(message=f'A window named "{new}" already exists; choose another name.')
        else:
            self._set_own(own_presets.renamed(self._own, name, new))

    def key_own(self, name: str, key: str) -> None:
        """Give an own preset a number key ("" for none); the preset that had the key loses it."""
        self._set_own(own_presets.with_key(self._own, name, key))

    def remove_own(self, name: str) -> None:
        """Remove an own preset."""
        self._set_own(own_presets.without(self._own, name))

    def set_all_images(self, on: bool) -> None:
        """Whether windows apply to every image or to the active one."""
        self._set_toggle("all_images", on)

    def set_number_keys(self, on: bool) -> None:
        """Whether plain 1 to 9 set windows while an image is selected; Alt with the number always does."""
        self._set_toggle("number_keys", on)
        self._take_image_keys()

    def set_radiology_mouse(self, on: bool) -> None:
        """Switch the viewer's radiology mouse, whose right button changes the window."""
        self._mouse.turn(on)

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

    def _offered(self, layer: Image) -> tuple[bool, Presets]:
        """Whether the layer is in HU, and what to offer for it; worked out once a layer."""
        if layer not in self._offers:
            self._offers[layer] = presets_for(layer)
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
            if self.state.number_keys:
                bind_each(layer, keys.PRESET, self._pressing(only_when_on=True))
            else:
                release(layer, keys.PRESET)

    def _pressing(self, *, only_when_on: bool) -> Callable[[str], None]:
        mine = weakref.ref(self)

        def press(key: str) -> None:
            controller = mine()
            if controller is not None and (controller.state.number_keys or not only_when_on):
                controller.press(key[-1])

        return press

    def _take_right_button(self) -> None:
        """The right button sets the window of the images that the dock's own controls set."""
        mine, self._others_targets = weakref.ref(self), self._mouse.targets
        self._mouse.targets = lambda: [] if (controller := mine()) is None else controller._targets()

    def _mouse_changed(self, on: bool) -> None:
        self.update(radiology_mouse=on)

    def _set_own(self, own: Presets) -> None:
        self._own = own
        self.state = replace(self.state, message="")
        self.remember("own", own_presets.as_settings(own))
        self.refresh()

    def _set_toggle(self, field: str, on: bool) -> None:
        self.state = replace(self.state, message="", **{field: on})  # type: ignore[arg-type]
        self.remember(field, on)
        self.refresh()
