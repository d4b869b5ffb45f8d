"""What the dock says about a state: plain words and small tables."""

from __future__ import annotations

from napari_ctseg.docks.finetune.state import FineTuneState, Phase, RecipeRow

START = "Writes the cases and starts the training in a process of its own; it goes on when napari is closed."
PAUSE = "Ends the process after the current step and keeps all that was learnt; Resume goes on, also after a restart of the computer."
RESUME = "Goes on from where it was paused, with the time that was left."
STOP = "Ends after the current step; what was learnt so far becomes a model and is scored."
STOP_PAUSED = "Makes a model of what was learnt until the pause, and scores it."
TRAINABLE = "Everything learns most and forgets most; the last layer alone needs few cases."
FROM_SCRATCH = "From scratch everything is trained: there is nothing yet that could be kept as it is."
LOCALISER = ("It trains a localiser: all labels count as one region, whose box a segmenter looks into. "
             "\"napari-ctseg bundle compose\" joins the two.")


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
        said.append(f"{state.seconds_left:.0f} s left" if state.seconds_left < 90 else f"{state.seconds_left / 60:.0f} min left")
    if state.memory_mb is not None and state.busy:
        said.append(f"{state.memory_mb / 1000:.1f} GB")
    return " – ".join(filter(None, said))


def score_table(state: FineTuneState) -> str:
    """Labels with their Dice before and after, the mean in bold."""
    def cell(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    lines = []
    for score in state.scores:
        name, before, after = score.label, cell(score.before), cell(score.after)
        if name == "mean":
            name, before, after = f"<b>{name}</b>", f"<b>{before}</b>", f"<b>{after}</b>"
        lines.append(f"<tr><td>{name}&nbsp;&nbsp;</td><td align='right'>&nbsp;{before}&nbsp;</td><td align='right'>&nbsp;{after}</td></tr>")
    return f"<table><tr><td>held-out Dice</td><td align='right'>before</td><td align='right'>&nbsp;after</td></tr>{''.join(lines)}</table>"
