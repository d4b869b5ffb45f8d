"""What all ways of combining several bundles share: run the members, combine their maps, record it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.progress import Progress, in_part
from ctseg_imaging.volume import LabelMap, Labels, Volume
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.lattice import Region
from ctseg_models.contract.prediction import Prediction
from ctseg_models.contract.run_warning import RunWarning
from ctseg_models.contract.upright import Upright
from ctseg_models.ensembles.members import boxes_of, common_target, run_members, stages_of, warnings_of
from ctseg_models.inference.inference_settings import InferenceSettings
from ctseg_models.inference.labels.class_maps import Target
from ctseg_models.inference.labels.confidence import Tally
from ctseg_models.inference.localiser_cache import LocaliserCache
from ctseg_models.inference.memory_fallback import out_of_memory_as_bundle_error
from ctseg_models.inference.network.precision import check_device, choose
from ctseg_models.inference.network.threads import thread_count
from ctseg_models.inference.prediction_arrays import label_dtype
from ctseg_models.inference.provenance import provenance_of
from ctseg_models.inference.stage_run import StageResult, report


@dataclass(frozen=True, eq=False)
class MemberResults:
    """What the members found, and where their common result goes."""

    found: Sequence[StageResult]  # of each member, in order
    target: Target  # the smallest box of the view that holds the boxes of all
    labels: NDArray[np.generic]  # (z, y, x) of the whole view, zeros
    disagreement: NDArray[np.float32]  # likewise
    tally: Tally | None  # takes every slab; None: not asked for


COMBINING = "Combining the members on the image's grid"
# Writes the common labels; yields shares of the work and returns additions to the provenance.
Combining = Callable[[MemberResults], Generator[float, None, dict[str, Any]]]


def run_several(
    bundles: Sequence[Bundle],
    volume: Volume,
    labels: Labels,
    combining: Combining,
    *,
    name: str,
    region: Region | None,
    settings: InferenceSettings,
    localiser_cache: LocaliserCache | None = None,
    warnings: Sequence[RunWarning] = (),
    disagreement: bool = True,
) -> Generator[Progress, None, Prediction]:
    """Run the members and combine them: a generator of Progress, whose value is the Prediction.

    labels : of the result. name : of the method, for the provenance. warnings : that precede the members'.
    disagreement : whether `combining` writes that map. The members are loaded, run and freed one after
    another; their maps stay, and a localiser that several share runs once. Raises BundleError.
    """
    begun = time.perf_counter()
    check_device(settings.device)
    upright, values = Upright.of(volume), (0, *labels.values)
    with thread_count(settings.threads), out_of_memory_as_bundle_error(settings.device):
        blank = _Blank.of(volume, values, settings, disagreement=disagreement)
        arithmetic = choose(settings.precision, settings.device)
        found = yield from run_members(
            bundles,
            upright,
            region,
            settings.device,
            arithmetic,
            mirroring=settings.mirroring,
            localiser_cache=localiser_cache or LocaliserCache(),
        )
        computed = time.perf_counter()
        work = report("assemble", combining(blank.given(found, upright)), COMBINING)
        described = yield from in_part(work, len(bundles) - 1, len(bundles))
    ended = time.perf_counter()
    times = {"networks": computed - begun, "assemble": ended - computed, "total": ended - begun}
    boxes = boxes_of(bundles, found, upright)
    every = (*warnings, *warnings_of(bundles, found, volume, settings))
    record = provenance_of(
        bundles,
        volume,
        settings,
        arithmetic,
        stages_of(bundles, found),
        times,
        every,
        boxes,
        name,
        blank.confidence(labels, volume),
    )
    return Prediction(
        LabelMap(blank.labels, volume.geometry, labels, source=volume.source),
        boxes,
        disagreement=Volume(blank.disagreement, volume.geometry) if disagreement else None,
        provenance=record | described,
        warnings=every,
    )


@dataclass(frozen=True, eq=False)
class _Blank:
    """The arrays of the common result, in the volume's stored voxel order."""

    labels: NDArray[np.unsignedinteger[Any]]
    disagreement: NDArray[np.float32]
    tally: Tally | None

    @classmethod
    def of(
        cls, volume: Volume, values: tuple[int, ...], settings: InferenceSettings, *, disagreement: bool
    ) -> _Blank:
        shape = volume.geometry.shape
        return cls(
            np.zeros(shape, label_dtype(values)),
            np.zeros(shape if disagreement else (0, 0, 0), np.float32),
            Tally(max(values)) if settings.confidence else None,
        )

    def given(self, found: Sequence[StageResult], upright: Upright) -> MemberResults:
        """What the combining is given: views of these arrays."""
        view, target = upright.view, common_target(found, upright)
        return MemberResults(
            found, target, view.apply(self.labels), view.apply(self.disagreement), self.tally
        )

    def confidence(self, labels: Labels, volume: Volume) -> list[dict[str, Any]] | None:
        """A row for each label; None where nothing was tallied."""
        voxel_ml = float(np.prod(volume.geometry.spacing_mm)) / 1000
        return None if self.tally is None else self.tally.table(labels, voxel_ml)
