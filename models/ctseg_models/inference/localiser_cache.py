"""What has been found in a volume and need not be looked for again."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctseg_models.contract.lattice import ViewBox


@dataclass(eq=False)
class LocaliserCache:
    """Of one volume, which the caller keeps together with this. boxes : by a localiser's key, the box
    around what it found, mm in the view, without its margin; None when it found nothing.
    """

    boxes: dict[str, ViewBox | None] = field(default_factory=dict)
