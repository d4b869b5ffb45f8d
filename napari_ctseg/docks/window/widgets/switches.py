"""The switches of the Window dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ctseg.docks.widgets import form

if TYPE_CHECKING:
    from napari_ctseg.docks.window.controller import WindowController
    from napari_ctseg.docks.window.state import WindowState

ALL_IMAGES = "Applies the window to every open image of the same kind, not only to the one above."
NUMBER_KEYS = (
    "While an image is selected and the canvas has the focus, 1 to 9 set the window (1 and 2 then no longer "
    "switch napari's pan and transform modes). On labels and shapes the numbers stay napari's. "
    "Alt+1 to Alt+9 always work."
)
MOUSE = (
    "Drag with the right button: left and right change the width, up and down the level. Off, the right "
    "button zooms as napari does."
)


class Switches(form.Form):
    """Which images a window applies to, and what sets it."""

    def __init__(self) -> None:
        self.all_images = form.check("all_images", "Apply to all images", ALL_IMAGES)
        self.number_keys = form.check("number_keys", "Number keys 1–9", NUMBER_KEYS)
        self.mouse = form.check("mouse", "Radiology mouse", MOUSE)
        super().__init__(self.all_images, self.number_keys, self.mouse, labels=False)

    def connect_to(self, controller: WindowController) -> None:
        """Pass clicks on to `controller`."""
        self.all_images.changed.connect(controller.set_all_images)
        self.number_keys.changed.connect(controller.set_number_keys)
        self.mouse.changed.connect(controller.set_radiology_mouse)

    def draw(self, state: WindowState) -> None:
        """Show which of them are on."""
        form.show(self.all_images, state.all_images)
        form.show(self.number_keys, state.number_keys)
        form.show(self.mouse, state.radiology_mouse)
