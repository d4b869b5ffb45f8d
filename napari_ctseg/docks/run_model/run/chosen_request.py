"""From the choices of the dock to a request, and to the preferences and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from napari_ctseg.docks.run_model.run import channels, machine
from napari_ctseg.docks.run_model.run.box import drawn_box
from napari_ctseg.docks.run_model.run.request import Request
from napari_ctseg.docks.run_model.state import (
    DEVICES,
    PRECISIONS,
    Combine,
    RegionChoice,
    RunModelState,
    RunOptions,
)

if TYPE_CHECKING:
    import napari

    from ctseg_imaging.volume import Volume
    from ctseg_models.contract.bundle import Bundle


def request_of(
    state: RunModelState, viewer: napari.viewer.Viewer, bundles: Mapping[str, Bundle]
) -> tuple[Request, list[Volume]]:
    """The run as chosen, and its channels, which are not stacked yet. Raises CtsegError if it cannot be."""
    found, options = channels.sources(viewer), state.options
    volumes = [channels.read(viewer, found[name]) for name in state.sources]
    box = None
    if options.region is RegionChoice.BOX:
        box = drawn_box(viewer.layers[options.box], volumes[0].geometry)
    weights = tuple(options.weights.get(name, 1.0) for name in state.chosen)
    request = Request(
        tuple(bundles[name] for name in state.chosen),
        volumes[0],
        options.region,
        box,
        options.combine,
        options.device,
        options.precision,
        options.edge_map,
        weights if state.weighted and len(set(weights)) > 1 else None,
        options.mirroring and not state.why_no_mirroring,
        options.entropy,
        options.probabilities and len(state.chosen) == 1,
    )
    return request, volumes


def as_settings(state: RunModelState) -> dict[str, Any]:
    """The choices that the dock remembers, as JSON."""
    options = state.options
    return {
        "chosen": list(state.chosen),
        "device": options.device,
        "precision": options.precision,
        "edge_map": options.edge_map,
        "combine": options.combine.value,
        "mirroring": options.mirroring,
        "entropy": options.entropy,
        "probabilities": options.probabilities,
    }


def from_settings(kept: Mapping[str, Any], not_here: Mapping[str, str]) -> RunModelState:
    """The choices of the last session; a device or precision that this machine lacks is not chosen.

    not_here : as `machine.unable`.
    """
    device = _available(kept.get("device"), DEVICES, not_here, "cpu")
    unable = machine.unable_on(device, not_here)
    combine = kept.get("combine")
    return RunModelState(
        chosen=tuple(map(str, kept.get("chosen", []))),
        unable=unable,
        options=RunOptions(
            combine=Combine(combine) if combine in list(Combine) else Combine.MEAN,
            device=device,
            precision=_available(kept.get("precision"), PRECISIONS, unable, "auto"),
            mirroring=bool(kept.get("mirroring", False)),
            edge_map=bool(kept.get("edge_map", False)),
            entropy=bool(kept.get("entropy", False)),
            probabilities=bool(kept.get("probabilities", False)),
        ),
    )


def _available(wanted: Any, known: Sequence[str], unable: Mapping[str, str], default: str) -> str:
    return wanted if wanted in known and wanted not in unable else default
