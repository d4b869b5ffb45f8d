"""A bundle over a volume: localise -> box -> segment -> labels on the volume's own grid (paper 5, section 2)."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import AxisView, Geometry
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import LabelMap, Volume
from ctseg_models.bundles.bundle import Bundle, LoadedStage, Model
from ctseg_models.inference.arithmetic import check_device, choose
from ctseg_models.inference.assemble import ClassMaps, Target, paint, paint_map
from ctseg_models.inference.lattice import Box, Lattice, Region
from ctseg_models.inference.preprocess import network_input
from ctseg_models.inference.settings import Settings
from ctseg_models.inference.sliding_window import sliding_window
from ctseg_models.inference.stepwise import Arithmetic
from ctseg_models.inference.threads import thread_count
from ctseg_models.prediction import Prediction, RoiBox
from ctseg_models.provenance import provenance_of

T = TypeVar("T")
SMALLEST_PART = 0.02  # of the largest part: a localiser's specks below this do not widen the box
ROI = "region of interest"


@dataclass
class Found:
    """What the networks of one bundle gave. edges : (E, z, y, x) of a network with an edge head, on the lattice of the maps.
    box : where the labels may lie, mm in the view. roi : whether it was localised."""

    maps: ClassMaps
    box: Box
    roi: bool
    edges: Tensor | None = None
    warnings: list[str] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Upright:
    """A volume in its LPS-upright view; nothing is copied."""

    volume: Volume
    view: AxisView
    geometry: Geometry

    @classmethod
    def of(cls, volume: Volume) -> Upright:
        """The nearest axis-aligned view."""
        view = AxisView.of(volume.geometry)
        return cls(volume, view, view.geometry(volume.geometry))

    def stored_box(self, name: str, box: Box) -> RoiBox:
        """A box of the view in stored voxels."""
        start, stop = box.voxels(self.geometry)
        low, high = [0, 0, 0], [0, 0, 0]
        for view_axis, (axis, flip) in enumerate(zip(self.view.order, self.view.flips, strict=True)):
            n = self.geometry.shape[view_axis]
            a, b = start[view_axis], stop[view_axis]
            low[axis], high[axis] = (n - b, n - a) if flip else (a, b)
        return RoiBox(name, (low[0], low[1], low[2]), (high[0], high[1], high[2]))


def run_bundle(bundle: Bundle, volume: Volume, *, region: Region | None = None, settings: Settings = Settings(),
               ) -> Generator[Progress, None, Prediction]:
    """The work of `inference.run`."""
    begun = time.perf_counter()
    check_device(settings.device)
    yield Progress("load", 0, 1, f"Loading {bundle.name}")
    with thread_count(settings.threads):
        model = bundle.load(settings.device)
        loaded = time.perf_counter()
        arithmetic = choose(settings.precision, settings.device)
        upright = Upright.of(volume)
        found = yield from segment(model, upright, region, arithmetic)
        computed = time.perf_counter()
        labels = np.zeros(volume.geometry.shape, label_dtype(found.maps.values))
        edges = np.zeros(volume.geometry.shape, np.float32) if settings.edge_map else None
        start, stop = found.box.voxels(upright.geometry)
        target = Target(upright.geometry.spacing_mm, start, stop)
        edge_view = None if edges is None else upright.view.apply(edges)
        painting = paint(found.maps, target, upright.view.apply(labels), edge_view if found.edges is None else None)
        yield from report("assemble", painting, "Bringing the labels onto the image's grid")
        if edge_view is not None and found.edges is not None:
            largest = found.edges.amax(dim=0, keepdim=True)
            yield from report("assemble", paint_map(largest, found.maps.lattice, target, edge_view), "Bringing the edge map there too")
    times = {"load": loaded - begun, "networks": computed - loaded, "assemble": time.perf_counter() - computed,
             "total": time.perf_counter() - begun}
    warnings = [*bundle.warnings_for(volume), *found.warnings]
    boxes = (upright.stored_box(ROI, found.box),) if found.roi else ()
    return Prediction(
        LabelMap(labels, volume.geometry, model.labels, source=volume.source), boxes,
        probabilities=probabilities_of(found.maps, upright) if settings.probabilities else None,
        edge_map=None if edges is None else Volume(edges, volume.geometry),
        provenance=provenance_of([bundle], volume, settings, arithmetic, found.stages, times, warnings, boxes))


def segment(model: Model, upright: Upright, region: Region | None, arithmetic: Arithmetic) -> Generator[Progress, None, Found]:
    """Class maps of the model's last stage. region : look there instead of asking the localiser."""
    whole = Box.whole(upright.geometry)
    box = None if region is None else region.box(upright.geometry)
    last = model.stages[-1]
    if len(model.stages) == 2 and box is None:
        first = model.stages[0]
        coarse, _, log = yield from _stage(first, upright, whole, True, model.device, arithmetic)
        roi = _foreground_box(coarse, whole)
        if roi is None:
            said = ("The localiser found nothing, so the whole volume was segmented, as coarsely as it takes to fit; "
                    "look at the labels with care.")
            fine, edges, fine_log = yield from _stage(last, upright, whole, False, model.device, arithmetic)
            return Found(fine, whole, False, edges, [said], [log, fine_log])
        roi = roi.grown(first.plan.margin_mm).cut(whole)
        fine, edges, fine_log = yield from _stage(last, upright, roi, False, model.device, arithmetic)
        return Found(fine, fine.lattice.box.cut(whole), True, edges, _coarser(last, fine.lattice), [log, fine_log])
    maps, edges, log = yield from _stage(last, upright, box or whole, box is None, model.device, arithmetic)
    found = Found(maps, box or whole, box is not None, edges, _coarser(last, maps.lattice), [log])
    if last.plan.name == "localise" and box is None and (roi := _foreground_box(maps, whole)) is not None:
        found.box, found.roi = roi.grown(last.plan.margin_mm).cut(whole), True
    return found


def _stage(stage: LoadedStage, upright: Upright, box: Box, divide_evenly: bool, device: str, arithmetic: Arithmetic,
           ) -> Generator[Progress, None, tuple[ClassMaps, Tensor | None, dict[str, Any]]]:
    begun = time.perf_counter()
    plan = stage.plan
    lattice = plan.lattice(box, divide_evenly=divide_evenly)
    view = upright.view.apply(upright.volume.array)
    preparing = network_input(view, upright.geometry.spacing_mm, lattice, plan)
    x = yield from report(plan.name, preparing, "Resampling", 0, 10)
    prepared = time.perf_counter()
    x = x.to(device)
    work = stage.steps(x, arithmetic) if plan.patch is None else sliding_window(stage.steps, x, plan.patch, plan.overlap, arithmetic)
    named = {"localise": "Looking for the region of interest", "segment": "Segmenting"}[plan.name]
    try:
        maps = yield from report(plan.name, work, named, 10, 100)
    except torch.OutOfMemoryError as error:
        raise BundleError(f"The memory of {device} is not enough for {' x '.join(str(n) for n in lattice.shape)} voxels; "
                          "choose cpu or a smaller region.") from error
    ended = time.perf_counter()
    log = {"name": plan.name, "spacing_mm": [round(s, 4) for s in lattice.spacing_mm], "size": list(lattice.shape),
           "seconds": {"resample": round(prepared - begun, 3), "network": round(ended - prepared, 3)}}
    classes = maps[: len(stage.values)].cpu()
    edges = maps[len(stage.values):].cpu() if stage.edges else None
    return ClassMaps.of(classes, lattice, stage.values), edges, log


def report(stage: str, work: Generator[float, None, T], message: str, low: int = 0, high: int = 100) -> Generator[Progress, None, T]:
    """Shares of work as Progress from `low` to `high` percent."""
    done = 0.0
    yield Progress(stage, low, 100, message)
    while True:
        try:
            done = min(1.0, done + next(work))
        except StopIteration as end:
            value: T = end.value
            return value
        yield Progress(stage, low + int(done * (high - low)), 100, message)


def _foreground_box(maps: ClassMaps, whole: Box) -> Box | None:
    """The box around what the localiser found within the volume, small specks aside; None when it found nothing."""
    lattice = maps.lattice
    foreground = (maps.maps.argmax(dim=0) != 0).numpy()
    for axis in range(3):
        centres = lattice.low_mm[axis] + lattice.spacing_mm[axis] * (np.arange(lattice.shape[axis]) + 0.5)
        outside = (centres < whole.low[axis]) | (centres > whole.high[axis])
        np.moveaxis(foreground, axis, 0)[outside] = False
    parts, count = ndimage.label(foreground, np.ones((3, 3, 3)))
    if count == 0:
        return None
    sizes = np.bincount(parts.ravel())[1:]
    keep = np.flatnonzero(sizes >= SMALLEST_PART * sizes.max()) + 1
    index = np.argwhere(np.isin(parts, keep))
    step = np.array(lattice.spacing_mm)
    low = np.array(lattice.low_mm) + index.min(axis=0) * step
    high = np.array(lattice.low_mm) + (index.max(axis=0) + 1) * step
    return Box((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def _coarser(stage: LoadedStage, lattice: Lattice) -> list[str]:
    """A sentence when the spacing had to grow by more than a tenth."""
    wanted = stage.plan.spacing_mm
    if wanted is None or all(got < 1.1 * want for got, want in zip(lattice.spacing_mm, wanted, strict=True)):
        return []
    got = " x ".join(f"{s:.1f}" for s in lattice.spacing_mm)
    return [f"The region is large: it was segmented at {got} mm instead of {' x '.join(f'{s:.1f}' for s in wanted)} mm (z, y, x)."]


def label_dtype(values: tuple[int, ...]) -> type[np.unsignedinteger[Any]]:
    """The smallest type that holds the values."""
    return np.uint8 if max(values) <= np.iinfo(np.uint8).max else np.uint16


def probabilities_of(maps: ClassMaps, upright: Upright) -> Volume:
    """The class maps as a volume of channels on their own lattice."""
    return Volume(maps.maps.to(torch.float32).numpy(), maps.lattice.geometry(upright.geometry))
