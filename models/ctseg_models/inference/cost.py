"""Expected time and memory of a run: its operations, and the network's speed measured on a small crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod, sqrt
from time import perf_counter
from typing import TYPE_CHECKING

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Shape
from ctseg_imaging.volume import Volume
from ctseg_models.contract.lattice import Region, ViewBox
from ctseg_models.inference.inference_settings import InferenceSettings

if TYPE_CHECKING:
    from ctseg_models.contract.arithmetic import Arithmetic
    from ctseg_models.contract.bundle import Bundle
    from ctseg_models.contract.stage import LoadedStage, Model, RunSize

SIDE = 48  # voxels of the measured crop, roughly
TRIAL_SECONDS = 0.7  # for measuring a crop
EFFICIENCY = 0.4  # of a bare convolution's speed, where the network cannot be measured
SECONDS_PER_VOXEL = 6e-9  # and label: reading the volume twice and writing labels
ENTROPY = 3  # times as long with the entropy, which needs every label at every voxel
MAPS_AT_ONCE = 4.5  # full-resolution feature maps in memory together
FLOPS_OF_A_CHANNEL = (
    324.0  # a 3D U-Net of n channels at full resolution computes about this times n squared for each voxel
)
BASE_BYTES = 5e8  # torch itself
# of a network that reports no operations and takes no crop: those of a small 3D U-Net
UNKNOWN_FLOPS_PER_VOXEL = 3e5

_speeds: dict[
    tuple[str, str, str, Shape], float
] = {}  # seconds for a crop, by network, device, number type and shape


@dataclass(frozen=True)
class Estimate:
    """Expected wall-clock seconds and peak bytes of a run."""

    seconds: float
    bytes: float


def estimate(
    bundle: Bundle,
    volume: Volume,
    *,
    model: Model | None = None,
    region: Region | None = None,
    settings: InferenceSettings = InferenceSettings(),
) -> Estimate:
    """An upper estimate: where a localiser decides, the segmenter is assumed to need its largest size.

    model : the bundle's, where it is in memory already; None: it is loaded. Takes a second or two the first
    time, for loading and measuring the network. Raises BundleError as loading does.
    """
    seconds, shared, own, _ = _of_bundle(bundle, volume, region, settings, model)
    return Estimate(seconds, shared + own)


def estimate_together(
    bundles: Sequence[Bundle],
    volume: Volume,
    *,
    region: Region | None = None,
    settings: InferenceSettings = InferenceSettings(),
) -> Estimate:
    """The estimate for an ensemble, whose members run one after another and whose maps are all kept.

    Raises BundleError as loading does.
    """
    seconds, shared, largest, kept = 0.0, 0.0, 0.0, 0.0
    for bundle in bundles:
        took, common, own, maps = _of_bundle(
            bundle, volume, region, replace(settings, probabilities=False, edge_map=False)
        )
        seconds, shared, largest, kept = (
            seconds + took,
            max(shared, common),
            max(largest, own),
            kept + _kept_bytes(maps, kept),
        )
    return Estimate(seconds, shared + largest + kept + 4 * prod(volume.geometry.shape))


def _of_bundle(
    bundle: Bundle,
    volume: Volume,
    region: Region | None,
    settings: InferenceSettings,
    model: Model | None = None,
) -> tuple[float, float, float, float]:
    """Seconds, and bytes: of the volume, its labels and torch; of the largest network at work; of its class
    maps.

    The class maps are counted in float32, as an ensemble keeps them.
    """
    from ctseg_models.contract.upright import Upright
    from ctseg_models.inference.network.precision import choose
    from ctseg_models.inference.network.threads import thread_count

    upright = Upright.of(volume)
    box = ViewBox.whole(upright.geometry) if region is None else region.box(upright.geometry)
    voxels = prod(volume.geometry.shape)
    with thread_count(settings.threads):
        arithmetic = choose(settings.precision, settings.device)
        model = model or bundle.load(settings.device)
        seconds = (
            SECONDS_PER_VOXEL
            * voxels
            * (1 + len(model.labels))
            * (ENTROPY if settings.disagreement == "entropy" else 1)
        )
        largest, kept = 0.0, 0.0
        for stage in model.stages if region is None else model.stages[-1:]:
            layout = stage.layout(upright, box)
            channels = len(bundle.channels)
            mirrored = 2 ** len(stage.mirror_axes) if settings.mirroring and stage.name == "segment" else 1
            seconds += (
                layout.windows
                * mirrored
                * _window_seconds(stage, layout.window, channels, settings.device, arithmetic)
            )
            largest = max(largest, _stage_bytes(stage, layout, channels, arithmetic, settings.probabilities))
            kept = 4.0 * (len(stage.values) + stage.edges) * prod(layout.size)
    maps = 4 * voxels * (settings.edge_map + (settings.disagreement == "entropy"))
    return (
        seconds,
        BASE_BYTES + volume.array.nbytes + voxels * (1 if len(model.labels) < 256 else 2) + maps,
        largest,
        kept,
    )


def _window_seconds(
    stage: LoadedStage, window: Shape, channels: int, device: str, arithmetic: Arithmetic
) -> float:
    """For one window (or the whole array): scaled up from a crop, or from operations and a convolution's
    speed.
    """
    from ctseg_models.inference.input.crops import smaller
    from ctseg_models.inference.network.precision import flops_per_second

    flops = stage.flops(window)
    crop = smaller(window, SIDE)
    key = (stage.key, device, str(arithmetic.dtype), crop)
    seconds = _speeds.get(key) if stage.key else None
    if seconds is None:
        seconds = _tried(stage, (1, channels, *crop), device, arithmetic)
    if seconds is None:
        return (flops or UNKNOWN_FLOPS_PER_VOXEL * prod(window)) / (
            EFFICIENCY * flops_per_second(device, arithmetic.dtype)
        )
    if stage.key:
        _speeds[key] = seconds
    of_crop = stage.flops(crop)
    return seconds * (flops / of_crop if flops and of_crop else prod(window) / prod(crop))


def _tried(stage: LoadedStage, shape: Sequence[int], device: str, arithmetic: Arithmetic) -> float | None:
    """Seconds for an array of noise; None where the network refuses it or TRIAL_SECONDS are too short."""
    import torch

    x = torch.randn(*shape, device=device)
    best: float | None = None
    begun = perf_counter()
    while best is None or perf_counter() - begun + best < TRIAL_SECONDS:
        start, done = perf_counter(), 0.0
        try:
            work = stage.steps(x, arithmetic)
            while perf_counter() - begun < TRIAL_SECONDS:
                done += next(work)
        except StopIteration as end:
            end.value.sum().item()  # waits for a GPU to finish
            took = perf_counter() - start
            best = took if best is None else min(best, took)
            continue
        except (
            RuntimeError,
            ValueError,
            BundleError,
        ):  # it takes another size only; the run itself reports that
            return None
        work.close()
        took = perf_counter() - start
        return best if best is not None else took / done if done > 0.1 else None
    return best


def _kept_bytes(whole: float, taken: float = 0.0) -> float:
    """Bytes of memory of class maps of `whole` bytes in float32, next to `taken` bytes: see `room_for`."""
    from ctseg_models.inference.maps.stored import HALVED, IN_MEMORY

    return whole if taken + whole <= IN_MEMORY else whole / 2 if taken + whole / 2 <= HALVED else 0.0


def _stage_bytes(
    stage: LoadedStage, layout: RunSize, channels: int, arithmetic: Arithmetic, kept: bool
) -> float:
    """The input, the class maps, and the network's own maps while it works on a window."""
    from ctseg_models.inference.maps.windowed import AHEAD, LARGE

    window, classes = prod(layout.window), len(stage.values) + stage.edges
    per_voxel = stage.flops(layout.window) / window or UNKNOWN_FLOPS_PER_VOXEL
    width = arithmetic.dtype.itemsize if stage.half else 4
    network = window * (MAPS_AT_ONCE * width * sqrt(per_voxel / FLOPS_OF_A_CHANNEL) + 4.0 * classes)
    if layout.window == layout.size:
        maps = 4.0 * classes * window
    else:
        held = min(
            layout.size[0], AHEAD * layout.window[0]
        )  # slices: finished ones are kept until they are painted
        maps = 4.0 * classes * held * prod(layout.size[1:])
        maps = maps / 2 if maps > LARGE else maps
    whole = 4.0 * classes * prod(layout.size)
    if kept:
        maps += _kept_bytes(whole)
    return 4.0 * channels * prod(layout.size) + maps + network
