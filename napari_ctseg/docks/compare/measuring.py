"""What Compare computes in a thread: surface distances of labels, and the written report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import FormatError
from napari_ctseg.background.threads import ThreadedCall
from napari_ctseg.viewer.pairs import Counted, LivePair

if TYPE_CHECKING:
    from ctseg_imaging.metrics.reports.case_report import CaseReport


class SurfaceDistances:
    """The surface distances of one pair. measured : (HD95 in mm, NSD) by label. stale : labels that were
    changed since, or never measured.
    """

    def __init__(self) -> None:
        self.measured: dict[int, tuple[float, float]] = {}
        self.stale: set[int] = set()
        self._changes = 0

    def changed(self, values: Iterable[int]) -> None:
        """These labels have to be measured again."""
        self.stale.update(values)
        self._changes += 1

    def measure(
        self,
        pair: LivePair,
        tolerance_mm: float,
        aside: ThreadedCall,
        on_done: Callable[[], None],
        on_error: Callable[[Exception], None],
    ) -> None:
        """Measure what is stale; labels that change meanwhile stay stale. The pair has been counted."""
        counted, before = pair.counted, (pair.version, self._changes)
        assert counted is not None
        self.stale &= set(counted.live.values)  # the others are never measured, as those not contoured
        wanted = sorted(self.stale)

        def done(found: dict[int, tuple[float, float]]) -> None:
            self.measured |= found
            if before == (pair.version, self._changes):
                self.stale -= set(found)
            on_done()

        aside(lambda: surface_distances_of(counted, wanted, tolerance_mm), done, on_error)


def surface_distances_of(
    counted: Counted, values: list[int], tolerance_mm: float
) -> dict[int, tuple[float, float]]:
    """(HD95 in mm, NSD) of each label."""
    from ctseg_imaging.metrics.boxes import label_boxes
    from ctseg_imaging.metrics.surfaces import surface_distances

    live, found = counted.live, {}
    for value, box in label_boxes(live.truth, live.prediction, values).items():
        inside = box or (slice(0),) * 3
        distances = surface_distances(
            live.truth[inside] == value, live.prediction[inside] == value, live.spacing_mm
        )
        found[value] = distances.hausdorff(95), distances.nsd(tolerance_mm)
    return found


def write_report(path: Path, maps: tuple[Any, Any], image: Any, tolerance_mm: float) -> CaseReport:
    """Evaluate and write; the page and tables name the file's stem as the case."""
    from ctseg_imaging.metrics.reports import report

    writers = {".html": report.write_html, ".csv": report.write_csv, ".json": report.write_json}
    if path.suffix.lower() not in writers:
        raise FormatError(f"{path}: end the name in {', '.join(writers)}.")
    case: CaseReport = report.evaluate_pair(
        *maps, case=path.name.removesuffix(path.suffix), nsd_tolerance_mm=tolerance_mm, image=image
    )
    writers[path.suffix.lower()](path, [case], overwrite=True)
    return case
