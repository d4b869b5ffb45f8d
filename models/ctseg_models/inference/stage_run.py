"""One network over one box of a volume: input, precision, windows, class maps."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from ctseg_imaging.progress import Progress
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.lattice import Lattice, ViewBox
from ctseg_models.contract.maps import Maps
from ctseg_models.contract.run_warning import RunWarning, WarningKind
from ctseg_models.contract.stage import LoadedStage, NetworkSteps, Prepared
from ctseg_models.contract.upright import Upright
from ctseg_models.inference.agreement import try_precision
from ctseg_models.inference.labels.class_maps import ClassMaps
from ctseg_models.inference.maps.stored import CutMaps, MemoryMaps, gathered, room_for
from ctseg_models.inference.maps.windowed import WindowedMaps, mirrored, refuse_not_finite
from ctseg_models.inference.memory_fallback import OutOfMemoryFallback, cpu_fallback, windows_with_room

T = TypeVar("T")
SEGMENTING = "Segmenting"
WORKING = {"localise": "Looking for the region of interest", "segment": SEGMENTING}
MOST_NUMBERS = 8  # in a sentence


@dataclass(frozen=True)
class Conditions:
    """How the networks of a run compute."""

    device: str
    arithmetic: Arithmetic
    mirroring: bool = False  # the mean over all mirrored inputs that a stage allows


@dataclass(eq=False)
class StageOutcome:
    """What a run of a network leaves besides its maps; holds no network.

    While the maps are pending, `warnings` and `log` may grow.
    """

    log: dict[str, Any]  # for the provenance, plain JSON
    warnings: list[RunWarning] = field(default_factory=list)
    edges: Tensor | None = None  # (E, z, y, x) of a network with an edge head, on the lattice of the maps


@dataclass(eq=False)
class StageRun:
    """One run of one network. `class_maps` computes; edge maps, warnings and a log are kept in `outcome`.

    A network that works in windows gives maps that are still pending.
    """

    stage: LoadedStage
    upright: Upright
    box: ViewBox  # where to look, mm in the view
    conditions: Conditions
    whole: bool = False  # whether the box is the whole volume
    outcome: StageOutcome = field(init=False)

    def __post_init__(self) -> None:
        self.outcome = StageOutcome({"name": self.stage.name})

    def class_maps(self) -> Generator[Progress, None, ClassMaps]:
        """Run it. Raises BundleError when memory runs out or the network does not take the input."""
        prepared = yield from self._prepared()
        steps: NetworkSteps = self._with_fallback(prepared)
        arithmetic = yield from self._with_precision(steps, prepared)
        steps = self._mirrored(steps, prepared)
        begun = time.perf_counter()
        maps = yield from self._maps(steps, prepared, arithmetic)
        self.outcome.log["seconds"]["network"] = round(time.perf_counter() - begun, 3)
        return self._meant(self._without_edges(maps), prepared)

    def _prepared(self) -> Generator[Progress, None, Prepared]:
        begun = time.perf_counter()
        work = self.stage.prepare(self.upright, self.box, self.whole)
        prepared = yield from report(self.stage.name, work, "Resampling", 0, 10)
        self.outcome.log |= {
            "spacing_mm": [round(s, 4) for s in prepared.lattice.spacing_mm],
            "size": list(prepared.lattice.shape),
            "seconds": {"resample": round(time.perf_counter() - begun, 3)},
        }
        self.outcome.warnings += coarser(self.stage, prepared.lattice)
        return prepared

    def _with_fallback(self, prepared: Prepared) -> OutOfMemoryFallback:
        fallback = OutOfMemoryFallback(
            prepared.steps or self.stage.steps,
            self._count,
            self.conditions.device,
            self.outcome.warnings.append,
            cpu_fallback(self.stage, self.upright, self.box, self.whole),
            divisible=prepared.written is None,
        )
        self.outcome.log["devices"] = fallback.devices
        return fallback

    def _with_precision(
        self, steps: NetworkSteps, prepared: Prepared
    ) -> Generator[Progress, None, Arithmetic]:
        work = try_precision(self.stage, steps, prepared, self.conditions.device, self.conditions.arithmetic)
        trial = yield from report(self.stage.name, work, "Comparing the precisions", 10, 10)
        self.outcome.log |= {**trial.note, "precision": str(trial.arithmetic.dtype).removeprefix("torch.")}
        self.outcome.warnings += trial.warnings
        return trial.arithmetic

    def _mirrored(self, steps: NetworkSteps, prepared: Prepared) -> NetworkSteps:
        axes = self.stage.mirror_axes if prepared.mirror_axes is None else prepared.mirror_axes
        if not self.conditions.mirroring:
            return steps
        if axes:
            self.outcome.log["mirrored_axes"] = list(axes)
            return mirrored(steps, axes)
        if self.stage.name == "segment":
            text = (
                "The model allows no mirroring (it may have learnt which side is left), so the input was not "
                "mirrored."
            )
            self.outcome.warnings.append(RunWarning(WarningKind.MIRRORING, text))
        return steps

    def _maps(
        self, steps: NetworkSteps, prepared: Prepared, arithmetic: Arithmetic
    ) -> Generator[Progress, None, Maps]:
        """Of the whole array at once, or of windows, which are pending unless there are edges with them."""
        name, message = self.stage.name, WORKING[self.stage.name]
        if prepared.tiling is None:
            whole = yield from report(name, steps(prepared.x, arithmetic), message, 10, 100)
            refuse_not_finite(whole)
            return MemoryMaps(whole.cpu())
        tiling = prepared.tiling
        maps = windows_with_room(
            prepared.x,
            self.conditions.device,
            lambda x: WindowedMaps(steps, x, tiling, self._count, arithmetic),
            self.outcome.warnings.append,
        )
        if not self.stage.edges:
            return maps
        room = MemoryMaps(torch.empty(maps.shape))
        return (yield from report(name, gathered(maps, room), message, 10, 100))

    @property
    def _count(self) -> int:
        """How many maps the network gives, edges included."""
        return len(self.stage.values) + self.stage.edges

    def _without_edges(self, maps: Maps) -> Maps:
        if not self.stage.edges:
            return maps
        assert isinstance(maps, MemoryMaps)
        classes = len(self.stage.values)
        self.outcome.edges = maps.tensor[classes:].float()
        return MemoryMaps(maps.tensor[:classes])

    def _meant(self, maps: Maps, prepared: Prepared) -> ClassMaps:
        """The maps with their lattice, values and form."""
        if prepared.keep is not None:
            maps = CutMaps(maps, *prepared.keep)
        maps, lattice = (maps, prepared.lattice) if prepared.brought is None else prepared.brought(maps)
        values = self.stage.values
        if prepared.written is not None:
            assert isinstance(maps, MemoryMaps)
            written = prepared.written(maps.tensor[0])
            maps, values = written.maps, written.values
            if not written.named:
                self._report_unnamed(written.values[1:])
        return ClassMaps.of(
            maps,
            lattice,
            values,
            self.stage.form,
            prepared.interpolation,
            prepared.border,
            self.stage.temperature,
        )

    def _report_unnamed(self, values: Sequence[int]) -> None:
        self.outcome.log["unnamed_labels"] = list(values)
        text = (
            f"The bundle's postprocessing wrote the labels {_numbers(values)} and not those that its "
            "metadata names; ask its author what they are."
        )
        self.outcome.warnings.append(RunWarning(WarningKind.LABELS, text))


@dataclass
class StageResult:
    """What the networks of one bundle gave."""

    maps: ClassMaps
    box: ViewBox  # where the labels may lie, mm in the view
    roi: bool  # whether the box was localised or given
    runs: tuple[StageOutcome, ...] = ()  # in order, the one that gave the maps last
    notes: tuple[RunWarning, ...] = ()

    @property
    def edges(self) -> Tensor | None:
        """(E, z, y, x) of a network with an edge head, on the lattice of the maps."""
        return self.runs[-1].edges if self.runs else None

    @property
    def warnings(self) -> list[RunWarning]:
        """The warnings; complete once no maps are pending."""
        return [*self.notes, *(self.runs[-1].warnings if self.runs else ())]

    @property
    def stages(self) -> list[dict[str, Any]]:
        """A log of each network's run, for the provenance."""
        return [run.log for run in self.runs]

    @property
    def unnamed(self) -> list[int]:
        """Label values that the bundle's own code wrote and its metadata does not name."""
        unnamed: list[int] = self.runs[-1].log.get("unnamed_labels", []) if self.runs else []
        return unnamed


def materialised(maps: ClassMaps, taken: int = 0) -> Generator[Progress, None, ClassMaps]:
    """The same maps, with all pending windows computed and kept. taken : bytes of memory that others hold
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
    """Turn shares of work into Progress from `low` to `high` percent; the value of `work` is returned."""
    done = 0.0
    yield Progress(stage, low, 100, message)
    while True:
        try:
            done = min(1.0, done + next(work))
        except StopIteration as end:
            value: T = end.value
            return value
        yield Progress(stage, low + int(done * (high - low)), 100, message)


def coarser(stage: LoadedStage, lattice: Lattice) -> list[RunWarning]:
    """A warning where the spacing (z, y, x) in mm had to grow by more than a tenth."""
    wanted = stage.spacing_mm
    if wanted is None or all(got < 1.1 * want for got, want in zip(lattice.spacing_mm, wanted, strict=True)):
        return []
    got = " x ".join(f"{s:.1f}" for s in lattice.spacing_mm)
    text = (
        f"The region is large: it was segmented at {got} mm instead of "
        f"{' x '.join(f'{s:.1f}' for s in wanted)} mm (z, y, x)."
    )
    return [RunWarning(WarningKind.SPACING, text)]


def _numbers(values: Sequence[int]) -> str:
    """At most MOST_NUMBERS of them."""
    shown = ", ".join(map(str, values[:MOST_NUMBERS]))
    return f"{shown} and {len(values) - MOST_NUMBERS} more" if len(values) > MOST_NUMBERS else shown
