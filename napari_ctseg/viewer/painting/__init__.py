"""What a brush may change in a Labels layer, which slices it changed, and how that is undone."""

from napari_ctseg.viewer.painting.brush_rules import BrushRules
from napari_ctseg.viewer.painting.painting import Painting, edits_of
from napari_ctseg.viewer.painting.set_mask import set_mask
from napari_ctseg.viewer.painting.set_values import NewValues, set_values

__all__ = ["BrushRules", "NewValues", "Painting", "edits_of", "set_mask", "set_values"]
