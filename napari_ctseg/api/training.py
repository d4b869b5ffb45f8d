"""Training: which recipes there are, and what a run gives."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import RecipeError
from napari_ctseg.api.models import found, load_model
from napari_ctseg.api.progress_bar import follow

if TYPE_CHECKING:
    from ctseg_models.contract.bundle import Bundle
    from ctseg_training.recipes import Recipe
    from napari_ctseg.api.images import AnyPath
    from napari_ctseg.api.models import ModelLike
    from napari_ctseg.api.progress_bar import ProgressOption

Scores = dict[str, float | None]


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """What a training run came to.

    Attributes
    ----------
    folder : Path
        The run's folder, with report.html, curves.csv, events.jsonl, checkpoints/ and bundle/.
    model : Bundle
        The trained model; give it to `predict`.
    dice : dict of str to float
        Mean Dice on the held-out cases, by label, and "mean" over them; None where no case has the label.
        Empty if no case was held out.
    dice_before : dict of str to float
        The same before the training, where it started from a model; else empty.
    steps : list of dict
        What was recorded about the steps: "step", "loss", "terms", "learning_rate", "elapsed" (seconds).
    curve : dict of int to dict
        Scores of the network during the training, by step.
    warnings : list of str
        One sentence each.
    """

    folder: Path
    model: Bundle
    dice: Scores
    dice_before: Scores
    steps: list[dict[str, Any]]
    curve: dict[int, Scores]
    warnings: list[str]

    @classmethod
    def read(cls, folder: AnyPath) -> TrainingResult:
        """The result in the folder of a finished run.

        Parameters
        ----------
        folder : str or Path
            What was given to `train` as `out`.

        Raises
        ------
        RecipeError
            No run has begun there.
        BundleError
            The run has not written its model yet.
        """
        from ctseg_training.record.history import RunHistory

        folder = Path(folder)
        history = RunHistory.read(folder)
        return cls(
            folder,
            load_model(folder / "bundle"),
            history.after or {},
            history.before or {},
            history.steps,
            history.curve,
            history.warnings,
        )

    def __repr__(self) -> str:
        mean = self.dice.get("mean")
        scored = "not scored" if mean is None else f"mean Dice {mean:.3f}"
        done = self.steps[-1]["step"] if self.steps else 0
        return f"TrainingResult({str(self.folder)!r}, {done} steps, {scored})"


def list_recipes() -> dict[str, str]:
    """The recipes that ship with the project.

    Returns
    -------
    dict of str to str
        The description of each recipe, by name.

    Examples
    --------
    >>> ctseg.list_recipes()["phantom-localise"]
    """
    from ctseg_training import recipes

    return recipes.list_recipes()


def train(
    recipe: AnyPath,
    data: AnyPath,
    out: AnyPath,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    start_from: ModelLike | None = None,
    name: str | None = None,
    resume: bool = False,
    device: str = "auto",
    should_stop: Callable[[], bool] | None = None,
    progress: ProgressOption = False,
) -> TrainingResult:
    """Train one stage of a model on a data set and score it on held-out cases.

    Parameters
    ----------
    recipe : str or Path
        The name of a recipe (see `list_recipes`) or a YAML file.
    data : str or Path
        A folder with dataset.json in the layout of the Decathlon or of nnU-Net's raw data.
    out : str or Path
        A new folder for checkpoints, events.jsonl, report.html and the model.
    minutes, steps : float, int, optional
        How long to train instead of the recipe's budget; of both, what is reached first.
    overrides : dict, optional
        Fields of the recipe by their path, for example {"optimiser.learning_rate": 0.001}.
    start_from : str, Path or Bundle, optional
        Fine-tune: begin with the weights, the network and the spacing of this model.
    name : str, optional
        The name of the new model; default: that of the recipe.
    resume : bool
        Continue from the last checkpoint in `out`.
    device : str
        "cpu", "cuda", "cuda:1" or "auto".
    should_stop : callable, optional
        Asked after every step; once it returns True the training ends and the model is written.
    progress : bool or callable
        As in `predict`.

    Returns
    -------
    TrainingResult

    Raises
    ------
    RecipeError
        The recipe or the data set cannot be used as it stands, or `out` already holds a run.
    BundleError
        `start_from` is missing, damaged, or of a format that cannot be trained further.

    Notes
    -----
    An interrupt (Ctrl-C, or the stop button of a notebook) leaves a checkpoint and no model; call `train`
    again with ``resume=True``. A file named `stop` in `out` ends the run with a model.

    Samples are made by a process of their own. In a script, therefore, call `train` under
    ``if __name__ == "__main__":``; a notebook needs nothing.

    Examples
    --------
    >>> result = ctseg.train("phantom-localise", "phantoms", "run", minutes=2, progress=True)
    >>> ctseg.predict(image, result.model)
    """
    from ctseg_training.run.engine import train as training

    _refuse_unguarded_script()
    loaded = _recipe(recipe, overrides or {})
    start = None if start_from is None else _in_its_own_class(found(start_from))
    if start is not None:
        loaded = _fitting(loaded, start)
    work = training(
        loaded,
        Path(data),
        Path(out),
        minutes=minutes,
        steps=steps,
        resume=resume,
        init_from=start,
        device=device,
        name=name,
        should_stop=should_stop or (lambda: False),
    )
    follow(work, progress)
    return TrainingResult.read(out)


def _recipe(recipe: AnyPath, overrides: Mapping[str, Any]) -> Recipe:
    """A recipe by name or path, with `overrides`."""
    import yaml

    from ctseg_training.recipes import load_recipe

    flow = {
        key: yaml.safe_dump([value], default_flow_style=True, width=10**6).strip()[1:-1]
        for key, value in overrides.items()
    }
    return load_recipe(str(recipe), [f"{key}={text}" for key, text in flow.items()])


def _in_its_own_class(model: Bundle) -> Bundle:
    """Training writes a bundle of the class that it started from."""
    from ctseg_models.bundles.loaded_once import LoadedOnce

    return model.source if isinstance(model, LoadedOnce) else model


def _refuse_unguarded_script() -> None:
    """Raises RecipeError in a process that makes samples, which imports the user's script first: a script
    without a guard would start a training of its own there.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RecipeError(
            '`train` was called while a script was imported; call it under `if __name__ == "__main__":`.'
        )


def _fitting(recipe: Recipe, start: Bundle) -> Recipe:
    """`recipe` for the network and the spacing of `start`; the engine refuses other formats."""
    from ctseg_models.bundles.own.bundle import OwnBundle
    from ctseg_training.recipes.stages import recipe_for

    return recipe_for(start, recipe) if isinstance(start, OwnBundle) else recipe
