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
# Measured by benchmarks/cost_constants.py, on a processor with AVX-512:
EFFICIENCY = (
    0.4  # of a bare convolution's speed, where the network cannot be measured: nnU-Net 0.37, U-Net 0.72
)
SECONDS_PER_VOXEL = 6e-9  # and label: bringing class maps to the grid (up to 1e-8 on a busy machine)
ENTROPY = 3.5  # times as long with the entropy, which needs every label at every voxel
VALUES_PER_ROOT_FLOP = 0.25  # held for each voxel by a network of so many operations a voxel: 0.18 to 0.31
BASE_BYTES = 4e8  # of a process that has loaded torch and what reads files
# For a network that reports no operations and takes no crop: a U-Net of 32 channels. At full resolution it
# has 3x3x3 convolutions of 32 to 32, 64 to 32 and 32 to 32 channels, and below half as many operations.
UNKNOWN_FLOPS_PER_VOXEL = 1.5 * 2 * 27 * 4 * 32**2


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
    cost = _of_bundle(bundle, volume, region, settings, model)
    return Estimate(cost.seconds, cost.shared + cost.network)


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
    plain = replace(settings, probabilities=False, edge_map=False)
    costs = [_of_bundle(bundle, volume, region, plain) for bundle in bundles]
    kept = 0.0
    for cost in costs:
        kept += _kept_bytes(cost.maps, kept)
    shared, network = max(cost.shared for cost in costs), max(cost.network for cost in costs)
    answer = 4 * prod(volume.geometry.shape)
    return Estimate(sum(cost.seconds for cost in costs), shared + network + kept + answer)


@dataclass(frozen=True)
class _Cost:
    """Of one bundle. In bytes, or in seconds where the name has them."""

    seconds: float
    shared: float  # the volume, its labels and maps, and torch
    network: float  # the largest network at work
    maps: float  # the class maps in float32, as an ensemble keeps them


def _of_bundle(
    bundle: Bundle,
    volume: Volume,
    region: Region | None,
    settings: InferenceSettings,
    model: Model | None = None,
) -> _Cost:
    """The cost of a run, with the networks loaded where `model` is None."""
    from ctseg_models.contract.upright import Upright
    from ctseg_models.inference.network.precision import choose
    from ctseg_models.inference.network.threads import thread_count

    upright = Upright.of(volume)
    box = ViewBox.whole(upright.geometry) if region is None else region.box(upright.geometry)
    channels = len(bundle.channels)
    with thread_count(settings.threads):
        arithmetic = choose(settings.precision, settings.device)
        model = model or bundle.load(settings.device)
        seconds, network, maps = _grid_seconds(volume, model, settings), 0.0, 0.0
        for stage in model.stages if region is None else model.stages[-1:]:
            layout = stage.layout(upright, box)
            seconds += _stage_seconds(stage, layout, channels, settings, arithmetic)
            network = max(network, _stage_bytes(stage, layout, channels, arithmetic, settings.probabilities))
            maps = 4.0 * (len(stage.values) + stage.edges) * prod(layout.size)
    return _Cost(seconds, _shared_bytes(volume, model, settings), network, maps)


def _grid_seconds(volume: Volume, model: Model, settings: InferenceSettings) -> float:
    """What is done for each voxel of the volume: reading it, and writing labels."""
    entropy = ENTROPY if settings.disagreement == "entropy" else 1
    return SECONDS_PER_VOXEL * prod(volume.geometry.shape) * (1 + len(model.labels)) * entropy


def _shared_bytes(volume: Volume, model: Model, settings: InferenceSettings) -> float:
    """The volume, its labels, its edge map and entropy, and torch."""
    each = (1 if len(model.labels) < 256 else 2) + 4 * (
        settings.edge_map + (settings.disagreement == "entropy")
    )
    return BASE_BYTES + volume.array.nbytes + prod(volume.geometry.shape) * each


def _stage_seconds(
    stage: LoadedStage, layout: RunSize, channels: int, settings: InferenceSettings, arithmetic: Arithmetic
) -> float:
    mirrored = 2 ** len(stage.mirror_axes) if settings.mirroring and stage.name == "segment" else 1
    each = _window_seconds(stage, layout.window, channels, settings.device, arithmetic)
    return layout.windows * mirrored * each


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
    known, key = stage.measured.seconds, (arithmetic.dtype, device, crop)
    seconds = known.get(key)
    if seconds is None:
        seconds = _tried(stage, (1, channels, *crop), device, arithmetic)
    if seconds is None:
        return (flops or UNKNOWN_FLOPS_PER_VOXEL * prod(window)) / (
            EFFICIENCY * flops_per_second(device, arithmetic.dtype)
        )
    known[key] = seconds
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
    network = window * (VALUES_PER_ROOT_FLOP * width * sqrt(per_voxel) + 4.0 * classes)
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
