"""The bundle that a run leaves behind: weights, card, scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ctseg_imaging.volume import Labels
from ctseg_models.bundles.own.bundle import OwnBundle
from ctseg_models.bundles.own.metadata import Stage
from ctseg_models.bundles.own.writing import write_bundle
from ctseg_training.data.heldout import Split
from ctseg_training.recipes.stages import REGION, WHOLE
from ctseg_training.run.state import Run
from ctseg_training.scoring import Scores


def write_result(
    folder: Path,
    run: Run,
    averaged: dict[str, Tensor],
    labels: Labels,
    split: Split,
    *,
    name: str,
    dataset: str,
    init_from: OwnBundle | None,
    after: Scores | None,
    stopped: bool,
) -> OwnBundle:
    """Write (over an earlier one) the bundle of the `averaged` weights; the other stage of `init_from`, if it
    has one, is copied.
    """
    stages = [run.stage]
    weights: dict[str, dict[str, Tensor]] = {run.stage.name: averaged}
    if init_from is not None:
        others = [stage for stage in init_from.stages if stage.name != run.stage.name]
        stages = sorted([run.stage, *others], key=lambda stage: stage.name != "localise")
        weights |= {stage.name: init_from.weights(stage.name) for stage in others}
    last = stages[-1].name
    kept = REGION if last == "localise" else init_from.labels if init_from is not None else labels
    training = _training_data(run, split, dataset, init_from, stopped=stopped)
    scores = {} if after is None else _scores(run, split, stages, after)
    return write_bundle(
        folder,
        name=name,
        stages=stages,
        weights=_on_cpu(weights),
        labels=kept,
        overwrite=True,
        card=_card(name, run, kept, training, scores),
        scores=scores,
        training_data=training,
        modality=run.recipe.modality,
        channels=init_from.channels if init_from is not None else _channels(run),
    )


def _training_data(
    run: Run, split: Split, dataset: str, init_from: OwnBundle | None, *, stopped: bool
) -> dict[str, Any]:
    """What the bundle was trained on, for its metadata."""
    training = {
        "data_set": dataset,
        "recipe": run.recipe.name,
        "cases": len(split.training),
        "held_out_cases": len(split.held_out),
        "steps": run.step,
        "minutes": round(run.seconds / 60, 1),
        "stopped_early": stopped,
    }
    if init_from is not None:
        training |= {
            "started_from": init_from.name,
            "started_from_sha256": init_from.sha256,
            "trainable": run.recipe.trainable,
        }
    return training


def _scores(run: Run, split: Split, stages: Sequence[Stage], after: Scores) -> dict[str, Any]:
    """The scores on the held-out cases, for its metadata."""
    scores: dict[str, Any] = {
        "held_out_cases": len(split.held_out),
        "region": _scored_on(run, stages),
        "dice": after.as_dict(),
    }
    if run.before is not None:
        scores["dice_before"] = run.before
    return scores


def _channels(run: Run) -> tuple[str, ...]:
    """Names of an image's channels; only their number is known here."""
    count = 1 + max(channel.source for channel in run.stage.channels)
    return (
        (run.recipe.modality,)
        if count == 1
        else tuple(f"{run.recipe.modality} {number}" for number in range(1, count + 1))
    )


def _scored_on(run: Run, stages: Sequence[Stage]) -> str:
    """The region in which false positives count, in words."""
    if run.recipe.sees_whole or len(stages) > 1:
        return WHOLE
    return f"within the true box plus {run.stage.margin_mm:g} mm"


def better(before: dict[str, float | None] | None, after: Scores | None) -> bool | None:
    """Whether the mean Dice on the held-out cases rose; None if unknown."""
    if before is None or after is None or before.get("mean") is None or after.mean is None:
        return None
    return after.mean > float(before["mean"] or 0.0)


def _on_cpu(weights: dict[str, dict[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    return {
        stage: {key: tensor.cpu() for key, tensor in tensors.items()} for stage, tensors in weights.items()
    }


def _card(name: str, run: Run, labels: Labels, training: dict[str, Any], scores: dict[str, Any]) -> str:
    names = ", ".join(label.name for label in labels)
    lines = [
        f"# {name}: {run.recipe.modality}, {names}",
        "",
        f"Trained with the recipe `{run.recipe.name}` on {training['cases']} cases of "
        f'"{training["data_set"]}": {run.step} steps in {run.seconds / 60:.0f} minutes'
        f"{', stopped before its budget was used up' if training['stopped_early'] else ''}.",
    ]
    if "started_from" in training:
        lines += [
            "",
            f"Started from `{training['started_from']}`; trained further: {training['trainable']} of stage "
            f"{run.stage.name}.",
        ]
    lines += [
        "",
        "Use it on images like those. It has been checked on nothing else, and is not a medical device.",
        "",
    ]
    if not scores:
        return "\n".join([*lines, "It has not been scored on held-out cases.", ""])
    before = scores.get("dice_before")
    lines += [
        f"Mean Dice on {scores['held_out_cases']} held-out cases, on their own grid, {scores['region']} "
        "(without labels that were not contoured):",
        "",
        "| label | Dice |" + (" before |" if before else ""),
        "|---|---|" + ("---|" if before else ""),
    ]
    for label, value in scores["dice"].items():
        lines.append(f"| {label} | {_shown(value)} |" + (f" {_shown(before.get(label))} |" if before else ""))
    return "\n".join([*lines, ""])


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
