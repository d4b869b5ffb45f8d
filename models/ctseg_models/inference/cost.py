"""What a run will take, before it: operations counted, this machine's speed measured once."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from ctseg_imaging.volume import Volume
from ctseg_models.inference.lattice import Box, Region
from ctseg_models.inference.settings import Settings

if TYPE_CHECKING:
    from ctseg_models.bundles.bundle import Bundle

EFFICIENCY = 0.4  # of a bare convolution's speed, measured over whole networks with their norms, pooling and copies
SECONDS_PER_VOXEL = 6e-9  # reading through the volume twice, and writing labels
MAPS_AT_ONCE = 4.5  # full-resolution feature maps of 32 channels alive together
BASE_BYTES = 5e8  # torch itself
UNKNOWN_FLOPS_PER_VOXEL = 3e5  # of a TorchScript or ONNX network: a small 3D U-Net's


@dataclass(frozen=True)
class Estimate:
    """Expected wall-clock seconds and peak bytes of a run."""

    seconds: float
    bytes: float


def estimate(bundle: Bundle, volume: Volume, *, region: Region | None = None, settings: Settings = Settings()) -> Estimate:
    """An upper guess: the segmenter is taken to need its largest size when a localiser decides where it looks."""
    from ctseg_models.inference.arithmetic import choose, flops_per_second
    from ctseg_models.inference.upright import Upright

    arithmetic = choose(settings.precision, settings.device)
    rate = EFFICIENCY * flops_per_second(settings.device, arithmetic.dtype)
    upright = Upright.of(volume)
    whole = Box.whole(upright.geometry)
    box = whole if region is None else region.box(upright.geometry)
    model = bundle.load("cpu")
    flops, largest = 0.0, 0.0
    for stage in model.stages if region is None else model.stages[-1:]:
        layout = stage.layout(upright, box)
        flops += layout.windows * (stage.flops(layout.window) or UNKNOWN_FLOPS_PER_VOXEL * prod(layout.window))
        largest = max(largest, float(prod(layout.window)))
    width = 2.0 if arithmetic.dtype.itemsize == 2 else 4.0
    voxels = prod(volume.geometry.shape)
    seconds = flops / rate + SECONDS_PER_VOXEL * voxels * (1 + len(model.labels))
    return Estimate(seconds, BASE_BYTES + volume.array.nbytes + voxels + MAPS_AT_ONCE * 32 * width * largest)
