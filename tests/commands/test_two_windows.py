"""A side file whose channels are two windows of one CT runs on that CT, from the command and from the
dock.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from ctseg_imaging import formats
from ctseg_models.bundles import store
from napari_ctseg.commands.main import app
from tests.models.bundles.single_file.test_foreign_bundles import side_file
from tests.models.making import body_with_organ

WIDE, NARROW = [-1000, 1000], [100, 200]  # tissue is 40 HU, the organ 300
LABELS = {"1": "tissue", "2": "organ"}


class Windows(torch.nn.Module):
    """Class 1 where the wide window is above one half, class 2 where the narrow one is full too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide, narrow = x[:, :1], x[:, 1:2]
        return torch.cat([0.5 + 0 * wide, wide, 2 * narrow], dim=1)


def two_windows(path: Path, second: int = 0) -> Path:
    """A network of two channels. second : the source of the narrow one."""
    torch.jit.script(Windows()).save(str(path))
    channels = [
        {"name": "wide", "clip": WIDE, "normalise": "range"},
        {"name": "narrow", "source": second, "clip": NARROW, "normalise": "range"},
    ]
    return side_file(
        path,
        channels=channels,
        labels=LABELS,
        spacing=[3.0, 2.0, 1.7],
        pad=-1000,
        modality="CT",
        output={"kind": "logits", "classes": [0, 1, 2]},
    )


def test_the_command_takes_one_ct(tmp_path: Path) -> None:
    volume, organ = body_with_organ()
    formats.write(tmp_path / "ct.nii.gz", volume)
    network = two_windows(tmp_path / "windows.ts")
    assert store.find(network).channels == ("wide / narrow",)
    result = CliRunner().invoke(
        app, ["predict", "-m", str(network), str(tmp_path / "ct.nii.gz"), str(tmp_path / "out.nii.gz")]
    )
    assert result.exit_code == 0, result.output
    labels = formats.read_labels(tmp_path / "out.nii.gz").array
    tissue = volume.array == 40
    assert (labels[organ] == 2).mean() > 0.95
    assert (labels[tissue] == 1).mean() > 0.95


def test_two_sources_are_still_asked_for(tmp_path: Path) -> None:
    volume, _ = body_with_organ()
    formats.write(tmp_path / "ct.nii.gz", volume)
    network = two_windows(tmp_path / "windows.ts", second=1)
    assert store.find(network).channels == ("wide", "narrow")
    result = CliRunner().invoke(
        app, ["predict", "-m", str(network), str(tmp_path / "ct.nii.gz"), str(tmp_path / "out.nii.gz")]
    )
    assert result.exit_code == 1
    assert "takes 2 channels" in result.stderr


def test_the_side_file_is_shown_as_a_table(tmp_path: Path) -> None:
    network = two_windows(tmp_path / "windows.ts")
    shown = CliRunner().invoke(app, ["bundle", "show", str(network)]).stdout
    lines = [line.split() for line in shown.splitlines()]
    assert ["1", "wide", "0", "range", "clip", "-1000", "to", "1000"] in lines, shown
    assert ["2", "narrow", "0", "range", "clip", "100", "to", "200"] in lines, shown
    assert "{" not in shown and "'" not in shown


@pytest.mark.long
def test_a_published_network_of_one_window_twice(shared_file: Callable[[str], Path], tmp_path: Path) -> None:
    """The labels are those of the network with a single channel."""
    import onnx
    from onnx import compose, helper

    source = shared_file("abdomen-ct-onnx/abdomen13.onnx")
    side = json.loads(source.with_suffix(".json").read_text())
    model = onnx.load(str(source))
    wanted = model.graph.input[0].name
    sides = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    first = helper.make_graph(
        [helper.make_node("Gather", ["both", "zero"], ["picked"], axis=1)],
        "pick",
        [helper.make_tensor_value_info("both", onnx.TensorProto.FLOAT, [sides[0], 2, *sides[2:]])],
        [helper.make_tensor_value_info("picked", onnx.TensorProto.FLOAT, sides)],
        [onnx.numpy_helper.from_array(np.array([1]), "zero")],
    )
    picking = helper.make_model(first, opset_imports=model.opset_import, ir_version=model.ir_version)
    network = tmp_path / "two.onnx"
    onnx.save(compose.merge_models(picking, model, io_map=[("picked", wanted)]), str(network))
    side["channels"] = [{"name": "wide", "clip": [-150, 250], "normalise": "range"}, *side["channels"]]
    network.with_suffix(".json").write_text(json.dumps(side))
    ct = shared_file("torso-ct/example_ct.nii.gz")
    for model_file, out in ((network, "two.nii.gz"), (source, "one.nii.gz")):
        result = CliRunner().invoke(app, ["predict", "-m", str(model_file), str(ct), str(tmp_path / out)])
        assert result.exit_code == 0, result.output
    one, two = (formats.read_labels(tmp_path / name).array for name in ("one.nii.gz", "two.nii.gz"))
    assert len(np.unique(one)) > 8
    assert np.array_equal(one, two)
