"""Boxes that localisers have found in a volume."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctseg_models.contract.lattice import ViewBox


@dataclass(eq=False)
class LocaliserCache:
    """The boxes of one volume, kept by the caller together with it.

    boxes : by a localiser's key, the box around its foreground, mm in the view, without margin; None when it
    found nothing.
    """

    boxes: dict[str, ViewBox | None] = field(default_factory=dict)
