"""The texts and tables of the Fine-tune dock."""

from __future__ import annotations

import html
from collections.abc import Sequence

from napari_ctseg.docks.finetune.state import FineTuneState, Phase, RecipeRow, Score

START = "Writes the cases and starts training in a separate process, which continues after napari is closed."
PAUSE = (
    "Ends the process after the current step and saves a checkpoint. Resume continues from it, even after a "
    "restart of the computer."
)
RESUME = "Continues from the last checkpoint with the remaining time."
STOP = "Ends after the current step; the current state becomes a model and is evaluated."
STOP_PAUSED = "Makes a model from the checkpoint and evaluates it."
TRAINABLE = (
    "Training all layers adapts the model most and forgets most; training only the last layer needs few "
    "cases."
)
FROM_SCRATCH = "A network trained from scratch has no weights to keep, so everything is trained."
LOCALISER = (
    "This trains a localiser: all labels are merged into one region; a segmenter then works inside its "
    'bounding box. "napari-ctseg bundle compose" combines the two.'
)


def about(recipe: RecipeRow | None) -> str:
    """What the chosen recipe does; "" for a model that is trained further."""
    if recipe is None:
        return ""
    sentences = [recipe.description.rstrip(".") + f", made for {recipe.modality}."]
    return " ".join([*sentences, LOCALISER] if recipe.localises else sentences)


def progress(state: FineTuneState) -> str:
    """Stage, time left, memory."""
    job = state.job
    shown = [job.stage]
    if (left := job.seconds_left) is not None and state.phase in (Phase.RUNNING, Phase.PAUSED):
        shown.append(f"{left:.0f} s left" if left < 90 else f"{left / 60:.0f} min left")
    if job.memory_mb is not None and state.busy:
        shown.append(f"{job.memory_mb / 1000:.1f} GB")
    return " – ".join(filter(None, shown))


def score_table(scores: Sequence[Score]) -> str:
    """Labels with their Dice, the mean in bold; before and after where there was a model before."""
    compared = any(score.before is not None for score in scores)
    rows = [_row("held-out Dice", "before" if compared else None, "after" if compared else "")]
    for score in scores:
        rows.append(
            _row(
                score.label,
                _dice(score.before) if compared else None,
                _dice(score.after),
                bold=score.label == "mean",
            )
        )
    return f"<table>{''.join(rows)}</table>"


def _row(name: str, before: str | None, after: str, *, bold: bool = False) -> str:
    """One row; without `before` it has a column less."""
    cells = [html.escape(name), *([before] if before is not None else []), after]
    first, *others = [f"<b>{cell}</b>" if bold else cell for cell in cells]
    numbers = "".join(f"<td align='right'>&nbsp;&nbsp;{cell}</td>" for cell in others)
    return f"<tr><td>{first}</td>{numbers}</tr>"


def _dice(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
