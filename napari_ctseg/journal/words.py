"""The texts about saved masks. They never identify a patient."""

from __future__ import annotations

from datetime import timedelta

from napari_ctseg.journal import folder
from napari_ctseg.journal.replay import Summary

MOST_NAMES = 4
IN_USE = (
    "This image is being edited in another viewer (process {pid}); its label layers are read-only here. "
    "Close the other viewer, or take over."
)


def steps(count: int) -> str:
    """The number of steps; an undo counts as one, as it changed the mask."""
    return "1 step" if count == 1 else f"{count} steps"


def kept(one: folder.Kept, is_open: bool) -> str:
    """The lines about one mask in the list. is_open : whether its image or file is open."""
    what = "damaged" if one.steps is None else steps(one.steps)
    lines = [f"{one.when:%d %b %Y, %H:%M} · {what}"]
    if one.holds is not None:
        lines += [_grid(one.holds), _classes(one.holds)]
    if one.is_discarded:
        lines.append(f"discarded; deleted after {one.when + timedelta(days=folder.DAYS_DISCARDED):%d %b %Y}")
    else:
        lines.append("of the open image" if is_open else "its image is not open")
    return "\n".join(lines)


def room(used: int, limit: int) -> str:
    """How full the folder is; both numbers in bytes."""
    if used > limit:
        return (
            f"The recovery folder takes {used / 1024**2:.0f} MB, more than its limit of "
            f"{limit / 1024**2:.0f} MB: export and discard what you do not need (Plugins > CT segmentation > "
            "Recovery), or raise the limit there. Nothing has been deleted."
        )
    return (
        f"The recovery folder takes {used / 1024**2:.0f} MB. Discarded masks are deleted after "
        f"{folder.DAYS_DISCARDED} days, or once it takes more than {limit / 1024**2:.0f} MB."
    )


def _grid(holds: Summary) -> str:
    shape = " × ".join(str(n) for n in reversed(holds.geometry.shape))
    spacing = " × ".join(f"{mm:.3g}" for mm in reversed(holds.geometry.spacing_mm))
    return f"{shape} voxels of {spacing} mm"


def _classes(holds: Summary) -> str:
    names = [label.name for label in holds.labels]
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
