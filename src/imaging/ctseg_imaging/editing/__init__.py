"""Operations on one label's mask: bool (z, y, x) in, bool (z, y, x) out; nothing is changed in place."""

from ctseg_imaging.editing.interpolate import fill_between
from ctseg_imaging.editing.morphology import drop_islands, fill_holes, grow, shrink, smooth

__all__ = ["drop_islands", "fill_between", "fill_holes", "grow", "shrink", "smooth"]
