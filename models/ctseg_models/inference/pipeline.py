"""A bundle over a volume: localise -> box -> segment -> labels on the volume's own grid (paper 5, section 2)."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import LabelMap, Labels, Volume
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.bundle import LARGEST_LABEL, Bundle
from ctseg_models.contract.lattice import Box, Lattice, Region
from ctseg_models.contract.maps import Maps
from ctseg_models.contract.prediction import Prediction
from ctseg_models.contract.stage import LoadedStage, Model, Prepared, Steps
from ctseg_models.contract.upright import Upright
from ctseg_models.inference.agreement import agreed
from ctseg_models.inference.labels.class_maps import ClassMaps, Target
from ctseg_models.inference.labels.foreground_box import foreground_box
from ctseg_models.inference.labels.paint import paint, paint_map
from ctseg_models.inference.labels.probability_volume import probabilities_of
from ctseg_models.inference.labels.watching import Watching
from ctseg_models.inference.maps.kept import CutMaps, MemoryMaps, gathered, room_for
from ctseg_models.inference.maps.windowed import WindowedMaps, mirrored, refuse_not_finite
from ctseg_models.inference.network.precision import check_device, choose
from ctseg_models.inference.network.threads import thread_count
from ctseg_models.inference.provenance import provenance_of
from ctseg_models.inference.remembered import Remembered
from ctseg_models.inference.settings import Settings
from ctseg_models.inference.shortage import Enduring, load_with_spare, placed, spare, told_as_a_sentence

T = TypeVar("T")
ROI = "region of interest"
SEGMENTING = "Segmenting"
MOST_NUMBERS = 8  # in a sentence


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

    @property
    def unnamed(self) -> list[int]:
        """The labels, where the bundle wrote them by itself and its names are not theirs."""
        unnamed: list[int] = self.stages[-1].get("unnamed_labels", [])
        return unnamed


def run_bundle(bundle: Bundle, volume: Volume, *, region: Region | None = None, settings: Settings = Settings(),
               remembered: Remembered | None = None) -> Generator[Progress, None, Prediction]:
    """The work of `inference.run`."""
    begun = time.perf_counter()
    check_device(settings.device)
    yield Progress("load", 0, 1, f"Loading {bundle.name}")
    with thread_count(settings.threads), told_as_a_sentence(settings.device):
        model = load_with_spare(bundle, settings.device)
        loaded = time.perf_counter()
        arithmetic = choose(settings.precision, settings.device)
        upright = Upright.of(volume)
        found = yield from segment(model, upright, region, arithmetic, mirroring=settings.mirroring, remembered=remembered)
        if settings.probabilities:
            found.maps = yield from kept(found.maps)
        computed = time.perf_counter()
        names = Labels.from_names({value: f"label {value}" for value in found.unnamed}) if found.unnamed else model.labels
        labels = np.zeros(volume.geometry.shape, label_dtype(found.maps.values))
        edges = np.zeros(volume.geometry.shape, np.float32) if settings.edge_map else None
        start, stop = found.box.voxels(upright.geometry)
        target = Target(upright.geometry.spacing_mm, start, stop)
        edge_view = None if edges is None else upright.view.apply(edges)
        unsure = np.zeros(volume.geometry.shape, np.float32) if settings.disagreement == "entropy" else None
        probabilities = None
        if settings.probabilities:
            probabilities = yield from report("assemble", probabilities_of(found.maps, upright), "Gathering the probabilities")
        watching = Watching(settings, names, found.maps, upright.geometry, target,
                            None if unsure is None else upright.view.apply(unsure))
        painting = paint(found.maps, target, upright.view.apply(labels), edge_view if found.edges is None else None, watching)
        yield from _painted(painting, found)
        if edge_view is not None and found.edges is not None:
            largest = found.edges.amax(dim=0, keepdim=True)
            yield from report("assemble", paint_map(largest, found.maps.lattice, target, edge_view), "Bringing the edge map there too")
    times = {"load": loaded - begun, "networks": computed - loaded, "assemble": time.perf_counter() - computed,
             "total": time.perf_counter() - begun}
    warnings = [*bundle.warnings_for(volume), *found.warnings]
    boxes = (upright.stored_box(ROI, found.box),) if found.roi else ()
    return Prediction(
        LabelMap(labels, volume.geometry, names, source=volume.source), boxes,
        probabilities=probabilities,
        edge_map=None if edges is None else Volume(edges, volume.geometry),
        disagreement=None if unsure is None else Volume(unsure, volume.geometry),
        provenance=provenance_of([bundle], volume, settings, arithmetic, found.stages, times, warnings, boxes,
                                 confidence=watching.confidence()))


def segment(model: Model, upright: Upright, region: Region | None, arithmetic: Arithmetic, *, mirroring: bool = False,
            remembered: Remembered | None = None) -> Generator[Progress, None, Found]:
    """Class maps of the model's last stage, perhaps still pending. region : look there instead of asking the localiser."""
    whole = Box.whole(upright.geometry)
    box = None if region is None else region.box(upright.geometry)
    last = model.stages[-1]
    if len(model.stages) == 2 and box is None:
        first = model.stages[0]
        roi, log = yield from _localised(first, upright, whole, model.device, arithmetic, remembered)
        if roi is None:
            said = ("The localiser found nothing, so the whole volume was segmented, as coarsely as it takes to fit; "
                    "look at the labels with care.")
            fine, edges, fine_log, warned = yield from run_stage(last, upright, whole, False, model.device, arithmetic, mirroring)
            warned.insert(0, said)
            return Found(fine, whole, False, edges, warned, [log, fine_log])
        roi = roi.grown(first.margin_mm).cut(whole)
        fine, edges, fine_log, warned = yield from run_stage(last, upright, roi, False, model.device, arithmetic, mirroring)
        return Found(fine, fine.lattice.box.cut(whole), True, edges, warned, [log, fine_log])
    maps, edges, log, warned = yield from run_stage(last, upright, box or whole, box is None, model.device, arithmetic, mirroring)
    found = Found(maps, box or whole, box is not None, edges, warned, [log])
    if last.name == "localise" and box is None:
        found.maps = yield from kept(maps)
        if (roi := foreground_box(found.maps, whole)) is not None:
            found.box, found.roi = roi.grown(last.margin_mm).cut(whole), True
    return found


def _localised(stage: LoadedStage, upright: Upright, whole: Box, device: str, arithmetic: Arithmetic, remembered: Remembered | None,
               ) -> Generator[Progress, None, tuple[Box | None, dict[str, Any]]]:
    """The box around what a localiser finds, without its margin, and its log; as remembered, if it is."""
    if remembered is not None and stage.key and stage.key in remembered.boxes:
        return remembered.boxes[stage.key], {"name": stage.name, "remembered": True}
    maps, _, log, _ = yield from run_stage(stage, upright, whole, True, device, arithmetic, False)
    box = foreground_box((yield from kept(maps)), whole)
    if remembered is not None and stage.key:
        remembered.boxes[stage.key] = box
    return box, log


def run_stage(stage: LoadedStage, upright: Upright, box: Box, whole: bool, device: str, arithmetic: Arithmetic, mirroring: bool,
              ) -> Generator[Progress, None, tuple[ClassMaps, Tensor | None, dict[str, Any], list[str]]]:
    """Class maps of one network (pending when it works in windows), edge maps, a log for the provenance, and warnings, to which some may
    be added while maps are pending."""
    begun = time.perf_counter()
    prepared: Prepared = yield from report(stage.name, stage.prepare(upright, box, whole), "Resampling", 0, 10)
    log: dict[str, Any] = {"name": stage.name, "spacing_mm": [round(s, 4) for s in prepared.lattice.spacing_mm],
                           "size": list(prepared.lattice.shape), "seconds": {"resample": round(time.perf_counter() - begun, 3)}}
    warnings = _coarser(stage, prepared.lattice)
    enduring = Enduring(prepared.steps or stage.steps, len(stage.values) + stage.edges, device, warnings,
                        spare(stage, upright, box, whole), divisible=prepared.written is None)
    steps: Steps = enduring
    log["devices"] = enduring.devices  # more are added while maps are pending
    trial = agreed(stage, steps, prepared, device, arithmetic)
    arithmetic, note, said = yield from report(stage.name, trial, "Trying the precision", 10, 10)
    log.update(note, precision=str(arithmetic.dtype).removeprefix("torch."))
    warnings += said
    axes = stage.mirror_axes if prepared.mirror_axes is None else prepared.mirror_axes
    if mirroring and axes:
        steps = mirrored(steps, axes)
        log["mirrored_axes"] = list(axes)
    elif mirroring and stage.name == "segment":
        warnings.append("The model allows no mirroring (it may have learnt which side is left), so the input was not mirrored.")
    begun = time.perf_counter()
    maps = yield from _maps_of(stage, steps, prepared, device, arithmetic, warnings)
    log["seconds"]["network"] = round(time.perf_counter() - begun, 3)
    edges = None
    if stage.edges:
        assert isinstance(maps, MemoryMaps)
        maps, edges = MemoryMaps(maps.tensor[: len(stage.values)]), maps.tensor[len(stage.values):].float()
    if prepared.keep is not None:
        maps = CutMaps(maps, *prepared.keep)
    maps, lattice = (maps, prepared.lattice) if prepared.brought is None else prepared.brought(maps)
    values = stage.values
    if prepared.written is not None:
        assert isinstance(maps, MemoryMaps)
        written = prepared.written(maps.tensor[0])
        maps, values = written.maps, written.values
        if not written.named:
            log["unnamed_labels"] = list(written.values[1:])
            warnings.append(f"The bundle's postprocessing wrote the labels {_numbers(written.values[1:])} and not those that its metadata "
                            "names; ask its author what they are.")
    class_maps = ClassMaps.of(maps, lattice, values, stage.form, prepared.interpolation, prepared.border, stage.temperature)
    return class_maps, edges, log, warnings


def _numbers(values: Sequence[int]) -> str:
    """A few of them."""
    shown = ", ".join(map(str, values[:MOST_NUMBERS]))
    return f"{shown} and {len(values) - MOST_NUMBERS} more" if len(values) > MOST_NUMBERS else shown


def _maps_of(stage: LoadedStage, steps: Steps, prepared: Prepared, device: str, arithmetic: Arithmetic, warnings: list[str],
             ) -> Generator[Progress, None, Maps]:
    named = {"localise": "Looking for the region of interest", "segment": SEGMENTING}[stage.name]
    if prepared.tiling is None:
        whole = yield from report(stage.name, steps(prepared.x, arithmetic), named, 10, 100)
        refuse_not_finite(whole)
        return MemoryMaps(whole.cpu())
    tiling = prepared.tiling
    maps = placed(prepared.x, device, lambda x: WindowedMaps(steps, x, tiling, len(stage.values) + stage.edges, arithmetic), warnings)
    if not stage.edges:
        return maps
    room = MemoryMaps(torch.empty(maps.shape))
    return (yield from report(stage.name, gathered(maps, room), named, 10, 100))


def kept(maps: ClassMaps, taken: int = 0) -> Generator[Progress, None, ClassMaps]:
    """The same maps with all that was pending made and kept. taken : bytes of memory that others hold meanwhile."""
    if not maps.maps.pending:
        return maps
    whole = yield from report("segment", gathered(maps.maps, room_for(maps.maps.shape, taken)), SEGMENTING, 10, 100)
    return replace(maps, maps=whole)


def _painted(painting: Generator[float, None, None], found: Found) -> Generator[Progress, None, None]:
    """Painting as Progress; what it takes belongs to the network while maps are pending."""
    if found.maps.maps.pending:
        yield from report("segment", painting, SEGMENTING, 10, 100)
    else:
        yield from report("assemble", painting, "Bringing the labels onto the image's grid")


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


def _coarser(stage: LoadedStage, lattice: Lattice) -> list[str]:
    """A sentence when the spacing had to grow by more than a tenth."""
    wanted = stage.spacing_mm
    if wanted is None or all(got < 1.1 * want for got, want in zip(lattice.spacing_mm, wanted, strict=True)):
        return []
    got = " x ".join(f"{s:.1f}" for s in lattice.spacing_mm)
    return [f"The region is large: it was segmented at {got} mm instead of {' x '.join(f'{s:.1f}' for s in wanted)} mm (z, y, x)."]


def label_dtype(values: tuple[int, ...]) -> type[np.unsignedinteger[Any]]:
    """The smallest type that holds the values. Raises BundleError for what no mask holds."""
    if max(values) > LARGEST_LABEL:
        raise BundleError(f"The model has a label {max(values)}, and a mask holds labels up to {LARGEST_LABEL}; get another model.")
    return np.uint8 if max(values) <= np.iinfo(np.uint8).max else np.uint16


