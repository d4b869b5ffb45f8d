"""Several bundles over one volume: one label map from all of them, and where they disagree."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import LabelMap, Volume
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.lattice import Region
from ctseg_models.contract.prediction import Prediction
from ctseg_models.contract.upright import Upright
from ctseg_models.ensembles.common_labels import CommonLabels
from ctseg_models.ensembles.fusion import Combine, Outputs, Panel, fuse
from ctseg_models.ensembles.members import boxes_of, common_target, run_members, stages_of, warnings_of
from ctseg_models.inference.labels.confidence import Tally
from ctseg_models.inference.localiser_cache import LocaliserCache
from ctseg_models.inference.memory_fallback import out_of_memory_as_bundle_error
from ctseg_models.inference.network.precision import check_device, choose
from ctseg_models.inference.network.threads import thread_count
from ctseg_models.inference.pipeline import label_dtype
from ctseg_models.inference.provenance import provenance_of
from ctseg_models.inference.settings import InferenceSettings
from ctseg_models.inference.stage_run import report

__all__ = ["Combine", "run_ensemble"]


def run_ensemble(
    bundles: Sequence[Bundle],
    volume: Volume,
    *,
    combine: Combine = "mean",
    weights: Sequence[float] | None = None,
    region: Region | None = None,
    settings: InferenceSettings = InferenceSettings(),
    remembered: LocaliserCache | None = None,
) -> Generator[Progress, None, Prediction]:
    """Like `inference.run` for several bundles, of any format; the Prediction has a disagreement map.

    combine : "mean" of the probabilities, "vote", or "staple" (see `fusion.fuse`). weights : one above 0
    for each bundle; None: all the same. Labels are matched by name (`CommonLabels`). The members are
    loaded, run and freed one after another; their maps stay, and a localiser that several share looks
    once. Raises BundleError when the weights do not fit, and whatever `run` raises.
    """
    common = CommonLabels.of(bundles)
    shares = _checked(weights, len(bundles), combine)
    begun = time.perf_counter()
    check_device(settings.device)
    upright = Upright.of(volume)
    with thread_count(settings.threads), out_of_memory_as_bundle_error(settings.device):
        arithmetic = choose(settings.precision, settings.device)
        found = yield from run_members(
            bundles,
            upright,
            region,
            settings.device,
            arithmetic,
            mirroring=settings.mirroring,
            remembered=remembered or LocaliserCache(),
        )
        computed = time.perf_counter()
        labels = np.zeros(volume.geometry.shape, label_dtype((0, *common.labels.values)))
        disagreement = np.zeros(volume.geometry.shape, np.float32)
        target = common_target(found, upright)
        place = tuple(slice(a, b) for a, b in zip(target.start, target.stop, strict=True))
        tally = Tally(max((0, *common.labels.values))) if settings.confidence else None
        outputs = Outputs(
            upright.view.apply(labels)[place],
            upright.view.apply(disagreement)[place],
            settings.disagreement,
            tally,
        )
        panel = Panel.of(
            [member.maps.renamed(meaning) for member, meaning in zip(found, common.meanings, strict=True)],
            shares,
            target,
        )
        reliable = yield from report(
            "assemble",
            fuse(panel, target, combine, outputs),
            "Bringing the labels together on the image's grid",
        )
    times = {
        "networks": computed - begun,
        "assemble": time.perf_counter() - computed,
        "total": time.perf_counter() - begun,
    }
    boxes = boxes_of(bundles, found, upright)
    rows = (
        None
        if tally is None
        else tally.table(common.labels, float(np.prod(volume.geometry.spacing_mm)) / 1000)
    )
    record = provenance_of(
        bundles,
        volume,
        settings,
        arithmetic,
        stages_of(bundles, found),
        times,
        [*common.warnings, *warnings_of(bundles, found, volume, settings)],
        boxes,
        combine,
        rows,
    )
    record |= _how(bundles, common, weights, panel.values, reliable)
    return Prediction(
        LabelMap(labels, volume.geometry, common.labels, source=volume.source),
        boxes,
        disagreement=Volume(disagreement, volume.geometry),
        provenance=record,
    )


def _checked(weights: Sequence[float] | None, members: int, combine: Combine) -> list[float]:
    if weights is None:
        return [1.0] * members
    if combine == "staple":
        raise BundleError(
            "STAPLE finds out itself how much to trust each model; leave out the weights, or choose mean or "
            "vote."
        )
    if len(weights) != members:
        raise BundleError(f"There are {len(weights)} weights for {members} models; give each model one.")
    if not all(np.isfinite(weight) and weight > 0 for weight in weights):
        raise BundleError("A weight is a number above 0; leave out a model that is not to count.")
    return [float(weight) for weight in weights]


def _how(
    bundles: Sequence[Bundle],
    common: CommonLabels,
    weights: Sequence[float] | None,
    values: Sequence[int],
    reliable: NDArray[np.float64] | None,
) -> dict[str, Any]:
    """For the provenance: weights, label values that became others, and how reliable STAPLE found each
    member.
    """
    told: dict[str, Any] = {}
    if weights is not None:
        told["weights"] = [float(weight) for weight in weights]
    if renamed := common.record(bundles):
        told["label_values"] = renamed
    if reliable is not None:
        names = ["background" if value == 0 else common.labels.name(value) for value in values]
        told["staple"] = [
            {
                "bundle": bundle.name,
                "finds": {name: round(float(share), 4) for name, share in zip(names, row, strict=True)},
            }
            for bundle, row in zip(bundles, reliable, strict=True)
        ]
    return told
