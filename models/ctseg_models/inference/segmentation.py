"""A model's networks over a volume: localise -> box -> segment. Source: paper 5, section 2."""

from __future__ import annotations

from collections.abc import Generator

from ctseg_imaging.progress import Progress
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.lattice import Region, ViewBox
from ctseg_models.contract.run_warning import RunWarning, WarningKind
from ctseg_models.contract.stage import LoadedStage, Model
from ctseg_models.contract.upright import Upright
from ctseg_models.inference.labels.foreground_box import foreground_box
from ctseg_models.inference.localiser_cache import LocaliserCache
from ctseg_models.inference.stage_run import Conditions, StageResult, StageRun, materialised

NOTHING_LOCALISED = RunWarning(
    WarningKind.LOCALISER,
    "The localiser found nothing, so the whole volume was segmented, as coarsely as it takes to fit; check "
    "the labels carefully.",
)


def segment(
    model: Model,
    upright: Upright,
    region: Region | None,
    arithmetic: Arithmetic,
    *,
    mirroring: bool = False,
    localiser_cache: LocaliserCache | None = None,
) -> Generator[Progress, None, StageResult]:
    """Class maps of the model's last stage, perhaps still pending.

    region : look there instead of running the localiser. localiser_cache : boxes of localisers that have seen
    this volume, filled further. Raises BundleError as a `StageRun` does, and for a region outside the volume.
    """
    conditions = Conditions(model.device, arithmetic, mirroring)
    whole, last = ViewBox.whole(upright.geometry), model.stages[-1]
    if region is not None:
        box = region.box(upright.geometry)
        run = StageRun(last, upright, box, conditions)
        return StageResult((yield from run.class_maps()), box, True, (run.outcome,))
    if len(model.stages) == 2:
        return (yield from _in_two_stages(model.stages[0], last, upright, conditions, localiser_cache))
    run = StageRun(last, upright, whole, conditions, whole=True)
    maps = yield from run.class_maps()
    if last.name == "localise":
        maps = yield from materialised(maps)
        if (roi := foreground_box(maps, whole)) is not None:
            return StageResult(maps, roi.grown(last.margin_mm).cut(whole), True, (run.outcome,))
    return StageResult(maps, whole, False, (run.outcome,))


def _in_two_stages(
    localiser: LoadedStage,
    segmenter: LoadedStage,
    upright: Upright,
    conditions: Conditions,
    localiser_cache: LocaliserCache | None,
) -> Generator[Progress, None, StageResult]:
    """The segmenter in the localiser's box with its margin, or in the whole volume without one."""
    whole = ViewBox.whole(upright.geometry)
    first = StageRun(
        localiser,
        upright,
        whole,
        Conditions(conditions.device, conditions.arithmetic),
        whole=True,
    )
    roi = yield from _localised(first, localiser_cache)
    box = whole if roi is None else roi.grown(localiser.margin_mm).cut(whole)
    run = StageRun(segmenter, upright, box, conditions)
    maps = yield from run.class_maps()
    if roi is None:
        return StageResult(maps, whole, False, (first.outcome, run.outcome), (NOTHING_LOCALISED,))
    return StageResult(maps, maps.lattice.box.cut(whole), True, (first.outcome, run.outcome))


def _localised(
    run: StageRun, localiser_cache: LocaliserCache | None
) -> Generator[Progress, None, ViewBox | None]:
    """The box around what a localiser finds, without its margin; from `localiser_cache` where that has it."""
    key = run.stage.key
    if localiser_cache is not None and key and key in localiser_cache.boxes:
        run.outcome.log["remembered"] = True
        return localiser_cache.boxes[key]
    maps = yield from run.class_maps()
    box = foreground_box((yield from materialised(maps)), run.box)
    if localiser_cache is not None and key:
        localiser_cache.boxes[key] = box
    return box
