"""The report of a training run as one self-contained HTML page, next to events.jsonl."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ctseg_imaging.formats.disk.atomic import write_bytes
from ctseg_imaging.html_pages import data_url, rendered
from ctseg_models.bundles.own.bundle import read_own
from ctseg_training.record.history import RunHistory, write_csv
from ctseg_training.record.overlays import CaseComparison, draw_overlay, save_samples
from ctseg_training.record.report_plots import dice_plot, loss_plot, rate_plot, time_plot, waiting

__all__ = ["CaseComparison", "draw_overlay", "save_samples", "write_csv", "write_report"]

SAMPLES = 8  # number of cases with pictures, the last of each
SAMPLE_NAME = re.compile(r"(?P<case>.*)-step-(?P<step>\d+)$")
_ENDS = {"done": "Done", "stopped": "Stopped early", "error": "Failed", "": "Still running, or cut off"}
_TEMPLATE = Path(__file__).with_name("report.html.jinja")


def write_report(run_folder: Path) -> Path:
    """Write report.html in the folder of a run, replacing an earlier one; also while it is running.

    It names cases as dataset.json does and contains no other data of a patient. Raises RecipeError when no
    run has begun there.
    """
    history = RunHistory.read(run_folder)
    page = rendered(
        _TEMPLATE,
        name=history.start.get("recipe", run_folder.name),
        **_summary(history),
        message=history.message,
        scores=_scores(history),
        held_out=history.start.get("held_out", 0),
        curves=_curves(history),
        samples=_samples(run_folder / "samples"),
        warnings=_warnings(history),
        facts=_facts(run_folder, history),
        recipe=_recipe(run_folder),
    )
    write_bytes(path := run_folder / "report.html", page.encode(), overwrite=True)
    return path


def _recipe(run_folder: Path) -> str:
    """The text of the saved recipe, not parsed, as it may be that of an earlier version."""
    path = run_folder / "recipe.yaml"
    return (
        path.read_text(encoding="utf-8") if path.is_file() else "The run failed before its recipe was saved."
    )


def _summary(history: RunHistory) -> dict[str, Any]:
    """How the run ended, after how many steps, and whether it improved."""
    last = history.steps[-1] if history.steps else {"step": 0, "elapsed": 0.0}
    score, earlier = ((scores or {}).get("mean") for scores in (history.after, history.before))
    point = max(history.curve.items(), default=None)
    return {
        "end": _ENDS[history.end],
        "steps": last["step"],
        "duration": _duration(last["elapsed"]),
        "score": None if score is None else _dice(score),
        "earlier": None if earlier is None else _dice(earlier),
        "point": None if point is None else (point[0], _dice(point[1].get("mean"))),
    }


def _scores(history: RunHistory) -> dict[str, list[Any]] | None:
    """A table per label: the whole bundle before and after, and the best point of the curve."""
    best = max(history.curve.items(), key=lambda point: point[1].get("mean") or 0.0, default=None)
    columns = [
        (title, scores) for title, scores in (("before", history.before), ("after", history.after)) if scores
    ]
    if best is not None:
        columns.append((f"curve, best (step {best[0]})", best[1]))
    if not columns:
        return None
    names = list(dict.fromkeys(name for _, scores in columns for name in scores if name != "mean"))
    rows = [[name, *(_dice(scores.get(name)) for _, scores in columns)] for name in [*names, "mean"]]
    head = ["label", *(title for title, _ in columns)]
    if history.before is not None and history.after is not None:
        head.insert(3, "change")
        for row in rows:
            row.insert(3, _change(history.before.get(row[0]), history.after.get(row[0])))
    return {"head": head, "rows": rows}


def _curves(history: RunHistory) -> list[tuple[str, str]]:
    """(description, source) of each plot; none before the second step."""
    if len(history.steps) < 2:
        return []
    plots = [("Loss and its terms over the steps", loss_plot)]
    if len(history.curve) > 1:
        plots.append(("Dice of the held-out cases over the steps", dice_plot))
    plots += [("Learning rate over the steps", rate_plot), ("Seconds per step", time_plot)]
    # separate images, which keep names inside different drawings apart
    return [(text, data_url(plot(history), "image/svg+xml")) for text, plot in plots]


def _samples(folder: Path) -> list[tuple[str, str]]:
    """(caption, source) of the last picture of every case, the first SAMPLES of them."""
    last: dict[str, tuple[int, Path]] = {}
    for path in sorted(folder.glob("*.png")):
        named = SAMPLE_NAME.match(path.stem)
        case, step = (named["case"], int(named["step"])) if named else (path.stem, 0)
        if step >= last.get(case, (0, path))[0]:
            last[case] = (step, path)
    return [
        (f"{case}, step {step}" if step else case, data_url(path.read_bytes(), "image/png"))
        for case, (step, path) in sorted(last.items())[:SAMPLES]
    ]


def _warnings(history: RunHistory) -> list[str]:
    if not (count := len(history.skipped)):
        return history.warnings
    left_out = (
        f"{count} step{'s were' if count > 1 else ' was'} left out because the gradient was not finite."
    )
    return [*history.warnings, left_out]


def _facts(run_folder: Path, history: RunHistory) -> list[tuple[str, str]]:
    """Data, network, machine and time."""
    start, steps = history.start, history.steps
    rows = [
        ("Data set", _dataset(run_folder)),
        ("Cases", f"{start.get('cases', '–')} trained on, {start.get('held_out', '–')} held out"),
        ("Stage and labels", f"{start.get('stage', '–')}: {', '.join(start.get('labels', []))}"),
        (
            "Parameters",
            f"{start.get('parameters', 0):,}, of which {start.get('trained_parameters', 0):,} trained",
        ),
        ("Computed on", f"{start.get('device', '–')}, {start.get('precision', '–')}"),
        ("When", f"{_when(history.began)} to {_when(history.ended)}"),
    ]
    if steps:
        seconds = np.array(
            [step["seconds_per_step"] for step in steps if step.get("seconds_per_step") is not None]
        )
        waits = waiting(history)
        per_step = (
            f"median {np.median(seconds):.3g} s, 95 % within {np.percentile(seconds, 95):.3g} s"
            if seconds.size
            else "–"
        )
        if np.isfinite(waits).any() and seconds.size and seconds.mean() > 0:
            per_step += (
                f"; {100 * min(1.0, float(np.nanmean(waits) / seconds.mean())):.0f} % of the time waiting "
                "for data"
            )
        rows.append(("A step", per_step))
        rows.append(("Memory, at most", f"{max(step.get('memory_mb') or 0 for step in steps):.0f} MB"))
        rows.append(("Steps left out", str(steps[-1].get("skipped", 0))))
    return rows


def _dataset(run_folder: Path) -> str:
    """The name of the data set, as the bundle gives it, if there is one."""
    if not (run_folder / "bundle" / "configs" / "metadata.json").is_file():
        return "–"
    return str(read_own(run_folder / "bundle").block.training_data.get("data_set", "–"))


def _dice(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _change(before: float | None, after: float | None) -> str:
    return "–" if before is None or after is None else f"{after - before:+.3f}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _when(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC")
