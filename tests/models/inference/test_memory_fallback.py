"""Too little memory: what is tried instead, what is reported, and that the labels are right."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ctseg_imaging.errors import BundleError, is_out_of_memory
from ctseg_imaging.progress import finish
from ctseg_models.bundles.own.bundle import OwnBundle
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.lattice import ViewBox
from ctseg_models.contract.run_warning import RunWarning, WarningKind
from ctseg_models.contract.stage import LoadedStage, Model, NetworkSteps
from ctseg_models.contract.tiling import Tiling
from ctseg_models.contract.upright import Upright
from ctseg_models.inference import InferenceSettings, run
from ctseg_models.inference.maps.windowed import WindowedMaps
from ctseg_models.inference.memory_fallback import (
    OutOfMemoryFallback,
    cpu_fallback,
    load_with_cpu_fallback,
    out_of_memory_as_bundle_error,
    windows_with_room,
)
from ctseg_models.inference.network.interruptible import watched
from tests.models.making import body_with_organ, dice, threshold_bundle

CPU_MESSAGE = (
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
    "allocate 9 bytes."
)
GPU = "cpu:0"  # stands for a GPU: another device than "cpu" by its name


class Hungry:
    """Maps (-x, x) of x; runs out of memory above `room` voxels, and refuses fewer than `least` voxels a
    side.
    """

    def __init__(
        self,
        room: int,
        least: int = 0,
        error: Callable[[], Exception] = lambda: torch.OutOfMemoryError("CUDA out of memory"),
        words: str = "mat1 and mat2 shapes cannot be multiplied",
    ) -> None:
        self.room, self.least, self.error, self.words = room, least, error, words
        self.tried: list[tuple[int, ...]] = []

    def __call__(self, x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
        self.tried.append(tuple(x.shape[2:]))
        yield 0.5
        if min(x.shape[2:]) < self.least:
            raise RuntimeError(self.words)
        if x[0, 0].numel() > self.room:
            raise self.error()
        yield 0.5
        return torch.cat([-x[0], x[0]])


def test_what_counts_as_a_shortage() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert is_out_of_memory(caught.value)
    with pytest.raises(RuntimeError) as caught:
        finish(watched(lambda: torch.empty(1 << 50)))
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    wrapped = BundleError("file: does not work.")
    wrapped.__cause__ = RuntimeError("Failed to allocate memory for requested buffer of size 9")
    assert is_out_of_memory(wrapped)
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    assert not is_out_of_memory(BundleError("file: has no memory of it."))


@pytest.mark.parametrize(
    "error", [lambda: torch.OutOfMemoryError("x"), lambda: RuntimeError(CPU_MESSAGE), MemoryError]
)
def test_windows_are_halved_as_often_as_needed_and_that_is_remembered(error: Callable[[], Exception]) -> None:
    x = torch.randn(1, 1, 128, 64, 66)
    network, warnings = Hungry(64 * 32 * 34, error=error), []
    steps = OutOfMemoryFallback(network, 2, "cpu", warnings.append)
    maps = finish(steps(x, Arithmetic()))
    torch.testing.assert_close(maps, torch.cat([-x[0], x[0]]))
    assert network.tried[:2] == [(128, 64, 66), (64, 32, 34)]
    assert set(network.tried[1:]) == {(64, 32, 34)}
    assert list(map(str, warnings)) == [
        "The computer's memory was not enough for 128 x 64 x 66 voxels at once, so the network saw windows "
        "of 64 x 32 x 34; near their borders labels may differ."
    ]
    network.tried.clear()
    finish(steps(x, Arithmetic()))
    assert set(network.tried) == {(64, 32, 34)}
    assert len(warnings) == 1


def test_enough_memory_changes_nothing() -> None:
    x = torch.randn(1, 1, 64, 64, 64)
    network, warnings = Hungry(64**3), []
    shares = list(OutOfMemoryFallback(network, 2, "cpu", warnings.append)(x, Arithmetic()))
    assert (shares, network.tried, warnings) == ([0.5, 0.5], [(64, 64, 64)], [])


def on_processor(network: NetworkSteps) -> Callable[[], Generator[float, None, NetworkSteps]]:
    def load() -> Generator[float, None, NetworkSteps]:
        yield 0.0
        return network

    return load


def test_the_processor_comes_last() -> None:
    x = torch.randn(1, 1, 128, 128, 128)
    large, warnings = Hungry(10**7), []
    network = Hungry(10)
    maps = finish(OutOfMemoryFallback(network, 2, GPU, warnings.append, on_processor(large))(x, Arithmetic()))
    torch.testing.assert_close(maps[1], x[0, 0])
    assert network.tried == [(128,) * 3, (64,) * 3, (32,) * 3]
    assert large.tried == [(128, 128, 128)]
    assert "ran on the processor" in warnings[-1].text


def test_a_network_that_takes_no_smaller_window_goes_to_the_processor() -> None:
    x = torch.randn(1, 1, 64, 64, 64)
    warnings: list[RunWarning] = []
    network, large = Hungry(10, 64), Hungry(10**7)
    finish(OutOfMemoryFallback(network, 2, GPU, warnings.append, on_processor(large))(x, Arithmetic()))
    assert network.tried == [(64,) * 3, (32,) * 3]
    assert "ran on the processor" in warnings[-1].text


def test_when_nothing_helps_an_error_tells_what_to_do() -> None:
    with pytest.raises(
        BundleError, match=r"memory is not enough for 32 x 32 x 32 voxels .* choose a smaller region"
    ):
        finish(
            OutOfMemoryFallback(Hungry(10), 2, "cpu", [].append)(torch.zeros(1, 1, 64, 64, 64), Arithmetic())
        )
    with pytest.raises(BundleError, match="choose cpu, or"):
        finish(
            OutOfMemoryFallback(Hungry(10), 2, GPU, [].append)(torch.zeros(1, 1, 64, 64, 64), Arithmetic())
        )
    with pytest.raises(BundleError, match="not enough for this image"), out_of_memory_as_bundle_error("cuda"):
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="shapes"), out_of_memory_as_bundle_error("cuda"):
        raise RuntimeError("shapes differ")


def test_another_error_is_not_taken_for_a_shortage() -> None:
    network = Hungry(10, error=lambda: RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        finish(OutOfMemoryFallback(network, 2, "cpu", [].append)(torch.zeros(1, 1, 64, 64, 64), Arithmetic()))
    assert len(network.tried) == 1


def test_another_error_in_windows_that_worked_is_not_taken_for_a_shortage() -> None:
    network = Hungry(40**3)
    calls = iter([True, True, False])  # too large; a window that works; one that fails

    def steps(x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
        if not next(calls):
            raise RuntimeError("device-side assert triggered")
        return (yield from network(x, arithmetic))

    with pytest.raises(RuntimeError, match="device-side assert"):
        finish(
            OutOfMemoryFallback(steps, 2, GPU, [].append, on_processor(Hungry(10**7)))(
                torch.zeros(1, 1, 64, 64, 64), Arithmetic()
            )
        )
    assert network.tried == [(64,) * 3, (32,) * 3]


def test_a_networks_message_about_smaller_windows_is_in_the_error() -> None:
    message = (
        r"not enough for 64 x 64 x 64 voxels at once, and the network takes no smaller windows \(mat1 and "
        r"mat2 shapes cannot"
    )
    with pytest.raises(BundleError, match=message):
        finish(
            OutOfMemoryFallback(Hungry(10, 64), 2, "cpu", [].append)(
                torch.zeros(1, 1, 64, 64, 64), Arithmetic()
            )
        )


def test_a_network_that_refuses_smaller_windows_without_a_message_gets_no_smaller_ones() -> None:
    network = Hungry(10, 64, words="")
    with pytest.raises(BundleError, match=r"takes no smaller windows \(RuntimeError\)"):
        finish(OutOfMemoryFallback(network, 2, "cpu", [].append)(torch.zeros(1, 1, 64, 64, 64), Arithmetic()))
    assert network.tried == [(64,) * 3, (32,) * 3]


def test_sums_without_room_on_a_gpu_are_made_by_the_processor() -> None:
    x, made, warnings = torch.randn(1, 1, 12, 10, 9), [], []

    def make(given: Tensor) -> WindowedMaps:
        made.append(str(given.device))
        if len(made) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return WindowedMaps(Hungry(10**6), given, Tiling.spread((12, 10, 9), (8, 8, 8), 0.5), 2, Arithmetic())

    assert windows_with_room(x, GPU, make, warnings.append).shape == (2, 12, 10, 9)
    assert len(made) == 2
    assert "add up" in warnings[0].text


@pytest.mark.parametrize("windowed", [False, True])
def test_a_run_continues_with_a_warning(
    windowed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, organ = body_with_organ()
    more: dict[str, object] = {"inferer": "sliding_window", "patch": (40, 40, 40)} if windowed else {}
    bundle = threshold_bundle(tmp_path / "b", two_stages=False, **more)
    failed = []

    def load(self: OwnBundle, device: str = "cpu") -> Model:
        model = loading(self, device)
        return replace(model, stages=tuple(replace(stage, steps=failing(stage)) for stage in model.stages))

    def failing(stage: LoadedStage) -> NetworkSteps:
        def steps(x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
            yield 0.0
            if not failed:
                failed.append(x.shape)
                raise RuntimeError(CPU_MESSAGE)
            return (yield from stage.steps(x, arithmetic))

        return steps

    loading = OwnBundle.load
    monkeypatch.setattr(OwnBundle, "load", load)
    monkeypatch.setattr("ctseg_models.inference.memory_fallback.SHORTEST", 16)
    prediction = finish(run(bundle, volume, settings=InferenceSettings(precision="fp32", threads=1)))
    assert len(failed) == 1
    assert dice(prediction.labels.array == 5, organ) > 0.95
    (warning,) = (one for one in prediction.warnings if one.kind is WarningKind.MEMORY)
    assert "windows of" in warning.text
    assert warning.text in prediction.provenance["warnings"]


def test_a_stage_on_a_gpu_can_be_had_on_the_processor(tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    bundle = threshold_bundle(tmp_path / "b")
    upright = Upright.of(volume)
    assert all(
        cpu_fallback(stage, upright, ViewBox.whole(upright.geometry), True) is None
        for stage in load_with_cpu_fallback(bundle, "cpu").stages
    )
    stage = load_with_cpu_fallback(bundle, GPU).stages[1]
    get = cpu_fallback(stage, upright, ViewBox.whole(upright.geometry), True)
    assert get is not None
    steps = finish(get())
    x = torch.randn(1, 1, 16, 24, 8)
    torch.testing.assert_close(finish(steps(x, Arithmetic())), finish(stage.steps(x, Arithmetic())))
