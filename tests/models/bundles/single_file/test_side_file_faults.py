"""Side files: drafted from the network, written whole and read back, and which field a fault names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Volume
from ctseg_models.bundles import store
from ctseg_models.bundles.single_file.side_fields import SideFile
from ctseg_models.bundles.single_file.side_file import draft_side_file, side_file_path, write_side_file
from ctseg_models.inference import run
from tests.models.bundles.single_file.small_networks import Identity, TwoWindows, written_onnx
from tests.models.bundles.single_file.test_foreign_bundles import scripted, side_file


def test_a_draft_is_what_the_file_declares(tmp_path: Path) -> None:
    fixed = written_onnx(TwoWindows(), torch.zeros(1, 2, 4, 5, 6), tmp_path / "fixed.onnx")
    assert draft_side_file(fixed) == {
        "name": "fixed",
        "layout": "NCDHW",
        "size": [4, 5, 6],
        "channels": [{"name": "CT"}, {"name": "CT"}],
        "output": {"kind": "logits", "classes": [0, 1, 2, 3]},
        "labels": {"1": "class 1", "2": "class 2", "3": "class 3"},
    }
    guessed = draft_side_file(fixed)
    assert SideFile.model_validate(guessed).output.classes == (0, 1, 2, 3)
    script = scripted(Identity(), tmp_path / "s.ts")
    assert draft_side_file(script) == {"name": "s"}


def test_a_side_file_is_written_whole_and_read_back(tmp_path: Path) -> None:
    network = scripted(Identity(), tmp_path / "n.ts")
    side = SideFile.model_validate(
        {
            "labels": {"2": "Niere"},
            "channels": [{"name": "CT", "clip": [-100, 300], "normalise": "range"}],
            "spacing": [1, 1, 2.5],
            "orientation": "RAS",
            "output": {"kind": "logits", "classes": [0, 2]},
        }
    )
    path = write_side_file(network, side)
    assert path == side_file_path(network)
    bundle = store.find(network)
    assert bundle.spacing_mm == (2.5, 1, 1)
    assert "overlap" not in json.loads(path.read_text())
    with pytest.raises(BundleError, match="already exists"):
        write_side_file(network, side)
    write_side_file(network, side.model_copy(update={"version": "2"}), overwrite=True)
    assert store.find(network).version == "2"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["n.json", "n.ts"]
    with pytest.raises(BundleError, match="cannot be written"):
        write_side_file(tmp_path / "missing" / "n.ts", side)


@pytest.mark.parametrize(
    ("entries", "field"),
    [
        ({"channels": [{"clip": [1, 2], "clip_quantiles": [0.1, 0.9]}]}, "channels.0"),
        ({"channels": [{"normalise": "minmax", "to": [1, 0]}]}, "channels.0"),
        ({"output": {"kind": "labels", "classes": [0, 1], "exclusive": False}}, "output"),
        ({"output": {"kind": "logits", "classes": [1]}}, "output"),
        ({"output": {"kind": "logits", "classes": [0, -1]}}, "output"),
        ({"output": {"kind": "logits", "classes": [0, 70_000]}}, "output"),
        ({"channels": [{"slice": 33}]}, "channels.0.slice"),
        ({"labels": {"0": "background"}}, "labels"),
        ({"layout": "NDCHW"}, "layout"),
    ],
)
def test_a_fault_names_its_field(entries: dict[str, Any], field: str, tmp_path: Path) -> None:
    network = side_file(scripted(Identity(), tmp_path / "r.ts"), **entries)
    with pytest.raises(BundleError, match=f"r.json: {field}: .*; fix the side file"):
        store.find(network)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"spacng": [1, 1, 1], "spacing": None}, 'spacng: unknown key; did you mean "spacing"'),
        (
            {"output": {"kind": "logits", "clases": [0, 1]}},
            'output.clases: unknown key; did you mean "classes"',
        ),
        (
            {"channels": [{}, {"nrmalise": "max"}]},
            'channels.1.nrmalise: unknown key; did you mean "normalise"',
        ),
        ({"spacing": 1}, "spacing: must be a list in [ ], not 1"),
        ({"spacing": [1, 1]}, "spacing.2: is missing; the list is too short"),
        ({"spacing": [1, 1, 1, 1]}, "spacing: has 4 entries where at most 3 are wanted"),
        ({"spacing": [1, 1, -1]}, "spacing.2: must be more than 0, not -1"),
        ({"labels": {"one": "liver"}}, 'labels.one: must be a whole number, not "one"'),
        ({"labels": {"1": 3}}, "labels.1: must be a text in quotes, not 3"),
        ({"labels": None}, "labels: must be an object in { }, not null"),
        ({"channels": []}, "channels: has 0 entries where at least 1 is wanted"),
        ({"output": {"kind": "logits"}}, "output.classes: is missing"),
        (
            {"output": {"kind": "logit", "classes": [0, 1]}},
            "output.kind: must be 'logits', 'probabilities' or 'labels', not \"logit\"",
        ),
        (
            {"output": {"kind": "logits", "classes": [0, 1], "exclusive": "maybe"}},
            'output.exclusive: must be true or false, not "maybe"',
        ),
        ({"multiple_of": "four"}, 'multiple_of: must be a whole number or a list in [ ], not "four"'),
        ({"multiple_of": [2, 2]}, "multiple_of.2: is missing; the list is too short"),
        ({"patch": [1.5, 2, 3]}, "patch.0: must be a whole number, not 1.5"),
        ({"pad": "low"}, 'pad: must be a number, not "low"'),
        ({"size": [4, 4, 4]}, "give either spacing or size"),
        (
            {"layout": "DHW", "channels": [{}, {}]},
            'layout "DHW" has no axis for several channels; name one that has a C',
        ),
    ],
)
def test_a_fault_names_the_field(entries: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = side_file(tmp_path / "r.ts", **entries)
    path.touch()
    with pytest.raises(BundleError) as refused:
        store.find(path)
    assert str(refused.value) == f"{path.with_suffix('.json')}: {words}; fix the side file."


def test_a_spacing_that_is_a_slip_of_the_pen(tmp_path: Path) -> None:
    network = side_file(scripted(Identity(), tmp_path / "r.ts"), spacing=[0.001, 0.001, 0.001])
    volume = Volume(np.zeros((4, 5, 6), np.float32), Geometry.from_parts((4, 5, 6), (1.0, 1.0, 1.0)))
    with pytest.raises(BundleError, match="fix spacing or size"):
        finish(run(store.find(network), volume))
