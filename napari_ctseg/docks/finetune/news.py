"""From a job's events to the dock's state: progress, scores, pictures, and the verdict at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ctseg_imaging.volume import Labels
from napari_ctseg.docks.finetune.state import CurvePoint, FineTuneState, Outcome, Phase, Score

LONGEST = 2000  # points of the loss curve; beyond it every second one goes
PICTURES = 3
CHECKING = "Checking the data before training"
ASKED = (Phase.PAUSING, Phase.STOPPING)  # their stage stays until the process has ended


def after_event(state: FineTuneState, event: Any, known: Sequence[Labels] = ()) -> FineTuneState:
    """The state after one more event of the job.

    known : labels of models; a job with the same names takes over their colours.
    """
    data = event.data
    if event.kind == "start":
        return _begun(state, data, known)
    if event.kind == "step":
        return _stepped(state, data)
    if event.kind == "validation" and data.get("scores"):
        return _scored(state, data)
    if event.kind == "warning":
        warnings = tuple(dict.fromkeys((*state.outcome.warnings, str(data.get("message", "")))))
        return replace(state, outcome=replace(state.outcome, warnings=warnings))
    if event.kind in ("done", "stopped") and "after" in data:  # a pause has none
        scores = _scores(data.get("before"), data.get("after"))
        outcome = replace(state.outcome, scores=scores, better=data.get("better"))
        return replace(
            state, outcome=outcome, job=replace(state.job, step=int(data.get("step", state.job.step)))
        )
    return state


def _begun(state: FineTuneState, data: dict[str, Any], known: Sequence[Labels]) -> FineTuneState:
    """The start, or the restart from a checkpoint: later points of the curves were lost and come again."""
    step, held = int(data.get("from_step", 0)), int(data.get("held_out", 0))
    counted = f"{data.get('cases', '?')} cases to train on, {held or 'none'} held out"
    curves = replace(
        state.curves,
        labels=_coloured(data.get("labels", ()), known),
        losses=tuple(point for point in state.curves.losses if point[0] <= step),
        validations=tuple(point for point in state.curves.validations if point.step <= step),
    )
    stage = state.job.stage if state.phase in ASKED else counted
    return replace(state, curves=curves, job=replace(state.job, stage=stage))


def _stepped(state: FineTuneState, data: dict[str, Any]) -> FineTuneState:
    losses = state.curves.losses
    if (loss := data.get("smoothed_loss", data.get("loss"))) is not None:
        losses = (*(losses if len(losses) < LONGEST else losses[::2]), (int(data["step"]), float(loss)))
    stage = f"Step {data['step']}" if (data.get("spent") or 0) < 1 else "Writing and evaluating the model"
    job = replace(
        state.job,
        step=int(data["step"]),
        spent=data.get("spent"),
        seconds_left=data.get("seconds_left"),
        memory_mb=data.get("memory_mb"),
        stage=state.job.stage if state.phase in ASKED else stage,
    )
    return replace(state, job=job, curves=replace(state.curves, losses=losses))


def _scored(state: FineTuneState, data: dict[str, Any]) -> FineTuneState:
    """A point of the curve, or the score of the original model."""
    scores, step = data["scores"], int(data["step"])
    if data.get("whole_bundle"):
        before = replace(state.outcome, scores=_scores(scores, None))
        return replace(state, outcome=before) if step == 0 else state
    if scores.get("mean") is None:
        return state
    validations = (*state.curves.validations, CurvePoint(step, tuple(scores.items())))
    return replace(state, curves=replace(state.curves, validations=validations))


def _coloured(names: Sequence[str], known: Sequence[Labels]) -> tuple[tuple[str, str], ...]:
    """The job's labels with the colours of the first model with the same labels, else of our palette."""
    own = Labels.from_names(dict(enumerate(names, 1)))
    labels = next((one for one in known if [label.name for label in one] == list(names)), own)
    return tuple((label.name, label.colour) for label in labels)


def newest_pictures(job: Path) -> tuple[Path, ...]:
    """The last picture (CASE-step-000123.png) of each of the first cases; none where there are none."""
    newest = {path.stem.rpartition("-step-")[0]: path for path in sorted((job / "samples").glob("*.png"))}
    return tuple(newest.values())[:PICTURES]


def _scores(
    before: dict[str, float | None] | None, after: dict[str, float | None] | None
) -> tuple[Score, ...]:
    names = list(dict.fromkeys([*(before or {}), *(after or {})]))
    return tuple(Score(name, (before or {}).get(name), (after or {}).get(name)) for name in names)


def verdict(name: str, outcome: Outcome) -> str:
    """The result in words."""
    there = f'"{name}" is now in Run model.'
    mean = next((score for score in outcome.scores if score.label == "mean"), None)
    if mean is None or mean.after is None:
        return f"{there} No cases were held out, so its quality is unknown."
    if outcome.better is None or mean.before is None:
        return f"{there} Mean Dice on the held-out cases: {mean.after:.3f}."
    change = f"mean Dice on the held-out cases {mean.before:.3f} before, {mean.after:.3f} after"
    if outcome.better:
        return f"Better: {change}. {there}"
    return f"Not better: {change}. {there} Use the original model."
