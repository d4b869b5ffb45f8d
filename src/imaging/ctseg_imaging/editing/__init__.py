"""Operations on one label's mask: bool (z, y, x) in, bool (z, y, x) out; nothing is changed in place."""

from ctseg_imaging.editing.components import component_at, components_by_size
from ctseg_imaging.editing.geodesic import nearest_seed
from ctseg_imaging.editing.interpolate import fill_between
from ctseg_imaging.editing.morphology import drop_islands, fill_holes, grow, shrink, smooth
from ctseg_imaging.editing.seeds import INSIDE, OUTSIDE, box_of_seeds, grow_from_seeds
from ctseg_imaging.editing.volume_threshold import VolumeThreshold, around_mask

__all__ = [
    "INSIDE",
    "OUTSIDE",
    "VolumeThreshold",
    "around_mask",
    "box_of_seeds",
    "component_at",
    "components_by_size",
    "drop_islands",
    "fill_between",
    "fill_holes",
    "grow",
    "grow_from_seeds",
    "nearest_seed",
    "shrink",
    "smooth",
]
