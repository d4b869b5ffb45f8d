"""What Compare computes in a thread: surface distances of labels, and the written report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import FormatError
from napari_ctseg.viewer.pairs import Counted

if TYPE_CHECKING:
    from ctseg_imaging.metrics.reports.case_report import CaseReport


def surfaces(counted: Counted, values: list[int], tolerance_mm: float) -> dict[int, tuple[float, float]]:
    """(HD95 in mm, NSD) of each label."""
    from ctseg_imaging.metrics.surfaces import surface_distances

    live, found = counted.live, {}
    for value in values:
        distances = surface_distances(live.truth == value, live.prediction == value, live.spacing_mm)
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
