"""One network over one box: input, windows, class maps."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from ctseg_imaging.progress import Progress
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.lattice import Box, Lattice
from ctseg_models.contract.maps import Maps
from ctseg_models.contract.stage import LoadedStage, Prepared, Steps
from ctseg_models.contract.upright import Upright
from ctseg_models.inference.agreement import agreed
from ctseg_models.inference.labels.class_maps import ClassMaps
from ctseg_models.inference.maps.stored import CutMaps, MemoryMaps, gathered, room_for
from ctseg_models.inference.maps.windowed import WindowedMaps, mirrored, refuse_not_finite
from ctseg_models.inference.memory_fallback import OutOfMemoryFallback, placed, spare

T = TypeVar("T")
ROI = "region of interest"
SEGMENTING = "Segmenting"
MOST_NUMBERS = 8  # in a sentence


@dataclass
class StageResult:
    """What the networks of one bundle gave. edges : (E, z, y, x) of a network with an edge head, on the
    lattice of the maps. box : where the labels may lie, mm in the view. roi : whether it was localised.
    """

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


def run_stage(
    stage: LoadedStage,
    upright: Upright,
    box: Box,
    whole: bool,
    device: str,
    arithmetic: Arithmetic,
    mirroring: bool,
) -> Generator[Progress, None, tuple[ClassMaps, Tensor | None, dict[str, Any], list[str]]]:
    """Class maps of one network (pending when it works in windows), edge maps, a log for the provenance,
    and warnings, to which some may be added while maps are pending.
    """
    begun = time.perf_counter()
    prepared: Prepared = yield from report(
        stage.name, stage.prepare(upright, box, whole), "Resampling", 0, 10
    )
    log: dict[str, Any] = {
        "name": stage.name,
        "spacing_mm": [round(s, 4) for s in prepared.lattice.spacing_mm],
        "size": list(prepared.lattice.shape),
        "seconds": {"resample": round(time.perf_counter() - begun, 3)},
    }
    warnings = coarser(stage, prepared.lattice)
    enduring = OutOfMemoryFallback(
        prepared.steps or stage.steps,
        len(stage.values) + stage.edges,
        device,
        warnings,
        spare(stage, upright, box, whole),
        divisible=prepared.written is None,
    )
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
        warnings.append(
            "The model allows no mirroring (it may have learnt which side is left), so the input was not "
            "mirrored."
        )
    begun = time.perf_counter()
    maps = yield from maps_of(stage, steps, prepared, device, arithmetic, warnings)
    log["seconds"]["network"] = round(time.perf_counter() - begun, 3)
    edges = None
    if stage.edges:
        assert isinstance(maps, MemoryMaps)
        maps, edges = MemoryMaps(maps.tensor[: len(stage.values)]), maps.tensor[len(stage.values) :].float()
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
            warnings.append(
                f"The bundle's postprocessing wrote the labels {_numbers(written.values[1:])} and not those "
                "that its metadata "
                "names; ask its author what they are."
            )
    class_maps = ClassMaps.of(
        maps, lattice, values, stage.form, prepared.interpolation, prepared.border, stage.temperature
    )
    return class_maps, edges, log, warnings


def _numbers(values: Sequence[int]) -> str:
    """A few of them."""
    shown = ", ".join(map(str, values[:MOST_NUMBERS]))
    return f"{shown} and {len(values) - MOST_NUMBERS} more" if len(values) > MOST_NUMBERS else shown


def maps_of(
    stage: LoadedStage,
    steps: Steps,
    prepared: Prepared,
    device: str,
    arithmetic: Arithmetic,
    warnings: list[str],
) -> Generator[Progress, None, Maps]:
    named = {"localise": "Looking for the region of interest", "segment": SEGMENTING}[stage.name]
    if prepared.tiling is None:
        whole = yield from report(stage.name, steps(prepared.x, arithmetic), named, 10, 100)
        refuse_not_finite(whole)
        return MemoryMaps(whole.cpu())
    tiling = prepared.tiling
    maps = placed(
        prepared.x,
        device,
        lambda x: WindowedMaps(steps, x, tiling, len(stage.values) + stage.edges, arithmetic),
        warnings,
    )
    if not stage.edges:
        return maps
    room = MemoryMaps(torch.empty(maps.shape))
    return (yield from report(stage.name, gathered(maps, room), named, 10, 100))


def materialised(maps: ClassMaps, taken: int = 0) -> Generator[Progress, None, ClassMaps]:
    """The same maps with all that was pending made and kept. taken : bytes of memory that others hold
    meanwhile.
    """
    if not maps.maps.pending:
        return maps
    whole = yield from report(
        "segment", gathered(maps.maps, room_for(maps.maps.shape, taken)), SEGMENTING, 10, 100
    )
    return replace(maps, maps=whole)


def report(
    stage: str, work: Generator[float, None, T], message: str, low: int = 0, high: int = 100
) -> Generator[Progress, None, T]:
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


def coarser(stage: LoadedStage, lattice: Lattice) -> list[str]:
    """A sentence when the spacing had to grow by more than a tenth."""
    wanted = stage.spacing_mm
    if wanted is None or all(got < 1.1 * want for got, want in zip(lattice.spacing_mm, wanted, strict=True)):
        return []
    got = " x ".join(f"{s:.1f}" for s in lattice.spacing_mm)
    return [
        f"The region is large: it was segmented at {got} mm instead of "
        f"{' x '.join(f'{s:.1f}' for s in wanted)} mm (z, y, x)."
    ]
