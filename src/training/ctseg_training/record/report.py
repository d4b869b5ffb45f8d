"""The report of a training run as one self-contained HTML page, next to events.jsonl."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import numpy as np

from ctseg_imaging.formats.disk.atomic import write_bytes
from ctseg_models.bundles.own.bundle import read_own
from ctseg_training.record.history import RunHistory, write_csv
from ctseg_training.record.overlays import CaseComparison, draw_overlay, save_samples
from ctseg_training.record.report_plots import dice_plot, loss_plot, rate_plot, time_plot, waiting

__all__ = ["CaseComparison", "draw_overlay", "save_samples", "write_csv", "write_report"]

SAMPLES = 8  # number of cases with pictures, the last of each
SAMPLE_NAME = re.compile(r"(?P<case>.*)-step-(?P<step>\d+)$")
_ENDS = {"done": "Done", "stopped": "Stopped early", "error": "Failed", "": "Still running, or cut off"}
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 68em; padding: 0 1em;
  color: #1b1b1b; background: #fff }
table { border-collapse: collapse; margin: 0.6em 0 1.4em }
th, td { padding: 0.2em 0.7em; text-align: right; border-bottom: 1px solid #ddd }
th { border-bottom: 2px solid #888 }
td:first-child, th:first-child { text-align: left }
tr.mean td { font-weight: 600 }
table.facts td { text-align: left }
img { max-width: 100% }
p.warning { background: #fff3d6; padding: 0.4em 0.8em; margin: 0.4em 0 }
figure { display: inline-block; margin: 0 1em 1em 0; vertical-align: top }
figcaption, p.note { font-size: 13px; color: #555 }
pre { background: #f6f6f6; padding: 0.8em; overflow-x: auto; font-size: 13px }
summary { cursor: pointer }
"""


def write_report(run_folder: Path) -> Path:
    """Write report.html in the folder of a run, replacing an earlier one; also while it is running.

    It names cases as dataset.json does and contains no other data of a patient. Raises RecipeError when no
    run has begun there.
    """
    history = RunHistory.read(run_folder)
    recipe = _recipe(run_folder)
    name = escape(history.start.get("recipe", run_folder.name))
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f"<title>{name}: training</title>",
        f"<style>{_STYLE}</style></head><body><h1>{name}: training report</h1>",
        _summary(history),
        _scores(history),
        _curves(history),
        _samples(run_folder / "samples"),
        _warnings(history),
        _facts(run_folder, history),
        "<h2>Recipe</h2><details><summary>every "
        f"field</summary><pre>{escape(recipe)}</pre></details></body></html>",
    ]
    write_bytes(path := run_folder / "report.html", "\n".join(parts).encode(), overwrite=True)
    return path


def _recipe(run_folder: Path) -> str:
    """The text of the saved recipe, not parsed, as it may be that of an earlier version."""
    path = run_folder / "recipe.yaml"
    return (
        path.read_text(encoding="utf-8") if path.is_file() else "The run failed before its recipe was saved."
    )


def _summary(history: RunHistory) -> str:
    """The summary: how the run ended, after how many steps, and whether it improved."""
    last = history.steps[-1] if history.steps else {"step": 0, "elapsed": 0.0}
    sentence = f"{_ENDS[history.end]} after {last['step']} steps in {_duration(last['elapsed'])}."
    score = (history.after or {}).get("mean")
    if score is not None:
        before = (history.before or {}).get("mean")
        earlier = f", before training {before:.3f}" if before is not None else ""
        sentence += f" Mean Dice on the held-out cases: <b>{score:.3f}</b>{earlier}."
    elif history.curve:
        step, scores = max(history.curve.items())
        sentence += (
            f" Mean Dice on the held-out cases at step {step}: <b>{_dice(scores.get('mean'))}</b> (the "
            "network alone)."
        )
    message = f"<p class='warning'>{escape(history.message)}</p>" if history.message else ""
    return f"<p>{sentence}</p>{message}"


def _scores(history: RunHistory) -> str:
    """A table per label: the whole bundle before and after, and the best point of the curve."""
    best = max(history.curve.items(), key=lambda point: point[1].get("mean") or 0.0, default=None)
    columns = [
        (title, scores) for title, scores in (("before", history.before), ("after", history.after)) if scores
    ]
    if best is not None:
        columns.append((f"curve, best (step {best[0]})", best[1]))
    if not columns:
        return (
            "<h2>Dice</h2><p>No case was held out, so nothing could be scored.</p>"
            if not history.start.get("held_out")
            else ""
        )
    change = history.before is not None and history.after is not None
    names = list(dict.fromkeys(name for _, scores in columns for name in scores if name != "mean"))
    rows = []
    for name in [*names, "mean"]:
        cells = [_dice(scores.get(name)) for _, scores in columns]
        if change:
            cells.insert(2, _change((history.before or {}).get(name), (history.after or {}).get(name)))
        rows.append(_row([name, *cells], "mean" if name == "mean" else ""))
    head = ["label", *(title for title, _ in columns)]
    if change:
        head.insert(3, "change")
    count = history.start.get("held_out", 0)
    note = (
        f"Mean over {count} held-out case{'s' * (count != 1)}, without those in which a label was not "
        "contoured. Before and after: the whole bundle on the cases' own grid. Curve: the network alone on "
        "its own grid. –: in no held-out case."
    )
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    table = f"<table><tr>{titles}</tr>{''.join(rows)}</table>"
    return f"<h2>Dice</h2>{table}<p class='note'>{note}</p>"


def _curves(history: RunHistory) -> str:
    if len(history.steps) < 2:
        return "<h2>Curves</h2><p>Fewer than two steps were reported.</p>"
    parts = ["<h2>Curves</h2>", _svg_image(loss_plot(history), "Loss and its terms over the steps")]
    if len(history.curve) > 1:
        parts.append(_svg_image(dice_plot(history), "Dice of the held-out cases over the steps"))
    parts += [
        _svg_image(rate_plot(history), "Learning rate over the steps"),
        _svg_image(time_plot(history), "Seconds per step"),
    ]
    return "\n".join(parts)


def _samples(folder: Path) -> str:
    """The last picture of every case, the first SAMPLES of them."""
    last: dict[str, tuple[int, Path]] = {}
    for path in sorted(folder.glob("*.png")):
        named = SAMPLE_NAME.match(path.stem)
        case, step = (named["case"], int(named["step"])) if named else (path.stem, 0)
        if step >= last.get(case, (0, path))[0]:
            last[case] = (step, path)
    if not last:
        return ""
    figures = []
    for case, (step, path) in sorted(last.items())[:SAMPLES]:
        caption = escape(f"{case}, step {step}" if step else case)
        data = base64.b64encode(path.read_bytes()).decode("ascii")
        figures.append(
            f"<figure><img alt='{caption}' "
            f"src='data:image/png;base64,{data}'><figcaption>{caption}</figcaption></figure>"
        )
    note = (
        "<p class='note'>Held-out cases, the axial slice with most truth; the patient's right is on the "
        "left. Solid: truth, dashed: prediction. Grey: the network's input between the slice's percentiles "
        "1 and 99.</p>"
    )
    return "<h2>Samples</h2>" + note + "\n".join(figures)


def _warnings(history: RunHistory) -> str:
    warnings = list(history.warnings)
    if count := len(history.skipped):
        warnings.append(
            f"{count} step{'s were' if count > 1 else ' was'} left out because the gradient was not finite."
        )
    if not warnings:
        return ""
    return "<h2>Warnings</h2>" + "".join(f"<p class='warning'>{escape(one)}</p>" for one in warnings)


def _facts(run_folder: Path, history: RunHistory) -> str:
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
    return "<h2>The run</h2><table class='facts'>" + "".join(_row(row) for row in rows) + "</table>"


def _dataset(run_folder: Path) -> str:
    """The name of the data set, as the bundle gives it, if there is one."""
    if not (run_folder / "bundle" / "configs" / "metadata.json").is_file():
        return "–"
    return str(read_own(run_folder / "bundle").block.training_data.get("data_set", "–"))


def _row(cells: Sequence[str], kind: str = "") -> str:
    return f"<tr class='{kind}'>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"


def _svg_image(svg: bytes, alt: str) -> str:
    """A drawing as a separate image, which keeps names inside different drawings apart."""
    return (
        f"<img alt='{escape(alt)}' src='data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}'>"
    )


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
