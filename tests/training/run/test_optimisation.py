"""Learning rate, clipping, averaging, freezing and the event log."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn

from ctseg_imaging.errors import RecipeError
from ctseg_models.networks.scn import SCN, SCNConfig
from ctseg_training.recipes.schema import Optimiser, Schedule
from ctseg_training.record.events import EventLog, holds_run, read_events
from ctseg_training.run.checkpoint import load_checkpoint
from ctseg_training.run.ema import Ema
from ctseg_training.run.optimisation import GradientClip, build_optimiser, choose_trainable, learning_rate
from ctseg_training.run.steps import Hardware, step_seed


def test_learning_rate_warms_up_and_falls() -> None:
    linear = Schedule(kind="linear", warmup_steps=4)
    assert [learning_rate(1.0, linear, step, 0.0) for step in (0, 1, 3, 9)] == [0.25, 0.5, 1.0, 1.0]
    assert learning_rate(2.0, linear, 50, 0.75) == 0.5 and learning_rate(2.0, linear, 50, 1.2) == 0
    assert learning_rate(2.0, Schedule(), 0, 0.9) == 2.0


def test_weight_decay_is_l2_in_adam_and_decoupled_in_adamw() -> None:
    """With a gradient of zero, L2 in Adam moves a weight by about the learning rate, AdamW by rate * decay
    * weight.
    """
    for kind, expected in (("adam", 1 - 0.1), ("adamw", 1 - 0.1 * 0.5)):
        layer = nn.Linear(1, 1, bias=False)
        nn.init.ones_(layer.weight)
        optimiser = build_optimiser(Optimiser(kind=kind, learning_rate=0.1, weight_decay=0.5), layer)  # type: ignore[arg-type]
        layer.weight.grad = torch.zeros_like(layer.weight)
        optimiser.step()
        assert float(layer.weight.detach()) == pytest.approx(expected, abs=1e-5)


def gradient(*values: float) -> torch.Tensor:
    weight = torch.zeros(len(values), requires_grad=True)
    weight.grad = torch.tensor(values)
    return weight


def test_clipping_at_a_multiple_of_the_moving_norm() -> None:
    clip = GradientClip(5.0)
    first = gradient(3.0, 4.0)
    assert clip([first]) == pytest.approx(5.0) and clip.mean == pytest.approx(5.0)
    assert first.grad is not None and first.grad.tolist() == [3.0, 4.0]
    large = gradient(60.0, 80.0)
    assert clip([large]) == pytest.approx(100.0)
    assert large.grad is not None and large.grad.tolist() == pytest.approx([15.0, 20.0])
    assert clip.mean == pytest.approx(0.99 * 5 + 0.01 * 25)
    assert math.isnan(clip([gradient(float("nan"))])) and clip.mean == pytest.approx(5.2)
    off = gradient(60.0, 80.0)
    assert (
        GradientClip(None)([off]) == pytest.approx(100)
        and off.grad is not None
        and off.grad.tolist() == [60.0, 80.0]
    )


def test_the_average_starts_fast_and_then_keeps_its_decay() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    ema = Ema(layer, 0.9)
    nn.init.ones_(layer.weight)
    ema.update(layer, 1)
    assert float(ema.weights["weight"]) == pytest.approx(1 - 2 / 11)
    before = float(ema.weights["weight"])
    ema.update(layer, 1000)
    assert float(ema.weights["weight"]) == pytest.approx(before + 0.1 * (1 - before))


def test_freezing_by_part() -> None:
    network = SCN(SCNConfig(outputs=3, levels=2, filters=2, spatial_levels=1, spatial_filters=2))
    for part, expected in (
        ("head", {"prediction"}),
        ("decoder", {"prediction", "expanding0", "expanding1"}),
        ("all", {"prediction", "expanding0", "expanding1", "contracting0", "contracting1"}),
    ):
        choose_trainable(network, part)
        trained = {
            word for name, p in network.named_parameters() if p.requires_grad for word in name.split(".")
        }
        assert (
            trained & {"prediction", "expanding0", "expanding1", "contracting0", "contracting1"} == expected
        )


def test_seeds_of_steps_differ() -> None:
    assert len({step_seed(seed, step) for seed in range(5) for step in range(1000)}) == 5000


def test_hardware() -> None:
    assert Hardware.choose("cpu", "fp32") == Hardware("cpu", False)
    assert Hardware.choose("cpu", "bf16").bf16
    with pytest.raises(RecipeError, match="cannot be used here"):
        Hardware.choose("cuda:77", "fp32")


def test_events_are_read_on_from_an_offset_and_broken_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert list(read_events(path)) == [] and not holds_run(tmp_path)
    log = EventLog(path)
    log.write("start", labels=["a"])
    log.write("step", loss=float("nan"), terms={"x": float("inf"), "y": 1.0})
    first, second = read_events(path)
    assert (
        first.kind == "start"
        and second.data == {"loss": None, "terms": {"x": None, "y": 1.0}}
        and holds_run(tmp_path)
    )
    with path.open("ab") as stream:
        stream.write(b'{"time": 1, "kind": "st')
    assert list(read_events(path, second.end)) == []  # not a whole line yet
    log.write("done")
    assert [event.kind for event in read_events(path, second.end)] == ["done"]
    assert all(json.loads(line)["kind"] for line in path.read_text().splitlines() if line.endswith("}"))


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"nothing")
    with pytest.raises(RecipeError, match="is not a checkpoint"):
        load_checkpoint(tmp_path / "last.pt")
    torch.save({"step": 1}, tmp_path / "last.pt")
    with pytest.raises(RecipeError, match="is not a checkpoint"):
        load_checkpoint(tmp_path / "last.pt")
