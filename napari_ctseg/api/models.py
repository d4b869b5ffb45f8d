"""Models: which there are, and what they predict."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ctseg_imaging.errors import GeometryError
from ctseg_models.contract.bundle import Bundle
from napari_ctseg.api.arrays import as_volume
from napari_ctseg.api.progress_bar import follow

if TYPE_CHECKING:
    from ctseg_imaging.progress import Progress
    from ctseg_imaging.volume import Volume
    from ctseg_models.contract.lattice import Region
    from ctseg_models.contract.prediction import Prediction
    from ctseg_models.inference import InferenceSettings
    from napari_ctseg.api.images import AnyPath, ImageLike
    from napari_ctseg.api.progress_bar import ProgressOption

    ModelLike = AnyPath | Bundle


def list_models() -> dict[str, Bundle]:
    """The models that are installed: those that ship with the project, your own, and CTSEG_BUNDLES.

    Returns
    -------
    dict of str to Bundle
        By name. Nothing of a model is run or loaded.

    Examples
    --------
    >>> list(ctseg.list_models())
    ['headneck-ct-scn', 'phantom-abdomen-scn']
    """
    from ctseg_models.bundles import store

    return {bundle.name: bundle for bundle in store.list_bundles()}


def load_model(name_or_path: ModelLike) -> Bundle:
    """Find a model by its name or path and check its files.

    Parameters
    ----------
    name_or_path : str or Path
        The name of an installed model (see `list_models`), a bundle's folder, an nnU-Net results folder, a
        MONAI bundle, or a TorchScript or ONNX file with its side file.

    Returns
    -------
    Bundle
        `labels`, `channels` (what each channel of an image has to be), `spacing_mm` (z, y, x), `modality`
        and `card` (Markdown). Its weights are read when `predict` first runs it on a device and stay in
        memory as long as this object lives.

    Raises
    ------
    BundleError
        The model does not exist, a file is missing or damaged, or a hash does not match.

    Examples
    --------
    >>> model = ctseg.load_model("headneck-ct-scn")
    >>> [label.name for label in model.labels][:2]
    ['Brainstem', 'SpinalCord']
    >>> predictions = [ctseg.predict(image, model) for image in images]
    """
    from ctseg_models.bundles.loaded_once import LoadedOnce

    bundle = LoadedOnce.of(found(name_or_path))
    bundle.verify()
    return bundle


def predict(
    image: ImageLike,
    model: ModelLike | Sequence[ModelLike],
    *,
    region: Region | None = None,
    combine: Literal["mean", "vote", "staple"] = "mean",
    weights: Sequence[float] | None = None,
    probabilities: bool = False,
    edge_map: bool = False,
    disagreement: Literal["share", "entropy"] = "share",
    mirror: bool = False,
    device: str = "cpu",
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    threads: int | None = None,
    progress: ProgressOption = False,
) -> Prediction:
    """Segment an image with a model, an ensemble of models, or a stack.

    Parameters
    ----------
    image : Volume, SimpleITK.Image, nibabel image, str or Path
        The image, (z, y, x) or (c, z, y, x), in HU for CT. An array becomes one by
        `as_volume`.
    model : str, Path, Bundle, or a sequence of them
        As in `load_model`; several form an ensemble, whose labels are matched by name. The folder of a stack
        (`napari-ctseg stack`) may stand alone. A name or path is loaded for this call only: for many images
        give what `load_model` returns.
    region : Region, optional
        Segment only this box, in LPS mm, and run no localiser.
    combine : {"mean", "vote", "staple"}
        How the members of an ensemble are combined: mean of the probabilities, majority vote, or STAPLE.
    weights : sequence of float, optional
        How much each model of an ensemble counts; above 0, for "mean" and "vote".
    probabilities : bool
        Also return the class probabilities on the network's grid (one model only).
    edge_map : bool
        Also return where the borders of the labels are uncertain, 0 to 1 (one model only).
    disagreement : {"share", "entropy"}
        What the disagreement map holds: the share of an ensemble's members that differ, or the entropy of
        the probabilities. One model has such a map for "entropy" only.
    mirror : bool
        Average over mirrored inputs, where the model allows it: 2, 4 or 8 times the work.
    device : str
        "cpu", "cuda", "cuda:1", ...
    precision : {"auto", "fp32", "bf16"}
        "auto" takes bf16 where a short measurement shows that it is clearly faster.
    threads : int, optional
        Processor threads; default: torch's own setting.
    progress : bool or callable
        True shows a bar; a function is called with every `Progress`.

    Returns
    -------
    Prediction
        `labels` is a LabelMap on the grid and in the voxel order of the image; `provenance` records the
        model, the settings, the times and how confident each label is; `warnings` holds one sentence for
        each thing to know before trusting the labels.

    Raises
    ------
    BundleError
        The model is missing, damaged or not trusted, or does not fit the image or the memory.
    FormatError, GeometryError
        The image cannot be read.

    Examples
    --------
    >>> prediction = ctseg.predict("scan.nii.gz", "headneck-ct-scn", progress=True)
    >>> prediction.labels.array.shape == ctseg.read("scan.nii.gz").array.shape
    True
    >>> both = ctseg.predict(image, ["model-a", "model-b"], combine="vote")
    """
    from ctseg_models.inference import InferenceSettings

    settings = InferenceSettings(
        device=device,
        precision=precision,
        probabilities=probabilities,
        edge_map=edge_map,
        threads=threads,
        mirroring=mirror,
        disagreement=disagreement,
    )
    models = [model] if isinstance(model, str | PathLike | Bundle) else list(model)
    if not models:
        raise ValueError("No model is given; name at least one.")
    _refuse_other_than_region(region)
    volume = as_volume(image)
    if len(models) == 1:
        return follow(_running_one(models[0], volume, region, settings), progress)
    from ctseg_models.ensembles.ensemble import run_ensemble

    _refuse_maps_of_one(probabilities or edge_map)
    bundles = [found(one) for one in models]
    work = run_ensemble(bundles, volume, combine=combine, weights=weights, region=region, settings=settings)
    return follow(work, progress)


def found(model: ModelLike) -> Bundle:
    """A model by name or path, in the class of its format; running it checks its files."""
    from ctseg_models.bundles import store

    return model if isinstance(model, Bundle) else store.find(Path(model))


def _refuse_other_than_region(region: object) -> None:
    """Raises GeometryError."""
    from ctseg_models.contract.lattice import Region

    if not isinstance(region, Region | None):
        raise GeometryError(
            f"region is a {type(region).__name__}; give a Region of two corners (x, y, z) in LPS mm."
        )


def _running_one(
    model: ModelLike, volume: Volume, region: Region | None, settings: InferenceSettings
) -> Generator[Progress, None, Prediction]:
    """A stack or a single bundle."""
    from ctseg_models import inference
    from ctseg_models.ensembles.stack import DESCRIPTION, read_stack

    if not isinstance(model, Bundle) and (Path(model) / DESCRIPTION).is_file():
        from ctseg_models.ensembles.stacking import run_stack

        _refuse_maps_of_one(settings.probabilities or settings.edge_map)
        return run_stack(read_stack(Path(model)), volume, region=region, settings=settings)
    return inference.run(found(model), volume, region=region, settings=settings)


def _refuse_maps_of_one(wanted: bool) -> None:
    if wanted:
        raise ValueError(
            "probabilities and edge_map are for a single model; an ensemble has a disagreement map."
        )
