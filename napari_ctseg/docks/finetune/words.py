"""What the dock says about a state: plain words and small tables."""

from __future__ import annotations

import html

from napari_ctseg.docks.finetune.state import FineTuneState, Phase, RecipeRow

START = "Writes the cases and starts the training in a process of its own; it goes on when napari is closed."
PAUSE = (
    "Ends the process after the current step and keeps all that was learnt; Resume goes on, also after a "
    "restart of the computer."
)
RESUME = "Goes on from where it was paused, with the time that was left."
STOP = "Ends after the current step; what was learnt so far becomes a model and is scored."
STOP_PAUSED = "Makes a model of what was learnt until the pause, and scores it."
TRAINABLE = "Everything learns most and forgets most; the last layer alone needs few cases."
FROM_SCRATCH = "From scratch everything is trained: there is nothing yet that could be kept as it is."
LOCALISER = (
    "It trains a localiser: all labels count as one region, whose box a segmenter looks into. "
    '"napari-ctseg bundle compose" joins the two.'
)


def about(recipe: RecipeRow | None) -> str:
    """What the chosen recipe does; nothing for a model that is trained further."""
    if recipe is None:
        return ""
    said = [recipe.description.rstrip(".") + f", made for {recipe.modality}."]
    return " ".join([*said, LOCALISER] if recipe.localises else said)


def progress(state: FineTuneState) -> str:
    """Stage, time left, memory."""
    said = [state.stage]
    if state.seconds_left is not None and state.phase in (Phase.RUNNING, Phase.PAUSED):
        said.append(
            f"{state.seconds_left:.0f} s left"
            if state.seconds_left < 90
            else f"{state.seconds_left / 60:.0f} min left"
        )
    if state.memory_mb is not None and state.busy:
        said.append(f"{state.memory_mb / 1000:.1f} GB")
    return " – ".join(filter(None, said))


def score_table(state: FineTuneState) -> str:
    """Labels with their Dice, the mean in bold; before and after where there was a model before."""
    compared = any(score.before is not None for score in state.scores)
    rows = [_row("held-out Dice", "before" if compared else None, "after" if compared else "")]
    for score in state.scores:
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
