"""Several bundles over one volume: one label map from all of them, and where they disagree."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import Volume
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.lattice import Region
from ctseg_models.contract.prediction import Prediction
from ctseg_models.ensembles.common_labels import CommonLabels
from ctseg_models.ensembles.fusion import Combine, FusionArrays, Panel, fuse
from ctseg_models.ensembles.several import MemberResults, run_several
from ctseg_models.inference.inference_settings import InferenceSettings
from ctseg_models.inference.localiser_cache import LocaliserCache

__all__ = ["Combine", "run_ensemble"]


def run_ensemble(
    bundles: Sequence[Bundle],
    volume: Volume,
    *,
    combine: Combine = "mean",
    weights: Sequence[float] | None = None,
    region: Region | None = None,
    settings: InferenceSettings = InferenceSettings(),
    localiser_cache: LocaliserCache | None = None,
) -> Generator[Progress, None, Prediction]:
    """Like `inference.run` for several bundles, of any format; the Prediction has a disagreement map.

    combine : "mean" of the probabilities, "vote", or "staple" (see `fusion.fuse`). weights : one above 0
    for each bundle; None: all the same. Labels are matched by name (`CommonLabels`). The members are
    loaded, run and freed one after another; their maps stay, and a localiser that several share runs
    once. Raises BundleError when the weights do not fit, and every error that `run` raises.
    """
    common = CommonLabels.of(bundles)
    shares = _checked(weights, len(bundles), combine)

    def combining(given: MemberResults) -> Generator[float, None, dict[str, Any]]:
        meanings = zip(given.found, common.meanings, strict=True)
        maps = [member.maps.renamed(meaning) for member, meaning in meanings]
        panel, place = Panel.of(maps, shares, given.target), given.target.place
        outputs = FusionArrays(
            given.labels[place], given.disagreement[place], settings.disagreement, given.tally
        )
        reliable = yield from fuse(panel, given.target, combine, outputs)
        return _described(bundles, common, weights, panel.values, reliable)

    return (
        yield from run_several(
            bundles,
            volume,
            common.labels,
            combining,
            name=combine,
            region=region,
            settings=settings,
            localiser_cache=localiser_cache,
            warnings=common.warnings,
        )
    )


def _checked(weights: Sequence[float] | None, members: int, combine: Combine) -> list[float]:
    if weights is None:
        return [1.0] * members
    if combine == "staple":
        raise BundleError(
            "STAPLE estimates how reliable each model is; leave out the weights, or choose mean or vote."
        )
    if len(weights) != members:
        raise BundleError(f"There are {len(weights)} weights for {members} models; give each model one.")
    if not all(np.isfinite(weight) and weight > 0 for weight in weights):
        raise BundleError("A weight is a number above 0; leave out a model that should not count.")
    return [float(weight) for weight in weights]


def _described(
    bundles: Sequence[Bundle],
    common: CommonLabels,
    weights: Sequence[float] | None,
    values: Sequence[int],
    reliable: NDArray[np.float64] | None,
) -> dict[str, Any]:
    """For the provenance: weights, changed label values, and STAPLE's reliability of each member."""
    record: dict[str, Any] = {}
    if weights is not None:
        record["weights"] = [float(weight) for weight in weights]
    if renamed := common.record(bundles):
        record["label_values"] = renamed
    if reliable is not None:
        names = ["background" if value == 0 else common.labels.name(value) for value in values]
        record["staple"] = [
            {
                "bundle": bundle.name,
                "finds": {name: round(float(share), 4) for name, share in zip(names, row, strict=True)},
            }
            for bundle, row in zip(bundles, reliable, strict=True)
        ]
    return record
