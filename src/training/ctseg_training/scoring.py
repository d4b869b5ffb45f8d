"""Dice on held-out cases: on the network's own grid for the curve, through the whole bundle for the score
before and after.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ctseg_imaging import formats
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import Progress, finish
from ctseg_models.bundles.own.bundle import OwnBundle
from ctseg_models.contract.lattice import ViewBox
from ctseg_models.contract.plan import StagePlan
from ctseg_models.contract.stage import NetworkSteps
from ctseg_models.contract.tiling import Tiling
from ctseg_models.inference import InferenceSettings, Region, run
from ctseg_models.inference.input.preprocess import network_input
from ctseg_models.inference.maps.windowed import sliding_window
from ctseg_models.inference.network.precision import choose
from ctseg_models.inference.network.scn_slab_runner import steps_of
from ctseg_training.data.cases import Case, CaseStore
from ctseg_training.data.decathlon import CaseEntry
from ctseg_training.data.resampling import reach, sample_labels
from ctseg_training.data.spatial import identity, sample_points
from ctseg_training.record.overlays import CaseComparison

PICTURES = 3  # held-out cases with pictures


@dataclass(frozen=True)
class Scores:
    """Mean Dice per label over the cases in which it was contoured and occurs in truth or prediction; None if
    no case has it.
    """

    dice: dict[str, float | None]

    @property
    def mean(self) -> float | None:
        """Over the labels that have a value."""
        values = [value for value in self.dice.values() if value is not None]
        return float(np.mean(values)) if values else None

    def as_dict(self) -> dict[str, float | None]:
        """For events and bundles: rounded, with "mean" last."""
        return {
            name: None if value is None else round(value, 4)
            for name, value in [*self.dice.items(), ("mean", self.mean)]
        }


def mean_scores(rows: Sequence[Sequence[float | None]], names: Sequence[str]) -> Scores:
    """rows : per case one Dice per label, None where it does not count."""
    columns = zip(*rows, strict=True) if rows else [() for _ in names]
    counted = [[value for value in column if value is not None] for column in columns]
    return Scores(
        {
            name: float(np.mean(values)) if values else None
            for name, values in zip(names, counted, strict=True)
        }
    )


def dice_per_label(
    truth: NDArray[np.generic], found: NDArray[np.generic], present: Sequence[bool]
) -> list[float | None]:
    """Class indices 1, 2, ...; None where the label was not contoured or occurs in neither."""
    n = len(present)
    joint = np.bincount(
        truth.ravel().astype(np.int64) * n + found.ravel().astype(np.int64), minlength=n * n
    ).reshape(n, n)
    sums = joint.sum(0) + joint.sum(1)
    return [2 * float(joint[k, k]) / float(sums[k]) if present[k] and sums[k] else None for k in range(1, n)]


def stage_scores(
    network: nn.Module,
    plan: StagePlan,
    entries: Sequence[CaseEntry],
    cases: CaseStore,
    names: Sequence[str],
    *,
    whole: bool,
    device: str = "cpu",
    seen: list[CaseComparison] | None = None,
) -> Generator[Progress, None, Scores]:
    """Scores of one network alone, on its own grid and with its own inferer, on whole volumes or in the true
    box plus margin_mm.

    seen : receives the first cases with their predictions, for pictures. Freezes the network: give a copy.
    """
    steps = steps_of(network).steps
    rows = []
    for number, entry in enumerate(entries):
        yield Progress("validate", number, len(entries), "Scoring held-out cases")
        finding, present = _find(steps, plan, cases.get(entry), whole, device)
        rows.append(dice_per_label(finding.truth, finding.found, present))
        if seen is not None and number < PICTURES:
            seen.append(replace(finding, case=f"held-out-{number + 1}"))  # a file's name may name a patient
    return mean_scores(rows, names)


def _find(
    steps: NetworkSteps, plan: StagePlan, case: Case, whole: bool, device: str
) -> tuple[CaseComparison, tuple[bool, ...]]:
    """The prediction of a case on the network's grid, the truth, and which labels count."""
    everything, localises = ViewBox.whole(case.geometry), plan.name == "localise"
    lattice = plan.lattice(
        everything if whole else case.box.grown(plan.margin_mm).cut(everything), divide_evenly=whole
    )
    image = finish(network_input(case.image.numpy(), case.spacing_mm, lattice, plan)).to(device)
    arithmetic = choose("auto", device)
    present = (True, True) if localises else case.present
    if plan.patch is None:
        found = finish(steps(image, arithmetic))[: len(present)].argmax(0).cpu()  # edge maps may follow
    else:
        maps = finish(
            sliding_window(
                steps, image, Tiling.spread(lattice.shape, plan.patch, plan.overlap), len(present), arithmetic
            )
        )
        found = torch.stack([maps.part(k, 0, lattice.shape[0]) for k in range(len(present))]).argmax(0)
    at = reach(sample_points(lattice, identity()), case.labels.shape, case.spacing_mm, lattice.spacing_mm)
    truth = sample_labels((case.labels > 0).to(torch.uint8) if localises else case.labels, at)
    return CaseComparison(
        case.name,
        image[0, 0].cpu().numpy(),
        truth.numpy().astype(np.uint8),
        found.numpy().astype(np.uint8),
        lattice.spacing_mm,
    ), present


def bundle_scores(
    bundle: OwnBundle,
    entries: Sequence[CaseEntry],
    *,
    whole: bool,
    device: str = "cpu",
    should_stop: Callable[[], bool] = lambda: False,
) -> Generator[Progress, None, Scores]:
    """The bundle as a user would run it, on the cases' own grid.

    whole : score whole images; else a bundle without a localiser gets the true box plus its margin.
    """
    alone = [stage.name for stage in bundle.stages]
    names = [label.name for label in bundle.labels]
    rows = []
    for number, entry in enumerate(entries):
        if should_stop():
            break
        yield Progress("score", number, len(entries), "Scoring held-out cases with the whole bundle")
        volume, truth = formats.read(entry.image), formats.read_labels(entry.label).array
        classes = np.zeros(max(int(truth.max()), *(value for value, _ in entry.classes)) + 1, np.uint8)
        for value, index in entry.classes:
            classes[value] = index
        true = classes[truth.astype(np.int64)]
        region = (
            _true_region(volume.geometry, true, bundle.stages[0].margin_mm)
            if alone == ["segment"] and not whole
            else None
        )
        found = yield from run(bundle, volume, region=region, settings=InferenceSettings(device=device))
        if alone == ["localise"]:
            rows.append(dice_per_label(true > 0, found.labels.array > 0, [True, True]))
            continue
        index_of = np.zeros(max(bundle.labels.values) + 1, np.uint8)
        index_of[list(bundle.labels.values)] = np.arange(1, len(bundle.labels) + 1)
        rows.append(dice_per_label(true, index_of[found.labels.array], entry.present))
    return mean_scores(rows, names)


def _true_region(geometry: Geometry, labels: NDArray[np.uint8], margin_mm: float) -> Region:
    """The box of all labels plus margin, as a user would draw it; the whole volume when there are none."""
    found = np.argwhere(labels > 0)
    if not len(found):
        return Region.whole(geometry)
    margin = np.ceil(margin_mm / np.array(geometry.spacing_mm)).astype(int)
    start = np.maximum(found.min(axis=0) - margin, 0)
    stop = np.minimum(found.max(axis=0) + 1 + margin, geometry.shape)
    return Region.from_index(
        geometry, (int(start[0]), int(start[1]), int(start[2])), (int(stop[0]), int(stop[1]), int(stop[2]))
    )
