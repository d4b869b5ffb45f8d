"""Decides what the Measure dock does: the image, the tool in hand, navigation, files and the mask's
labels.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ctseg_imaging.errors import CtsegError, FormatError, GeometryError
from ctseg_imaging.formats.disk.atomic import refuse_sources
from ctseg_imaging.measurements import Kind, read, record, shapes_on, write
from napari_ctseg.background.threads import ThreadedCall, run_in_thread
from napari_ctseg.docks.dock_controller import DockController, DockView
from napari_ctseg.docks.measure import choosing, words
from napari_ctseg.docks.measure.mask_values import MaskValues
from napari_ctseg.docks.measure.measured_image import MeasuredImage
from napari_ctseg.docks.measure.pointer import Pointer
from napari_ctseg.docks.measure.rows import differing, label_rows
from napari_ctseg.docks.measure.sheet import Sheet
from napari_ctseg.docks.measure.state import MeasureState
from napari_ctseg.viewer.layers import go_to_slice
from napari_ctseg.viewer.orientation import show_plane
from napari_ctseg.viewer.study import ROLES, open_sources

if TYPE_CHECKING:
    import napari

    from napari_ctseg.preferences import Preferences


class MeasureView(DockView[MeasureState], Protocol):
    """What the controller needs of the view."""

    def show_probe(self, text: str) -> None:
        """The value under the cursor; nothing else changed."""

    def zoomed(self) -> None:
        """Call the sheet's `fit_zoom` once the zoom has come to rest."""


class MeasureController(DockController[MeasureState]):
    """sheet : the image that is measured, and the shapes on it. pointer : the mouse. mask : its labels."""

    NAME = "measure"
    view: MeasureView

    def __init__(
        self,
        view: MeasureView,
        viewer: napari.viewer.Viewer,
        preferences: Preferences,
        aside: ThreadedCall = run_in_thread,
    ) -> None:
        state = MeasureState(keep_tool=preferences.get(self.NAME, "keep_tool", False))
        super().__init__(view, viewer, preferences, state)
        self._visible = False
        self.sheet = Sheet(self.viewer, self._show_sheet, self._finished)
        self.mask = MaskValues(aside, self._show_labels, self.show_error)
        self.pointer = Pointer(self.viewer, self.sheet)
        self.follow_layers_and_roles(*ROLES)
        self.follow(self._activated, self.viewer.layers.selection.events.active)
        dims = self.viewer.dims.events
        self.follow(self._turned, dims.current_step, dims.order, dims.ndisplay)
        self.follow(self._hovered, self.viewer.cursor.events.position)
        self.follow(self._zoomed, self.viewer.scene.camera.events.zoom)
        self.refresh()

    def on_close(self) -> None:
        """Give the mouse and the keys back; the layer of measurements stays."""
        self.stop_drawing()
        self.pointer.close()
        self.mask.close()
        if self.sheet.layer is not None:
            choosing.release_keys(self.sheet.layer.layer)
        self.sheet.close()

    # ---- what is there

    def refresh(self, event: Any = None) -> None:
        """Bring image, layer and mask in line with the viewer."""
        before = self.sheet.image
        chosen = choosing.image(self.viewer, self.study, None if before is None else before.layer)
        if before is None or before.layer is not chosen or not before.is_current():
            self._take_image(chosen)
        if self.sheet.find_layer() and self.sheet.layer is not None:
            choosing.bind_keys(self.sheet.layer.layer, self)
        mask = choosing.mask(self.viewer, self.study)
        self.mask.follow(mask, None if self.sheet.image is None else self.sheet.image.stored)
        self.state = replace(self.state, mask=None if mask is None else mask.name)
        self._show_sheet()
        self._show_labels()

    def _take_image(self, layer: Any) -> None:
        self.stop_drawing()
        self.sheet.image, refused = None, ""
        if layer is not None:
            try:
                self.sheet.image = MeasuredImage(layer)
            except CtsegError as error:
                refused = str(error)
        self.sheet.measure()
        if self.sheet.image is None:
            self.sheet.tool = None
        unit = "" if self.sheet.image is None else self.sheet.image.unit
        name = None if layer is None else layer.name
        self.state = replace(self.state, image=name, refused=refused, unit=unit)

    # ---- the tools

    def arm(self, tool: Kind | None) -> None:
        """Take a tool, or none; the tool in hand a second time puts it away."""
        self.stop_drawing()
        if tool is None or tool is self.sheet.tool or self.state.why_not:
            self.sheet.tool = None
            self.viewer.cursor.style = "standard"
            self.update(tool=None, message=self.state.why_not if tool is not None else "")
            return
        is_new = self.sheet.layer is None
        layer = self.sheet.make_layer().layer
        if is_new:
            choosing.bind_keys(layer, self)
        layer.mode, layer.visible = "pan_zoom", True
        self.viewer.layers.selection.active = layer
        self.viewer.dims.ndisplay = 2
        self.viewer.cursor.style = "cross"
        self.sheet.tool = tool
        self.update(tool=tool, message="", details="")

    def set_keep_tool(self, on: bool) -> None:
        """Whether a tool stays in hand after a measurement."""
        self.remember("keep_tool", on)
        self.update(keep_tool=on)

    def stop_drawing(self) -> None:
        """Take back the shape that is being drawn."""
        self.pointer.stop()
        self.sheet.cancel()

    def escape(self) -> None:
        """Take back what is being drawn; with nothing begun, put the tool away."""
        if self.sheet.drawing.under_way:
            self.stop_drawing()
        else:
            self.arm(None)

    def delete(self, number: int | None = None) -> None:
        """Remove a shape: the one given or the selected one; of a polygon being drawn the last corner."""
        if self.pointer.step_back():
            return
        number = self.sheet.selected if number is None else number
        if number is not None and number < len(self.sheet.rows):
            self.sheet.remove(number)

    def undo(self) -> None:
        """Take back the last step."""
        self.pointer.stop()
        self.sheet.undo()

    def go_to(self, number: int) -> None:
        """Select a shape and show its slice."""
        image = self.sheet.image
        if image is None or number >= len(self.sheet.rows):
            return
        shape = self.sheet.drawing.shapes[number]
        plane = image.plane(self.viewer)
        if plane is None or plane.axis != shape.axis:
            show_plane(self.viewer, words.PLANES[shape.axis])
        go_to_slice(self.viewer, image.layer, shape.index, shape.axis)
        if self.sheet.layer is not None:
            self.viewer.layers.selection.active = self.sheet.layer.layer
        self.sheet.select(number)

    # ---- files

    def save(self, path: Path, overwrite: bool = True) -> None:
        """Write all measurements as .csv or .json; the file dialog has asked about overwriting."""
        image = self.sheet.image
        if image is None or self.state.why_not_save:
            self.update(message=self.state.why_not_save)
            return
        try:
            refuse_sources(path, open_sources())
            shapes = [image.kept(shape) for shape in self.sheet.drawing.shapes]
            write(path, record(image.stored, shapes, self.mask.values or ()), overwrite)
        except CtsegError as error:
            self.show_error(error)
            return
        self.update(message=f"Written: {path.name}", details="")

    def open(self, path: Path) -> None:
        """Add the measurements of a file to those on the image: one undo step."""
        image = self.sheet.image
        if image is None:
            self.update(message=self.state.why_not)
            return
        try:
            kept = read(path)
            shapes = shapes_on(kept, image.shown.geometry)
        except GeometryError as error:
            self.show_error(FormatError(f"{path}: {error}"))
            return
        except CtsegError as error:
            self.show_error(error)
            return
        self.stop_drawing()
        is_new = self.sheet.layer is None
        self.sheet.add(shapes)
        if is_new and self.sheet.layer is not None:
            choosing.bind_keys(self.sheet.layer.layer, self)
        again = [image.measure(shape) for shape in shapes]
        self.update(message=differing([values for _, values in kept.shapes], again), details="")

    # ---- inside

    def set_visible(self, visible: bool) -> None:
        """Whether the dock is seen; hidden, it neither counts labels nor reads values under the cursor."""
        self._visible = visible and not self.closed
        self.mask.set_awake(self._visible)
        if self._visible:
            self._show_labels()

    def _turned(self, event: Any = None) -> None:
        """Steps also change where the slider only begins elsewhere."""
        if self.sheet.turned_away:
            self.stop_drawing()

    def _hovered(self, event: Any = None) -> None:
        if self._visible:
            self.view.show_probe(choosing.probe(self.viewer, self.sheet.image))

    def _zoomed(self, event: Any = None) -> None:
        self.view.zoomed()

    def _activated(self, event: Any = None) -> None:
        """Another layer is in hand: a tool would draw on that one."""
        if self.sheet.tool is not None and not self.sheet.in_front:
            self.arm(None)
        self.refresh()

    def _finished(self) -> None:
        """A shape is complete: its tool is put away unless it is kept."""
        if self.sheet.tool is not None and not self.state.keep_tool:
            self.arm(None)

    def _show_sheet(self) -> None:
        drawing = self.sheet.drawing
        self.update(
            tool=self.sheet.tool,
            rows=self.sheet.rows,
            selected=self.sheet.selected,
            can_undo=drawing.can_undo or drawing.under_way,
        )

    def _show_labels(self) -> None:
        rows = label_rows(self.mask.mask, self.mask.values or (), self.state.unit)
        self.update(labels=rows, counting=self.mask.counting, labels_note=self.mask.note)
