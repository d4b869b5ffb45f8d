"""The tools of the Correct dock: napari's own with the brush's size in mm, locked classes and HU limits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ctseg_imaging.geometry import Match
from napari_ctseg.docks.correct.mask_dock import MaskDock
from napari_ctseg.docks.correct.state import BrushState, Tool
from napari_ctseg.viewer.layers import source_of
from napari_ctseg.viewer.painting import BrushRules

if TYPE_CHECKING:
    from napari.layers import Labels as LabelsLayer


class Brush:
    """Sets napari's tools on the dock's mask, and shows what napari's own controls set."""

    def __init__(self, dock: MaskDock) -> None:
        self._dock = dock

    def set_tool(self, tool: Tool) -> None:
        """Take up one of napari's tools; the mask becomes the active layer, so the mouse and the keys
        reach it.
        """
        dock = self._dock
        if dock.layer is not None and not dock.state.mask.locked:
            dock.viewer.layers.selection.active = dock.layer
            dock.layer.mode = tool.value

    def set_diameter(self, diameter_mm: float) -> None:
        """The brush's diameter, rounded to whole voxels of the finer axis as in napari."""
        if self._dock.layer is not None:
            self._dock.layer.brush_size = max(1, round(diameter_mm / self._dock.state.brush.step_mm))
        self._dock.remember("brush_mm", float(diameter_mm))

    def restore_diameter(self, layer: LabelsLayer) -> None:
        """Give a newly followed layer the diameter that the dock shows."""
        layer.brush_size = max(1, round(self._dock.state.brush.diameter_mm / finest_voxel_mm(layer)))

    def set_3d(self, on: bool) -> None:
        """A ball over the neighbouring slices instead of a disc in this one."""
        if self._dock.layer is not None:
            self._dock.layer.n_edit_dimensions = 3 if on else 2

    def set_only_background(self, on: bool) -> None:
        """napari's "preserve labels": a brush takes voxels from the background only."""
        if self._dock.layer is not None:
            self._dock.layer.preserve_labels = on

    def select(self, value: int) -> None:
        """Paint this class."""
        if self._dock.layer is not None:
            self._dock.layer.selected_label = value

    def lock(self, value: int, on: bool) -> None:
        """A locked class neither gains nor loses a voxel, by any tool, operation or undo."""
        if self._dock.followed is not None:
            painting = self._dock.followed.painting
            locked = painting.rules.locked | {value} if on else painting.rules.locked - {value}
            painting.rules = replace(painting.rules, locked=locked)
            self._dock.show_numbers()

    def set_hu_limits(self, on: bool, low_hu: float, high_hu: float) -> None:
        """The brush changes only voxels whose HU lie within, ends included."""
        low_hu, high_hu = min(low_hu, high_hu), max(low_hu, high_hu)
        self._dock.update(hu=replace(self._dock.state.hu, on=on, low_hu=low_hu, high_hu=high_hu))
        self._dock.remember("window_low_hu", float(low_hu))
        self._dock.remember("window_high_hu", float(high_hu))
        self.apply_rules()

    def apply_rules(self) -> None:
        """Bring the HU limits of the mask's painting in line with the state."""
        if self._dock.followed is None:
            return
        hu, painting = self._dock.state.hu, self._dock.followed.painting
        name = self._dock.study.image
        if not hu.on or hu.why_not or not name:
            painting.rules = BrushRules(painting.rules.locked)
            return
        limits = (hu.low_hu, hu.high_hu)
        painting.rules = BrushRules(painting.rules.locked, limits, self._dock.viewer.layers[name].data)

    def hu_why_not(self, name: str | None) -> str:
        """Why the brush on the mask `name` cannot be limited to HU, "" when it can."""
        layers, image = self._dock.viewer.layers, self._dock.study.image
        if image is None or image not in layers:
            return "Open an image first."
        if name is None:
            return "Choose a mask first."
        ours, theirs = source_of(layers[name]), source_of(layers[image])
        same = (Match.SAME, Match.ROUNDING)
        if ours is None or theirs is None or theirs.shown.matches(ours.shown) not in same:
            return "Image and mask have different grids, so the brush cannot be limited by image values."
        return ""

    def show(self) -> None:
        """Show what the layer's controls are set to, by this dock or by napari."""
        if (layer := self._dock.layer) is None:
            return
        step = finest_voxel_mm(layer)
        brush = BrushState(
            tool=Tool(str(layer.mode)) if str(layer.mode) in set(Tool) else None,
            diameter_mm=layer.brush_size * step,
            step_mm=step,
            in_3d=layer.n_edit_dimensions == 3,
            only_background=bool(layer.preserve_labels),
        )
        classes = replace(self._dock.state.classes, selected=int(layer.selected_label))
        self._dock.update(brush=brush, classes=classes)


def finest_voxel_mm(layer: LabelsLayer) -> float:
    """The voxel size in mm that napari's brush counts in: the finer one of the axes that are shown."""
    axes = getattr(layer, "__wrapped__", layer)._slice_input.displayed[-2:]
    return float(min(abs(layer.scale[axis]) for axis in axes))
