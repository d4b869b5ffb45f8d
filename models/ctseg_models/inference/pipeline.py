"""A bundle over a volume: load, segment, bring the labels onto the volume's own grid."""

from __future__ import annotations

import time
from collections.abc import Generator

from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import LabelMap, Labels, Volume
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.lattice import Region
from ctseg_models.contract.prediction import ROI, Prediction
from ctseg_models.contract.stage import Model
from ctseg_models.contract.upright import Upright
from ctseg_models.inference.inference_settings import InferenceSettings
from ctseg_models.inference.labels.probability_volume import probabilities_of
from ctseg_models.inference.localiser_cache import LocaliserCache
from ctseg_models.inference.memory_fallback import load_with_cpu_fallback, out_of_memory_as_bundle_error
from ctseg_models.inference.network.precision import check_device, choose
from ctseg_models.inference.network.threads import thread_count
from ctseg_models.inference.prediction_arrays import PredictionArrays
from ctseg_models.inference.provenance import provenance_of
from ctseg_models.inference.segmentation import segment
from ctseg_models.inference.stage_run import StageResult, materialised, report


def run_bundle(
    bundle: Bundle,
    volume: Volume,
    *,
    model: Model | None = None,
    region: Region | None = None,
    settings: InferenceSettings = InferenceSettings(),
    localiser_cache: LocaliserCache | None = None,
) -> Generator[Progress, None, Prediction]:
    """The work of `inference.run`, which describes the arguments."""
    begun = time.perf_counter()
    check_device(settings.device)
    yield Progress("load", 0, 1, f"Loading {bundle.name}")
    with thread_count(settings.threads), out_of_memory_as_bundle_error(settings.device):
        model = load_with_cpu_fallback(bundle, settings.device, model)
        loaded = time.perf_counter()
        arithmetic = choose(settings.precision, settings.device)
        upright = Upright.of(volume)
        found = yield from segment(
            model, upright, region, arithmetic, mirroring=settings.mirroring, localiser_cache=localiser_cache
        )
        if settings.probabilities:
            found.maps = yield from materialised(found.maps)
        computed = time.perf_counter()
        names = _names(found, model)
        arrays = PredictionArrays.blank(upright, found.maps.values, settings)
        probabilities = None
        if settings.probabilities:
            work = probabilities_of(found.maps, upright)
            probabilities = yield from report("assemble", work, "Gathering the probabilities")
        yield from arrays.paint(found, names, settings)
    times = _times(begun, loaded, computed, time.perf_counter())
    warnings = tuple(dict.fromkeys([*bundle.warnings_for(volume), *found.warnings]))
    boxes = (upright.stored_box(ROI, found.box),) if found.roi else ()
    record = provenance_of(
        [bundle],
        volume,
        settings,
        arithmetic,
        found.stages,
        times,
        warnings,
        boxes,
        confidence=arrays.confidence,
    )
    return Prediction(
        LabelMap(arrays.labels, volume.geometry, names, source=volume.source),
        boxes,
        probabilities,
        None if arrays.edges is None else Volume(arrays.edges, volume.geometry),
        None if arrays.entropy is None else Volume(arrays.entropy, volume.geometry),
        record,
        warnings,
    )


def _times(begun: float, loaded: float, computed: float, ended: float) -> dict[str, float]:
    """Seconds of each part of a run."""
    return {
        "load": loaded - begun,
        "networks": computed - loaded,
        "assemble": ended - computed,
        "total": ended - begun,
    }


def _names(found: StageResult, model: Model) -> Labels:
    """The model's labels, or numbers for those that the bundle wrote and does not name."""
    if not found.unnamed:
        return model.labels
    return Labels.from_names({value: f"label {value}" for value in found.unnamed})
