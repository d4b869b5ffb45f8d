"""Several bundles over one volume, before they are combined: what each found, where, and its warnings."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import Progress, in_part
from ctseg_imaging.volume import Volume
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.lattice import Region
from ctseg_models.contract.prediction import ROI, RoiBox
from ctseg_models.contract.run_warning import RunWarning, WarningKind
from ctseg_models.contract.upright import Upright
from ctseg_models.inference.inference_settings import InferenceSettings
from ctseg_models.inference.labels.class_maps import Target
from ctseg_models.inference.localiser_cache import LocaliserCache
from ctseg_models.inference.maps.stored import held_bytes
from ctseg_models.inference.memory_fallback import load_with_cpu_fallback
from ctseg_models.inference.segmentation import segment
from ctseg_models.inference.stage_run import StageResult, materialised


def run_members(
    bundles: Sequence[Bundle],
    upright: Upright,
    region: Region | None,
    device: str,
    arithmetic: Arithmetic,
    *,
    mirroring: bool = False,
    localiser_cache: LocaliserCache | None = None,
) -> Generator[Progress, None, list[StageResult]]:
    """The class maps of each bundle on its own lattice; the members are loaded, run and freed one after
    another.

    Their maps share one budget of memory, and Progress names the member as its part. Raises BundleError.
    """
    found: list[StageResult] = []
    taken = 0
    for number, bundle in enumerate(bundles):
        work = _run_member(bundle, upright, region, device, arithmetic, mirroring, localiser_cache, taken)
        one = yield from in_part(work, number, len(bundles))
        taken += held_bytes(one.maps.maps)
        found.append(one)
    return found


def _run_member(
    bundle: Bundle,
    upright: Upright,
    region: Region | None,
    device: str,
    arithmetic: Arithmetic,
    mirroring: bool,
    localiser_cache: LocaliserCache | None,
    taken: int,
) -> Generator[Progress, None, StageResult]:
    """One member, with all its maps computed. taken : bytes that the maps of the others hold."""
    yield Progress("load", 0, 1, f"Loading {bundle.name}")
    one = yield from segment(
        load_with_cpu_fallback(bundle, device),
        upright,
        region,
        arithmetic,
        mirroring=mirroring,
        localiser_cache=localiser_cache,
    )
    if one.unnamed:
        raise BundleError(
            f"{bundle.name}: wrote labels that its metadata does not name, so they cannot be matched with "
            "those of other models; run it alone."
        )
    one.maps = yield from materialised(one.maps, taken)
    return one


def common_target(found: Sequence[StageResult], upright: Upright) -> Target:
    """The smallest box of the view's voxels that holds the boxes of all members."""
    boxes = [member.box.voxels(upright.geometry) for member in found]
    start = np.min([box[0] for box in boxes], axis=0)
    stop = np.max([box[1] for box in boxes], axis=0)
    return Target(
        upright.geometry.spacing_mm,
        (int(start[0]), int(start[1]), int(start[2])),
        (int(stop[0]), int(stop[1]), int(stop[2])),
    )


def warnings_of(
    bundles: Sequence[Bundle], found: Sequence[StageResult], volume: Volume, settings: InferenceSettings
) -> list[RunWarning]:
    """The warnings of the members, and of what is not available for several bundles; none twice."""
    warnings = [
        warning
        for bundle, member in zip(bundles, found, strict=True)
        for warning in (*bundle.warnings_for(volume), *member.warnings)
    ]
    if settings.probabilities or settings.edge_map:
        text = "Probabilities and edge map are given for a single bundle only, not for several."
        warnings.append(RunWarning(WarningKind.MAPS, text))
    return list(dict.fromkeys(warnings))


def boxes_of(bundles: Sequence[Bundle], found: Sequence[StageResult], upright: Upright) -> tuple[RoiBox, ...]:
    """The region that each member's localiser found, named after the member."""
    pairs = zip(bundles, found, strict=True)
    return tuple(
        upright.stored_box(f"{ROI} ({bundle.name})", member.box) for bundle, member in pairs if member.roi
    )


def stages_of(bundles: Sequence[Bundle], found: Sequence[StageResult]) -> list[dict[str, Any]]:
    """The log of every member's stages, for the provenance."""
    return [
        {"bundle": bundle.name, **stage}
        for bundle, member in zip(bundles, found, strict=True)
        for stage in member.stages
    ]
