"""What is tried when a network needs more memory than there is: smaller windows, then the processor.

Each step back is reported as a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor

from ctseg_imaging.errors import BundleError, first_line, is_out_of_memory
from ctseg_imaging.geometry import Shape
from ctseg_imaging.progress import scaled
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.lattice import ViewBox
from ctseg_models.contract.run_warning import RunWarning, WarningKind
from ctseg_models.contract.stage import LoadedStage, Model, NetworkSteps
from ctseg_models.contract.tiling import Tiling
from ctseg_models.contract.upright import Upright
from ctseg_models.inference.input.crops import halved
from ctseg_models.inference.maps.stored import MemoryMaps, gathered
from ctseg_models.inference.maps.windowed import WindowedMaps
from ctseg_models.process_memory import trim

SHORTEST = 32  # voxels: no side is halved to fewer
OVERLAP = 0.5


@contextmanager
def out_of_memory_as_bundle_error(device: str) -> Iterator[None]:
    """A shortage of memory that no fallback could handle becomes a BundleError."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error) and not isinstance(error, BundleError):
            raise BundleError(
                f"{_memory(device)} was not enough for this image; choose a smaller region, fewer classes, "
                "or close other programs."
            ) from error
        raise


def load_with_cpu_fallback(bundle: Bundle, device: str, model: Model | None = None) -> Model:
    """`bundle.load(device)`, with stages that can be loaded again on the processor when the GPU's memory
    runs out. model : where it is on the device already. Raises BundleError.
    """
    model = model or bundle.load(device)
    if device == "cpu":
        return model

    def on_cpu(number: int) -> Callable[[], LoadedStage]:
        return lambda: bundle.load("cpu").stages[number]

    return replace(
        model,
        stages=tuple(replace(stage, on_cpu=on_cpu(number)) for number, stage in enumerate(model.stages)),
    )


# Loads a network on the processor and returns its steps; a generator, as that may take a while.
CpuFallback = Callable[[], "Generator[float, None, NetworkSteps]"]


def cpu_fallback(stage: LoadedStage, upright: Upright, box: ViewBox, whole: bool) -> CpuFallback | None:
    """How to get a stage's steps for this volume on the processor; None where it runs there already."""
    load = stage.on_cpu
    if load is None:
        return None

    def again() -> Generator[float, None, NetworkSteps]:
        loaded = load()
        prepared = yield from scaled(loaded.prepare(upright, box, whole), 0.0)
        return prepared.steps or loaded.steps

    return again


class OutOfMemoryFallback:
    """Network steps that use less when memory runs out: smaller windows, then the processor.

    Called as NetworkSteps. A size that was too large is not tried again. An error that is not a shortage is
    raised as it is, except for the first smaller window: a network may take one size only. devices : on which
    it has run.
    """

    def __init__(
        self,
        steps: NetworkSteps,
        classes: int,
        device: str,
        warn: Callable[[RunWarning], None],
        cpu_fallback: CpuFallback | None = None,
        *,
        divisible: bool = True,
    ) -> None:
        """classes : the number of maps of `steps`, edges included. warn : called at each step back.

        cpu_fallback : the same network on the processor, where `device` is a GPU. divisible : whether smaller
        windows may be tried.
        """
        self._warn = warn
        self._steps, self._classes, self._device, self._cpu_fallback = steps, classes, device, cpu_fallback
        self._divisible = divisible
        self._halvings = 0
        self._taken = False  # whether the network has computed a smaller window
        self.devices = [device]

    def __call__(self, x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
        """(1, C, z, y, x) on any device to (K, z, y, x) on the same device.

        Raises BundleError when all fallbacks have failed.
        """
        size: Shape = (x.shape[2], x.shape[3], x.shape[4])
        while True:
            try:
                maps = yield from self._run(x.to(self._device), size, arithmetic)
                return maps.to(x.device)
            except (RuntimeError, MemoryError, BundleError) as error:
                if not is_out_of_memory(error) and (self._taken or not self._halvings):
                    raise
                refused = "" if is_out_of_memory(error) else first_line(error)
            # Here the error is gone, and with it the arrays that its traceback held.
            trim()
            if self._device.startswith("cuda"):
                torch.cuda.empty_cache()
            yield from self._retreat(size, refused)

    def _run(self, x: Tensor, size: Shape, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
        window = self._window(size)
        if window == size:
            return (yield from self._steps(x, arithmetic))
        maps = WindowedMaps(self._noticed, x, Tiling.spread(size, window, OVERLAP), self._classes, arithmetic)
        whole = yield from gathered(maps, MemoryMaps(torch.empty(maps.shape)))
        assert isinstance(whole, MemoryMaps)
        return whole.tensor

    def _noticed(self, x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
        """The steps, recording that the network takes a window."""
        maps = yield from self._steps(x, arithmetic)
        self._taken = True
        return maps

    def _window(self, size: Shape, fewer: int = 0) -> Shape:
        for _ in range(self._halvings - fewer):
            size = halved(size, SHORTEST) or size
        return size

    def _retreat(self, size: Shape, refused: str) -> Generator[float, None, None]:
        """One step back. refused : the network's message about smaller windows, "" if none.

        Raises BundleError when nothing is left to try.
        """
        self._taken = False
        before = self._window(size)
        after = halved(before, SHORTEST) if self._divisible and self._halvings < 2 and not refused else None
        if after is not None:
            self._halvings += 1
            text = (
                f"{_memory(self._device)} was not enough for {_sides(before)} voxels at once, so the network "
                f"saw windows of {_sides(after)}; near their borders labels may differ."
            )
            self._warn(RunWarning(WarningKind.MEMORY, text))
            return
        if self._cpu_fallback is None:
            hint = "" if self._device == "cpu" else " choose cpu, or"
            short, smaller = before, "it cannot be given smaller windows"
            if refused:
                short, smaller = self._window(size, 1), f"the network takes no smaller windows ({refused})"
            raise BundleError(
                f"{_memory(self._device)} is not enough for {_sides(short)} voxels at once, and "
                f"{smaller};{hint} choose a smaller region or close other programs."
            )
        self._steps = yield from self._cpu_fallback()
        text = (
            f"{_memory(self._device)} was not enough for {_sides(before)} voxels, so the network ran on the "
            "processor."
        )
        self._warn(RunWarning(WarningKind.MEMORY, text))
        self._device, self._cpu_fallback, self._halvings = "cpu", None, 0
        self.devices.append("cpu")


def windows_with_room(
    x: Tensor, device: str, make: Callable[[Tensor], WindowedMaps], warn: Callable[[RunWarning], None]
) -> WindowedMaps:
    """`make` of `x` on the device, or on the processor when the device has no room for all sums."""
    try:
        return make(x.to(device))
    except (RuntimeError, MemoryError) as error:
        if device == "cpu" or not is_out_of_memory(error):
            raise
    torch.cuda.empty_cache()
    text = f"{_memory(device)} was not enough to add up the windows, so the processor did that."
    warn(RunWarning(WarningKind.MEMORY, text))
    return make(x)


def _memory(device: str) -> str:
    return "The computer's memory" if device == "cpu" else f"The memory of {device}"


def _sides(shape: Shape) -> str:
    return " x ".join(str(n) for n in shape)
