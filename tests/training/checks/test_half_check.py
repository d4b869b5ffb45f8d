"""A network is compared with float32 on its own small maps before it is trained in bfloat16."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ctseg_imaging.progress import finish
from ctseg_models.inference.network.precision import bf16_is_faster
from ctseg_models.networks import patched_layers
from ctseg_training.checks.half_check import wrong_layers
from ctseg_training.recipes import Recipe
from ctseg_training.run.engine import train


class Wrong(nn.Conv3d):
    """Half of the right numbers under autocast."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (0.5 if torch.is_autocast_enabled("cpu") else 1.0)


def network(second: type[nn.Conv3d]) -> nn.Module:
    return nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.MaxPool3d(2), second(4, 4, 3, padding=1))


@pytest.mark.skipif(not bf16_is_faster("cpu"), reason="bfloat16 is emulated here")
def test_a_wrong_convolution_is_found_and_right_ones_are_not() -> None:
    shape = (1, 1, 8, 12, 10)
    assert wrong_layers(network(nn.Conv3d), shape) == []
    given = network(Wrong)
    before = [parameter.clone() for parameter in given.parameters()]
    assert wrong_layers(given, shape) == ["2"]
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, given.parameters(), strict=True))


@pytest.mark.skipif(not bf16_is_faster("cpu"), reason="bfloat16 is emulated here")
@pytest.mark.parametrize("planted", [False, True])
def test_a_run_falls_back_to_float32_and_reports_it(
    planted: bool, tiny: Recipe, dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if planted:
        monkeypatch.setattr(
            patched_layers.Conv3d,
            "forward",
            lambda self, x: nn.Conv3d.forward(self, x) * (0.5 if torch.is_autocast_enabled("cpu") else 1.0),
        )
    finish(train(tiny.model_copy(update={"precision": "bf16"}), dataset_folder, tmp_path / "run", steps=1))
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert any(event.get("wrong_layers") for event in events) is planted
    assert [event["precision"] for event in events if "precision" in event] == ["fp32" if planted else "bf16"]
