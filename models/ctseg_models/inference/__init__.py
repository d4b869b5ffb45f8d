"""Bundles over volumes. Importing this imports no torch; running does."""

from __future__ import annotations

from collections.abc import Generator

from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import Volume
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.lattice import Region
from ctseg_models.contract.prediction import Prediction
from ctseg_models.contract.run_warning import RunWarning, WarningKind
from ctseg_models.contract.stage import Model
from ctseg_models.inference.cost import Estimate, estimate, estimate_together
from ctseg_models.inference.inference_settings import InferenceSettings
from ctseg_models.inference.localiser_cache import LocaliserCache

__all__ = [
    "Estimate",
    "InferenceSettings",
    "LocaliserCache",
    "Prediction",
    "Region",
    "RunWarning",
    "WarningKind",
    "estimate",
    "estimate_together",
    "run",
]


def run(
    bundle: Bundle,
    volume: Volume,
    *,
    model: Model | None = None,
    region: Region | None = None,
    settings: InferenceSettings = InferenceSettings(),
    localiser_cache: LocaliserCache | None = None,
) -> Generator[Progress, None, Prediction]:
    """Run `bundle` on `volume`: a generator of Progress whose return value is the Prediction, on the volume's
    own grid.

    model : the bundle's, where it is in memory already, on the device of `settings`; None: it is loaded.
    region : look there (LPS mm, or Region.from_index) instead of asking the localiser; None: the
    localiser's box, or the whole volume when the bundle has none. localiser_cache : what localisers found in
    this volume before, filled further. Closing the generator cancels; no step is longer than about a
    second. Raises BundleError when the bundle is damaged or does not fit the volume.
    """
    from ctseg_models.inference.pipeline import run_bundle

    return (
        yield from run_bundle(
            bundle, volume, model=model, region=region, settings=settings, localiser_cache=localiser_cache
        )
    )
