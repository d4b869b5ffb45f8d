"""What the Run model dock asks of ctseg_models: the only file of the dock that knows it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ctseg_imaging.geometry import AxisView
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import Volume
from napari_ctseg.docks.run_model.box import Box
from napari_ctseg.docks.run_model.state import Combine, RegionChoice

if TYPE_CHECKING:
    from ctseg_models.bundles.bundle import Bundle
    from ctseg_models.inference import Estimate, Prediction


@dataclass(frozen=True, eq=False)
class Request:
    """One run, all that the thread needs. box : on the shown grid, for RegionChoice.BOX."""

    bundles: tuple[Bundle, ...]
    volume: Volume
    region: RegionChoice
    box: Box | None
    combine: Combine
    device: str
    precision: str
    edge_map: bool


class Models(Protocol):
    """The seam to ctseg_models; only `estimate` and `run` may load torch, and they are called in the thread."""

    def bundles(self) -> tuple[Sequence[Bundle], Sequence[str]]:
        """Everything installed, and a sentence for each thing that looks like a model and cannot be used."""

    def estimate(self, request: Request) -> Generator[Progress, None, Estimate]:
        """What the run will take."""

    def run(self, request: Request) -> Generator[Progress, None, Prediction]:
        """The run."""


class InstalledModels:
    """The models of ctseg_models."""

    def bundles(self) -> tuple[Sequence[Bundle], Sequence[str]]:
        """The shipped ones and the person's own; imports no torch."""
        from ctseg_models.bundles.store import scan

        found = scan()
        return found.bundles, found.faults

    def estimate(self, request: Request) -> Generator[Progress, None, Estimate]:
        """Summed seconds and the largest memory of the chosen models."""
        from ctseg_models.inference import Estimate, estimate

        seconds, most = 0.0, 0.0
        for number, bundle in enumerate(request.bundles):
            yield Progress("estimate", number, len(request.bundles), f"Measuring {bundle.name}")
            one = estimate(bundle, request.volume, region=_region(request), settings=_settings(request))
            seconds, most = seconds + one.seconds, max(most, one.bytes)
        return Estimate(seconds, most)

    def run(self, request: Request) -> Generator[Progress, None, Prediction]:
        """One model, or an ensemble."""
        if len(request.bundles) == 1:
            from ctseg_models.inference import run

            return (yield from run(request.bundles[0], request.volume, region=_region(request), settings=_settings(request)))
        from ctseg_models.ensemble import run_ensemble

        return (yield from run_ensemble(request.bundles, request.volume, combine=request.combine.value, region=_region(request),
                                        settings=_settings(request)))


def _settings(request: Request) -> Any:
    from ctseg_models.inference import Settings

    return Settings(device=request.device, precision=request.precision, edge_map=request.edge_map)  # type: ignore[arg-type]


def _region(request: Request) -> Any:
    from ctseg_models.inference import Region

    shown = AxisView.of(request.volume.geometry).geometry(request.volume.geometry)
    if request.region is RegionChoice.WHOLE:
        return Region.whole(shown)
    return None if request.box is None else Region.from_index(shown, *request.box)
