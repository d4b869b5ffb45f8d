"""A bundle over a volume: localise -> box -> segment -> labels on the volume's own grid (paper 5, section
2).
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

import numpy as np

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import LabelMap, Labels, Volume
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.bundle import LARGEST_LABEL, Bundle
from ctseg_models.contract.lattice import Box, Region
from ctseg_models.contract.prediction import Prediction
from ctseg_models.contract.stage import LoadedStage, Model
from ctseg_models.contract.upright import Upright
from ctseg_models.inference.labels.class_maps import Target
from ctseg_models.inference.labels.confidence_recorder import ConfidenceRecorder
from ctseg_models.inference.labels.foreground_box import foreground_box
from ctseg_models.inference.labels.paint import paint, paint_map
from ctseg_models.inference.labels.probability_volume import probabilities_of
from ctseg_models.inference.localiser_cache import LocaliserCache
from ctseg_models.inference.memory_fallback import load_with_spare, out_of_memory_as_bundle_error
from ctseg_models.inference.network.precision import check_device, choose
from ctseg_models.inference.network.threads import thread_count
from ctseg_models.inference.provenance import provenance_of
from ctseg_models.inference.settings import InferenceSettings
from ctseg_models.inference.stage_run import ROI, SEGMENTING, StageResult, materialised, report, run_stage


def run_bundle(
    bundle: Bundle,
    volume: Volume,
    *,
    region: Region | None = None,
    settings: InferenceSettings = InferenceSettings(),
    remembered: LocaliserCache | None = None,
) -> Generator[Progress, None, Prediction]:
    """The work of `inference.run`."""
    begun = time.perf_counter()
    check_device(settings.device)
    yield Progress("load", 0, 1, f"Loading {bundle.name}")
    with thread_count(settings.threads), out_of_memory_as_bundle_error(settings.device):
        model = load_with_spare(bundle, settings.device)
        loaded = time.perf_counter()
        arithmetic = choose(settings.precision, settings.device)
        upright = Upright.of(volume)
        found = yield from segment(
            model, upright, region, arithmetic, mirroring=settings.mirroring, remembered=remembered
        )
        if settings.probabilities:
            found.maps = yield from materialised(found.maps)
        computed = time.perf_counter()
        names = (
            Labels.from_names({value: f"label {value}" for value in found.unnamed})
            if found.unnamed
            else model.labels
        )
        labels = np.zeros(volume.geometry.shape, label_dtype(found.maps.values))
        edges = np.zeros(volume.geometry.shape, np.float32) if settings.edge_map else None
        start, stop = found.box.voxels(upright.geometry)
        target = Target(upright.geometry.spacing_mm, start, stop)
        edge_view = None if edges is None else upright.view.apply(edges)
        unsure = np.zeros(volume.geometry.shape, np.float32) if settings.disagreement == "entropy" else None
        probabilities = None
        if settings.probabilities:
            probabilities = yield from report(
                "assemble", probabilities_of(found.maps, upright), "Gathering the probabilities"
            )
        watching = ConfidenceRecorder(
            settings,
            names,
            found.maps,
            upright.geometry,
            target,
            None if unsure is None else upright.view.apply(unsure),
        )
        painting = paint(
            found.maps,
            target,
            upright.view.apply(labels),
            edge_view if found.edges is None else None,
            watching,
        )
        yield from _painted(painting, found)
        if edge_view is not None and found.edges is not None:
            largest = found.edges.amax(dim=0, keepdim=True)
            yield from report(
                "assemble",
                paint_map(largest, found.maps.lattice, target, edge_view),
                "Bringing the edge map there too",
            )
    times = {
        "load": loaded - begun,
        "networks": computed - loaded,
        "assemble": time.perf_counter() - computed,
        "total": time.perf_counter() - begun,
    }
    warnings = [*bundle.warnings_for(volume), *found.warnings]
    boxes = (upright.stored_box(ROI, found.box),) if found.roi else ()
    return Prediction(
        LabelMap(labels, volume.geometry, names, source=volume.source),
        boxes,
        probabilities=probabilities,
        edge_map=None if edges is None else Volume(edges, volume.geometry),
        disagreement=None if unsure is None else Volume(unsure, volume.geometry),
        provenance=provenance_of(
            [bundle],
            volume,
            settings,
            arithmetic,
            found.stages,
            times,
            warnings,
            boxes,
            confidence=watching.confidence(),
        ),
    )


def segment(
    model: Model,
    upright: Upright,
    region: Region | None,
    arithmetic: Arithmetic,
    *,
    mirroring: bool = False,
    remembered: LocaliserCache | None = None,
) -> Generator[Progress, None, StageResult]:
    """Class maps of the model's last stage, perhaps still pending. region : look there instead of asking
    the localiser.
    """
    whole = Box.whole(upright.geometry)
    box = None if region is None else region.box(upright.geometry)
    last = model.stages[-1]
    if len(model.stages) == 2 and box is None:
        first = model.stages[0]
        roi, log = yield from _localised(first, upright, whole, model.device, arithmetic, remembered)
        if roi is None:
            said = (
                "The localiser found nothing, so the whole volume was segmented, as coarsely as it takes to "
                "fit; "
                "look at the labels with care."
            )
            fine, edges, fine_log, warned = yield from run_stage(
                last, upright, whole, False, model.device, arithmetic, mirroring
            )
            warned.insert(0, said)
            return StageResult(fine, whole, False, edges, warned, [log, fine_log])
        roi = roi.grown(first.margin_mm).cut(whole)
        fine, edges, fine_log, warned = yield from run_stage(
            last, upright, roi, False, model.device, arithmetic, mirroring
        )
        return StageResult(fine, fine.lattice.box.cut(whole), True, edges, warned, [log, fine_log])
    maps, edges, log, warned = yield from run_stage(
        last, upright, box or whole, box is None, model.device, arithmetic, mirroring
    )
    found = StageResult(maps, box or whole, box is not None, edges, warned, [log])
    if last.name == "localise" and box is None:
        found.maps = yield from materialised(maps)
        if (roi := foreground_box(found.maps, whole)) is not None:
            found.box, found.roi = roi.grown(last.margin_mm).cut(whole), True
    return found


def _localised(
    stage: LoadedStage,
    upright: Upright,
    whole: Box,
    device: str,
    arithmetic: Arithmetic,
    remembered: LocaliserCache | None,
) -> Generator[Progress, None, tuple[Box | None, dict[str, Any]]]:
    """The box around what a localiser finds, without its margin, and its log; as remembered, if it is."""
    if remembered is not None and stage.key and stage.key in remembered.boxes:
        return remembered.boxes[stage.key], {"name": stage.name, "remembered": True}
    maps, _, log, _ = yield from run_stage(stage, upright, whole, True, device, arithmetic, False)
    box = foreground_box((yield from materialised(maps)), whole)
    if remembered is not None and stage.key:
        remembered.boxes[stage.key] = box
    return box, log


def _painted(painting: Generator[float, None, None], found: StageResult) -> Generator[Progress, None, None]:
    """Painting as Progress; what it takes belongs to the network while maps are pending."""
    if found.maps.maps.pending:
        yield from report("segment", painting, SEGMENTING, 10, 100)
    else:
        yield from report("assemble", painting, "Bringing the labels onto the image's grid")


def label_dtype(values: tuple[int, ...]) -> type[np.unsignedinteger[Any]]:
    """The smallest type that holds the values. Raises BundleError for what no mask holds."""
    if max(values) > LARGEST_LABEL:
        raise BundleError(
            f"The model has a label {max(values)}, and a mask holds labels up to {LARGEST_LABEL}; get "
            "another model."
        )
    return np.uint8 if max(values) <= np.iinfo(np.uint8).max else np.uint16
