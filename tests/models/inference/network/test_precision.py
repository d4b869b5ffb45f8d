"""Half precision is used where it is faster and its labels are those of float32."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import finish
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.lattice import Lattice
from ctseg_models.contract.measured import Measured
from ctseg_models.contract.run_warning import WarningKind
from ctseg_models.contract.stage import LoadedStage, Prepared, RunSize
from ctseg_models.contract.tiling import Tiling
from ctseg_models.inference import InferenceSettings, agreement, run
from ctseg_models.inference.agreement import compare, try_precision
from ctseg_models.inference.input.crops import halved, smaller
from ctseg_models.inference.network import precision
from ctseg_models.inference.network.precision import choose
from tests.models.making import body_with_organ, threshold_bundle

TRIAL = Arithmetic(torch.bfloat16, on_trial=True)


def never() -> Generator[float, None, Prepared]:
    raise AssertionError("nothing is prepared here")
    yield


class Network:
    """Two classes, split by the sign of the input; in half precision by the sign of input + error.

    Takes sides of `only`, or any.
    """

    def __init__(self, error: float = 0.0, only: int | None = None) -> None:
        self.error, self.only = error, only
        self.seen: list[tuple[tuple[int, ...], torch.dtype]] = []

    def __call__(self, x: Tensor, given: Arithmetic) -> Generator[float, None, Tensor]:
        if self.only is not None and x.shape[2] != self.only:
            raise BundleError("file: another size, please.")
        self.seen.append((tuple(x.shape[2:]), given.dtype))
        yield 1.0
        shifted = x[0, 0] + (self.error if given.dtype == torch.bfloat16 else 0)
        return torch.stack([-shifted, shifted])

    def stage(self, **more: object) -> LoadedStage:
        entries: dict[str, object] = {
            "name": "segment",
            "prepare": never,
            "steps": self,
            "values": (0, 7),
            "flops": lambda _: 0.0,
            "layout": lambda *_: RunSize((1, 1, 1), (1, 1, 1)),
            **more,
        }
        return LoadedStage(**entries)  # type: ignore[arg-type]


def image(shape: tuple[int, int, int] = (96, 80, 64), windows: int | None = None) -> Prepared:
    torch.manual_seed(1)
    z, y, x = shape
    tiling = None if windows is None else Tiling((32, 64, 64), (tuple(range(windows)), (0,), (0,)))
    return Prepared(torch.randn(1, 1, *shape), Lattice((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (z, y, x)), tiling)


def tried(
    network: Network, prepared: Prepared, given: Arithmetic = TRIAL, **more: object
) -> tuple[Arithmetic, dict, list[str]]:
    trial = finish(try_precision(network.stage(**more), network, prepared, "cpu", given))
    assert {warning.kind for warning in trial.warnings} <= {WarningKind.PRECISION}
    return trial.arithmetic, trial.note, [warning.text for warning in trial.warnings]


def test_auto_takes_bfloat16_on_trial_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bf16_is_faster", lambda device: True)
    assert choose("auto", "cpu").dtype == torch.bfloat16
    assert choose("auto", "cpu").on_trial
    assert choose("bf16", "cpu") == Arithmetic(torch.bfloat16)  # as asked, without a trial
    assert choose("fp32", "cpu") == Arithmetic(torch.float32)
    monkeypatch.setattr(precision, "bf16_is_faster", lambda device: False)
    assert choose("auto", "cpu") == Arithmetic(torch.float32)


@pytest.mark.parametrize(("generation", "expected"), [(7, torch.float16), (6, None)])
def test_a_gpu_that_emulates_bfloat16_takes_float16(
    generation: int, expected: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (generation, 0))
    assert precision.half_type("cuda") == expected
    assert precision.half_type("mps") is None


def test_the_dice_of_each_class_by_hand() -> None:
    exact = torch.zeros(3, 10, 10, 10)
    exact[0] = 1
    exact[1, :, :, :4] = 2  # 400 voxels of 5
    exact[2, 0, 0, 5:] = 2  # 5 voxels of 9
    fast = exact.clone()
    fast[1, :, :, 3] = 0  # 300 voxels of 5
    found = compare(fast, exact, (0, 5, 9), "probabilities")
    assert found.dice == pytest.approx(2 * 300 / 700)
    assert (found.judged, found.left_out) == ((0, 5), (9,))
    both = compare(fast, exact, (0, 5, 5), "softmax logits")  # merged: 405 and 305 voxels
    assert both.dice == pytest.approx(2 * 305 / 710)
    regions = compare(fast[1:] - 1, exact[1:] - 1, (5, 9), "regions")
    assert regions.dice == pytest.approx(2 * 300 / 700)
    assert regions.left_out == (9,)


def test_labels_that_agree_let_it_pass_and_others_do_not() -> None:
    good, bad = Network(), Network(error=0.05)
    passed, note, warnings = tried(good, image())
    assert (passed, warnings) == (TRIAL, [])
    assert note["agreement"] == {"with": "bfloat16", "dice": 1.0, "judged": [0, 7], "too small to judge": []}
    assert good.seen == [
        ((64, 48, 64), torch.float32),
        ((64, 48, 64), torch.bfloat16),
    ]  # a crop of sides as divisible as the image's
    refused, note, warnings = tried(bad, image())
    assert refused == Arithmetic(torch.float32)
    assert note["agreement"]["dice"] < 0.995
    assert "float32 was used" in warnings[0]


def test_a_network_that_takes_its_own_size_only() -> None:
    network = Network(only=32)
    assert tried(network, image(windows=20))[0] == TRIAL
    assert {shape for shape, _ in network.seen} == {(32, 64, 64)}
    fixed, _, warnings = tried(Network(only=96), image())  # the whole array would cost more than the run
    assert fixed.dtype == torch.float32
    assert "could not be tried" in warnings[0]


def test_a_network_is_tried_once_for_as_long_as_foreground_was_seen() -> None:
    network, measured = Network(), Measured()
    empty = Prepared(torch.full((1, 1, 64, 64, 64), -1.0), image().lattice)
    for prepared, calls in ((empty, 1), (image(), 3), (image(), 3)):
        tried(network, prepared, measured=measured)
        assert len(network.seen) == calls
    tried(network, image())
    assert len(network.seen) == 5


def organ_at(z: int) -> Prepared:
    x = torch.full((1, 1, 200, 48, 48), -1.0)
    x[:, :, z : z + 20, 10:30, 10:30] = 1
    return Prepared(x, image().lattice)


@pytest.mark.parametrize(("z", "seen"), [(90, 2), (50, 3), (130, 4)])
def test_foreground_is_looked_for_beside_the_middle(z: int, seen: int) -> None:
    good, bad = Network(), Network(error=2.0)
    passed, note, warnings = tried(good, organ_at(z))
    assert (passed, warnings, note["agreement"]["judged"]) == (TRIAL, [], [0, 7])
    assert len(good.seen) == seen
    assert tried(bad, organ_at(z))[0].dtype == torch.float32


def test_where_nothing_could_be_judged_float32_is_used() -> None:
    network = Network()
    refused, note, warnings = tried(network, organ_at(0))  # in none of the crops
    assert refused == Arithmetic(torch.float32)
    assert (note["agreement"]["judged"], len(network.seen)) == ([0], 3)
    assert "too little of any label" in warnings[0]


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_do_not_pass(wrong: float) -> None:
    class Overflows(Network):
        def __call__(self, x: Tensor, given: Arithmetic) -> Generator[float, None, Tensor]:
            maps = yield from super().__call__(x, given)
            if given.dtype == torch.bfloat16:
                maps[0, 0, 0, 0] = wrong
            return maps

    refused, _, warnings = tried(Overflows(), image())
    assert refused.dtype == torch.float32
    assert "not finite" in warnings[0]


def test_the_provenance_has_the_precision_used_not_the_one_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "bf16_is_faster", lambda device: True)
    volume, _ = body_with_organ()
    bundle = threshold_bundle(tmp_path / "b", two_stages=False)
    monkeypatch.setattr(agreement, "LEAST_DICE", 2.0)  # nothing agrees so well
    record = finish(run(bundle, volume, settings=InferenceSettings(threads=1))).provenance
    assert (record["precision"], record["settings"]["precision"]) == ("float32", "auto")
    both = threshold_bundle(tmp_path / "two")
    record = finish(run(both, volume, settings=InferenceSettings(threads=1))).provenance
    assert [stage["precision"] for stage in record["stages"]] == ["bfloat16", "float32"]
    assert record["precision"] == "mixed"
    assert (record["device"], [stage["devices"] for stage in record["stages"]]) == ("cpu", [["cpu"], ["cpu"]])


def test_who_is_not_tried() -> None:
    network = Network()
    assert tried(network, image(), name="localise")[0] == TRIAL
    assert tried(network, image(), Arithmetic(torch.bfloat16))[0].dtype == torch.bfloat16
    assert tried(network, image(), half=False)[0].dtype == torch.float32
    assert network.seen == []


def test_the_provenance_of_a_run_describes_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "bf16_is_faster", lambda device: True)
    volume, organ = body_with_organ()
    prediction = finish(run(threshold_bundle(tmp_path / "b"), volume, settings=InferenceSettings(threads=1)))
    assert np.mean((prediction.labels.array == 5) == organ) > 0.98
    localise, segment = prediction.provenance["stages"]
    assert "agreement" not in localise
    assert segment["precision"] == "bfloat16"
    assert segment["agreement"]["dice"] >= 0.995


def test_crops_stay_as_divisible() -> None:
    assert smaller((160, 128, 40), 48) == (64, 64, 40)
    assert smaller((181, 100, 1), 48) == (48, 48, 1)
    assert halved((128, 96, 40), 32) == (64, 64, 40)
    assert halved((1, 72, 50), 20) == (1, 40, 26)
    assert halved((32, 63, 20), 32) is None
