"""`napari-ctseg calibrate`: make a bundle's confidence match its accuracy."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_ctseg.commands.console import follow, note, print_result
from napari_ctseg.commands.models.stack import held_out
from napari_ctseg.commands.results.prediction_files import refuse_unwritable

if TYPE_CHECKING:
    from ctseg_imaging.volume import Labels
    from ctseg_models.calibration.fitting import KnownCase
    from ctseg_training.data.decathlon import CaseEntry


def calibrate(
    bundle: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE",
            help="A bundle of this project: name or folder. It is changed in place; a "
            "shipped one is first copied to your own folder.",
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="DATASET", help="A folder with dataset.json (Medical Segmentation Decathlon)."
        ),
    ],
    cases: Annotated[
        list[str] | None,
        typer.Option(
            "--cases",
            metavar="CASE",
            help="A case that the bundle was not trained on; repeat. "
            "Default: the data set's validation list.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Fit again even if the bundle already has a temperature.")
    ] = False,
) -> None:
    """Fit a temperature to a bundle's probabilities on cases it has not seen, and store it in the bundle.

    Labels and weights stay unchanged. The bundle's hashes change, so a stack that contains it has to be
    trained again. A bundle that comes with napari-ctseg is not changed: the calibrated copy goes to the
    folder of `bundle add`.
    """
    from ctseg_imaging.errors import BundleError, BundleExists
    from ctseg_models.bundles import store
    from ctseg_models.bundles.own.bundle import OwnBundle
    from ctseg_models.calibration.fitting import calibrate as fit
    from ctseg_models.calibration.fitting import copied_with_calibration, with_calibration
    from ctseg_models.inference import InferenceSettings
    from ctseg_training.data.decathlon import open_dataset

    chosen = store.find(bundle)
    if not isinstance(chosen, OwnBundle):
        raise BundleError(
            f"{chosen.path}: is not a bundle of this project, so a temperature cannot be stored in it."
        )
    if chosen.stages[-1].calibration and not overwrite:
        raise BundleError(
            f"{chosen.path}: is already calibrated (temperature {chosen.stages[-1].temperature:.3f}); give "
            "--overwrite to fit again."
        )
    shipped = store.is_shipped(chosen.path)
    target = store.user_folder() / chosen.path.name if shipped else chosen.path
    if shipped and target.exists() and not overwrite:
        raise BundleExists(target)
    refuse_unwritable(target.resolve())
    dataset = open_dataset(data, chosen.labels)
    entries = held_out(dataset, cases)
    note(f"The bundle must not have seen these cases: {', '.join(entry.name for entry in entries)}.")
    if trained := [entry.name for entry in entries if entry in dataset.training]:
        note(
            f"In the training list of the data set: {', '.join(trained)}. A bundle that was trained on them "
            "stays overconfident on new cases; name others with --cases."
        )
    settings = InferenceSettings(device=device, threads=threads)
    found = follow(fit(chosen, [partial(_read, entry, chosen.labels) for entry in entries], settings))
    fitted_on = {"name": dataset.name, "cases": len(entries)}
    if shipped:
        copy = copied_with_calibration(chosen, found, fitted_on, overwrite=overwrite)
        note(
            f"{chosen.path} comes with napari-ctseg and is not changed; from now on the name {copy.name} "
            f"means the calibrated copy {copy.path}. Delete that folder to use the shipped one again."
        )
    else:
        with_calibration(chosen, found, fitted_on)
        note(f"Stored in {chosen.path}.")
    print_result(f"temperature {found.temperature:.3f}")
    print_result(f"expected calibration error {found.ece_before:.4f} -> {found.ece_after:.4f}")
    print_result(f"negative log-likelihood {found.nll_before:.4f} -> {found.nll_after:.4f}")


def _read(entry: CaseEntry, labels: Labels) -> KnownCase:
    """The case with its truth in the bundle's label values. Raises FormatError."""
    import numpy as np

    from ctseg_models.calibration.fitting import KnownCase
    from napari_ctseg.compute import reading

    volume, stored = reading.read(entry.image), reading.read_labels(entry.label).array
    meaning = np.zeros(max(int(stored.max()), *(value for value, _ in entry.classes)) + 1, np.int32)
    for value, index in entry.classes:
        meaning[value] = labels.values[index - 1]
    absent = tuple(
        value for value, present in zip(labels.values, entry.present[1:], strict=True) if not present
    )
    return KnownCase(volume, meaning[stored.astype(np.int64)], absent)
