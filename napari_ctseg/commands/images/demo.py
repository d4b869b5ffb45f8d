"""`napari-ctseg demo`: volumes that the model never saw, its prediction, overlays, plot and a table of
metrics.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_ctseg.commands.console import follow, note, out, print_result, refuse_existing

if TYPE_CHECKING:
    from ctseg_imaging.metrics.reports.case_report import CaseReport
    from ctseg_imaging.volume import LabelMap, Volume
    from ctseg_models.contract.prediction import Prediction

PHANTOM_BUNDLE, REAL_BUNDLE = "phantom-abdomen-scn", "headneck-ct-scn"
# Seeds and sizes that no training used: the bundle saw seeds 100 to 191, 2.5 to 4.0 mm between slices and 2.4
# to 3.4 mm in plane, so the first lies below that range in plane and the last beyond it between slices.
PHANTOMS = (
    (90_001, (150, 176, 192), (2.5, 2.0, 2.0)),
    (90_002, (96, 120, 132), (4.0, 2.8, 2.8)),
    (90_003, (84, 100, 104), (4.5, 3.4, 3.4)),
)


@dataclass(frozen=True, eq=False)
class Shown:
    """One case of the demonstration."""

    name: str
    image: Volume
    truth: LabelMap


def demo(
    real: Annotated[
        Path | None,
        typer.Option(metavar="DATASET", help="Use a case of this data set's `validation` split instead."),
    ] = None,
    screenshot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save a picture of the whole window (.png).")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the window open after the picture was saved.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it exists.")] = False,
) -> None:
    """Demonstrate the whole workflow on cases never seen in training.

    Predicts, prints the metrics and shows the first case in the viewer.
    """
    from ctseg_models.bundles import store

    if screenshot is not None:
        refuse_existing(screenshot, overwrite)
    bundle = store.find(PHANTOM_BUNDLE if real is None else REAL_BUNDLE)
    cases = phantoms() if real is None else held_out(real, bundle)
    first: tuple[Shown, Prediction] | None = None
    reports = []
    for case in cases:
        prediction, report = predict_and_score(bundle, case)
        first = first or (case, prediction)
        reports.append(report)
    if first is None:  # held_out raises before this
        return
    out.print(table(bundle.name, reports))
    what = f"{len(reports)} phantoms" if real is None else reports[0].case
    print_result(f"mean Dice {mean_dice(reports):.3f} of {bundle.name} on {what}, never seen in training")
    show(*first, bundle.name, screenshot, keep)


def phantoms() -> Iterator[Shown]:
    """Phantoms whose anatomy, size and spacing differ from those in training."""
    from ctseg_imaging.phantom import abdomen

    for seed, shape, spacing in PHANTOMS:
        note(
            f"Making a phantom CT of {' x '.join(map(str, shape))} voxels of {' x '.join(map(str, spacing))} "
            "mm"
        )
        case = abdomen(seed, shape, spacing)
        yield Shown(f"phantom {seed}", case.image, case.labels)


def held_out(dataset: Path, bundle: Any) -> Iterator[Shown]:
    """A case of a data set's validation split, which no training of the bundle used.

    Of those with most labels contoured the one with the finest voxels: something to look at, chosen without a
    look at any score.
    """
    from ctseg_imaging.errors import RecipeError
    from ctseg_training.data.decathlon import open_dataset
    from napari_ctseg.compute import reading

    entries = open_dataset(dataset, bundle.labels).validation
    if not entries:
        raise RecipeError(
            f'{dataset}: dataset.json lists no case under "validation", and the others are for training.'
        )
    most = max(sum(entry.present) for entry in entries)
    complete = [(reading.read(entry.image), entry) for entry in entries if sum(entry.present) == most]
    image, entry = min(complete, key=lambda pair: pair[0].geometry.voxel_volume_mm3)
    truth = reading.read_labels(entry.label, names={label.value: label.name for label in bundle.labels})
    contoured = [label.name for index, label in enumerate(bundle.labels, start=1) if entry.present[index]]
    yield Shown(entry.name, image, replace(truth, labels=bundle.labels.contoured_only(contoured)))


def predict_and_score(bundle: Any, case: Shown) -> tuple[Prediction, CaseReport]:
    """The bundle's prediction and its metrics against the truth."""
    from ctseg_imaging.metrics.reports.evaluation import evaluate_pair
    from ctseg_models import inference

    prediction = follow(inference.run(bundle, case.image))
    for warning in prediction.warnings:
        note(f"{case.name}: {warning}")
    return prediction, evaluate_pair(prediction.labels, case.truth, case=case.name)


def mean_dice(reports: list[CaseReport]) -> float:
    """Mean over cases and contoured labels; labels that are empty on both sides are left out."""
    values = [
        row.dice for report in reports for row in report.rows if row.contoured and not math.isnan(row.dice)
    ]
    return sum(values) / len(values) if values else math.nan


def table(name: str, reports: list[CaseReport]) -> Any:
    """One row a case and label."""
    from rich.table import Table

    grid = Table(title=f"{name} against the truth", title_justify="left")
    grid.add_column("case", no_wrap=True)
    grid.add_column("label", no_wrap=True)
    for column in ("Dice", "HD95 mm", "NSD 2 mm", "truth ml", "model ml"):
        grid.add_column(column, justify="right")
    for report in reports:
        for row in report.rows:
            cells = zip(
                (row.dice, row.hd95, row.nsd, row.volume_truth_ml, row.volume_pred_ml),
                (3, 1, 3, 1, 1),
                strict=True,
            )
            texts = ["-" if math.isnan(value) else f"{value:.{digits}f}" for value, digits in cells]
            grid.add_row(row.case, row.name, *(texts if row.contoured else ["not contoured", "", "", "", ""]))
        grid.add_section()
    return grid


def show(case: Shown, prediction: Prediction, model: str, screenshot: Path | None, keep: bool) -> None:
    """The viewer with the case, its truth, the prediction with its box, contours, and the Compare dock."""
    from ctseg_imaging.windowing import preset
    from napari_ctseg.files import view, workspace
    from napari_ctseg.viewer import display

    with display.screen() as is_real:
        import napari

        viewer = napari.Viewer(title="CT segmentation")
        workspace.lay_out(viewer, case.image, case.name, truth=case.truth)
        compare = workspace.lay_over(viewer, prediction, model, preset("abdomen"))["Compare"].controller
        if screenshot is not None:
            view.picture(
                viewer, screenshot, lambda: compare.state.scores.rows and not compare.state.scores.measuring
            )
            print_result(str(screenshot))
        if is_real and (keep or screenshot is None):
            napari.run()
        else:
            viewer.close()
