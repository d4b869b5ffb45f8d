"""File > Open Sample: a procedural abdominal CT with its exact labels."""

from __future__ import annotations

from napari_ctseg.recovery import autosave
from napari_ctseg.viewer import orientation, study
from napari_ctseg.viewer.layers import LayerData, label_data, volume_data

SEED = 4
SHAPE_ZYX = (128, 112, 112)
SPACING_ZYX_MM = (3.0, 3.0, 3.0)


def phantom() -> list[LayerData]:
    """The phantom CT and its organs; made on the spot, the same every time."""
    from ctseg_imaging.phantom import abdomen

    orientation.attach_current()
    study.follow_current()
    autosave.attach_current()
    case = abdomen(SEED, SHAPE_ZYX, SPACING_ZYX_MM)
    return [*volume_data(case.image, "phantom CT"), label_data(case.labels, "phantom organs")]
