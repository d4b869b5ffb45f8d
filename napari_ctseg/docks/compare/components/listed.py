"""What the list of components shows, and how it is made from a counted pair."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ctseg_imaging.geometry import Geometry, Triple
from ctseg_imaging.metrics.boxes import label_boxes
from ctseg_imaging.metrics.components import Component, islands_and_holes, lesions
from ctseg_imaging.metrics.surfaces import BoolArray
from napari_ctseg.viewer.pairs import Counted

SHOWN = 300  # rows; a noisy map has thousands of components


class ListKind(StrEnum):
    """What is listed."""

    LESIONS = "Lesions: missed, false, found"
    PIECES = "Islands and holes of organs"


@dataclass(frozen=True)
class ListedComponent:
    """A component with its label. centroid_lps_mm : (x, y, z)."""

    component: Component
    value: int
    name: str
    colour: str
    centroid_lps_mm: Triple


@dataclass(frozen=True)
class ComponentList:
    """rows : what is shown. found : how many there are. current : the row last gone to. listing : whether
    the list is being made. outdated : a layer was painted since.
    """

    kind: ListKind = ListKind.LESIONS
    rows: tuple[ListedComponent, ...] = ()
    found: int | None = None
    current: int | None = None
    listing: bool = False
    outdated: bool = False

    @property
    def summary(self) -> str:
        """How many of each there are, "" before the first list."""
        if self.listing:
            return "Listing…"
        if self.found is None:
            return ""
        counts: dict[str, int] = {}
        for row in self.rows:
            counts[row.component.finding] = counts.get(row.component.finding, 0) + 1
        words = ", ".join(f"{count} {finding}" for finding, count in counts.items()) or "None."
        cut = f" ({len(self.rows)} of {self.found} are shown)" if self.found > len(self.rows) else ""
        old = " Painted since; list again." if self.outdated else ""
        return words + cut + old


def listed(counted: Counted, geometry: Geometry, kind: ListKind, focus: int | None) -> list[ListedComponent]:
    """All components of label `focus` (None: of every label), by finding and volume.

    geometry : of the arrays as counted. Takes seconds on a large volume; call it in a thread.
    """
    live, rows = counted.live, []
    values = live.values if focus is None else (focus,)
    for value, box in label_boxes(live.truth, live.prediction, values).items():
        if box is None:
            continue
        start = [side.start for side in box]
        for component in _components(
            kind, live.truth[box] == value, live.prediction[box] == value, live.spacing_mm
        ):
            placed = component.shifted(start)
            x, y, z = (float(mm) for mm in geometry.index_to_lps(placed.centroid))
            name, colour = counted.names.name(value), counted.names.colour(value)
            rows.append(ListedComponent(placed, value, name, colour, (x, y, z)))
    return sorted(rows, key=lambda row: row.component.rank)


def _components(
    kind: ListKind, truth: BoolArray, prediction: BoolArray, spacing_mm: Triple
) -> list[Component]:
    if kind is ListKind.LESIONS:
        return lesions(truth, prediction, spacing_mm)
    return islands_and_holes(prediction, spacing_mm, in_truth=False) + islands_and_holes(
        truth, spacing_mm, in_truth=True
    )
