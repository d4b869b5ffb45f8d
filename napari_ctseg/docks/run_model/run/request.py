"""What the Run model dock asks of ctseg_models: the only file of the dock that knows it. Networks run in the
computing process.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ctseg_imaging.geometry import AxisView
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import Volume
from ctseg_models.contract.run_warning import RunWarning, WarningKind
from napari_ctseg.compute.client import NETWORKS, run_in_worker
from napari_ctseg.compute.model_cache import ModelCache
from napari_ctseg.docks.run_model.run.box import IndexBox
from napari_ctseg.docks.run_model.state import Combine, RegionChoice

if TYPE_CHECKING:
    from ctseg_models.contract.bundle import Bundle
    from ctseg_models.inference import Estimate, Prediction

MOST_KEPT = 512_000_000  # bytes of probabilities that stay in memory with a mask
_WARM = ModelCache()  # filled in the computing process only


@dataclass(frozen=True, eq=False)
class Request:
    """One run, all that the computing process needs; it is pickled. box : on the shown grid, for
    RegionChoice.BOX. weights : of the bundles, for mean and vote; None: equal.
    """

    bundles: tuple[Bundle, ...]
    volume: Volume
    region: RegionChoice
    box: IndexBox | None
    combine: Combine
    device: str
    precision: str
    edge_map: bool
    weights: tuple[float, ...] | None = None
    mirroring: bool = False
    entropy: bool = False
    probabilities: bool = False


class Models(Protocol):
    """The seam to ctseg_models. `estimate` and `run` are driven in a thread."""

    def bundles(self) -> tuple[Sequence[Bundle], Sequence[str]]:
        """Everything installed, and a sentence for each thing that looks like a model and cannot be used."""

    def estimate(self, request: Request) -> Generator[Progress, None, Estimate]:
        """What the run will take."""

    def run(self, request: Request) -> Generator[Progress, None, Prediction]:
        """The run."""


class InstalledModels:
    """The models of ctseg_models; making it has the computing process load torch in the background."""

    def __init__(self) -> None:
        NETWORKS.preload()

    def bundles(self) -> tuple[Sequence[Bundle], Sequence[str]]:
        """The shipped ones and the user's own; imports no torch."""
        from ctseg_models.bundles.store import scan

        found = scan()
        return found.bundles, found.faults

    def estimate(self, request: Request) -> Generator[Progress, None, Estimate]:
        """What the chosen models will take together."""
        return run_in_worker(estimated, _to_send(request), title=_title(request))

    def run(self, request: Request) -> Generator[Progress, None, Prediction]:
        """One model, or an ensemble."""
        return run_in_worker(predicted, _to_send(request), title=_title(request))


def estimated(request: Request) -> Generator[Progress, None, Estimate]:
    """In the computing process: what a run will take."""
    from ctseg_models.inference import estimate, estimate_together

    yield Progress("estimate", 0, 1, f"Measuring {_title(request)}")
    if len(request.bundles) == 1:
        return estimate(
            request.bundles[0],
            request.volume,
            model=_WARM.model(request.bundles[0], request.device),
            region=_region(request),
            settings=_settings(request),
        )
    return estimate_together(
        request.bundles, request.volume, region=_region(request), settings=_settings(request)
    )


def predicted(request: Request) -> Generator[Progress, None, Prediction]:
    """In the computing process: the run."""
    remembered = _WARM.remembered(request.volume)
    if len(request.bundles) == 1:
        from ctseg_models.inference import run

        yield Progress("load", 0, 1, f"Loading {_title(request)}")
        return _to_keep(
            (
                yield from run(
                    request.bundles[0],
                    request.volume,
                    model=_WARM.model(request.bundles[0], request.device),
                    region=_region(request),
                    settings=_settings(request),
                    localiser_cache=remembered,
                )
            )
        )
    from ctseg_models.ensembles.ensemble import run_ensemble

    return (
        yield from run_ensemble(
            request.bundles,
            request.volume,
            combine=request.combine.value,
            weights=request.weights,
            region=_region(request),
            settings=_settings(request),
            localiser_cache=remembered,
        )
    )


def _to_keep(prediction: Prediction) -> Prediction:
    """With its probabilities as float16, or with a warning when they are larger than MOST_KEPT."""
    maps = prediction.probabilities
    if maps is None:
        return prediction
    if 2 * maps.array.size <= MOST_KEPT:
        return replace(prediction, probabilities=replace(maps, array=maps.array.astype(np.float16)))
    text = (
        f"The probabilities need {2 * maps.array.size / 1e6:.0f} MB, and more than {MOST_KEPT / 1e6:.0f} MB "
        "are not kept; Refine cannot be used on this result."
    )
    warnings = (*prediction.warnings, RunWarning(WarningKind.MAPS, text))
    return replace(prediction, probabilities=None, warnings=warnings)


def _to_send(request: Request) -> Request:
    """Without what no network reads: the header and the notes of a patient's file."""
    return replace(request, volume=replace(request.volume, header=None, notes=()))


def _title(request: Request) -> str:
    return ", ".join(bundle.name for bundle in request.bundles)


def _settings(request: Request) -> Any:
    from ctseg_models.inference import InferenceSettings

    return InferenceSettings(
        device=request.device,
        precision=request.precision,  # type: ignore[arg-type]
        probabilities=request.probabilities,
        edge_map=request.edge_map,
        mirroring=request.mirroring,
        disagreement="entropy" if request.entropy else "share",
    )


def _region(request: Request) -> Any:
    from ctseg_models.inference import Region

    shown = AxisView.of(request.volume.geometry).geometry(request.volume.geometry)
    if request.region is RegionChoice.WHOLE:
        return Region.whole(shown)
    return None if request.box is None else Region.from_index(shown, *request.box)
