"""The contributors' page: what it names exists, and the network it shows is one."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/contributing/first-hour.md").read_text(encoding="utf-8")
TO_BE_MADE = {"models/ctseg_models/networks/tiny.py"}


def test_every_path_on_the_page_exists() -> None:
    paths = set(re.findall(r"`((?:src|models|napari_ctseg|tests)/[\w/.]+)`", PAGE)) - TO_BE_MADE
    assert len(paths) >= 12
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_the_network_of_the_page_works_and_has_the_parameters_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ctseg_models.networks.outputs import final, named_outputs

    module = types.ModuleType("tiny")
    monkeypatch.setitem(sys.modules, "tiny", module)  # where a dataclass looks its annotations up
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.S)[0], module.__dict__)
    names = module.__dict__
    network = names["Tiny"](names["TinyConfig"](outputs=3)).eval()
    assert final(named_outputs(network(torch.zeros(1, 1, 5, 6, 7)), 3)).probabilities().shape == (
        1,
        3,
        5,
        6,
        7,
    )
    stated = [int(number) for number in re.search(r"here (\d+) \+ (\d+) \+ (\d+)", PAGE).groups()]  # type: ignore[union-attr]
    two = names["Tiny"](names["TinyConfig"]())
    assert [sum(p.numel() for p in layer.parameters()) for layer in two.layers][::2] == stated
    point = torch.zeros(1, 1, 9, 9, 9)
    point[0, 0, 4, 4, 4] = 1
    changed = (network(point) != network(torch.zeros_like(point))).any(dim=1)[0].nonzero()
    assert changed.min() == 2 and changed.max() == 6  # the receptive field: 2 voxels to each side
