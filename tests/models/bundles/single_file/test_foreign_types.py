"""Types of foreign files: integers for integer networks, lazy constants, prefixes of wrapped weights."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Volume
from ctseg_models.bundles import store
from ctseg_models.inference import run
from ctseg_models.networks.nnunet_blocks import without_wrappers
from tests.models.bundles.single_file.test_foreign_bundles import side_file

TYPES = {
    "int8": onnx.TensorProto.INT8,
    "int16": onnx.TensorProto.INT16,
    "int32": onnx.TensorProto.INT32,
    "int64": onnx.TensorProto.INT64,
    "uint8": onnx.TensorProto.UINT8,
    "float16": onnx.TensorProto.FLOAT16,
    "double": onnx.TensorProto.DOUBLE,
}


def above_one_half(path: Path, kind: int) -> Path:
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Sub", ["f", "half"], ["d"]),
        helper.make_node("Neg", ["d"], ["n"]),
        helper.make_node("Concat", ["n", "d"], ["y"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, [1, 1, None, None, None])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2, None, None, None])],
        [onnx.numpy_helper.from_array(np.array([0.5], np.float32), "half")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return side_file(path)


@pytest.mark.parametrize("name", TYPES)
def test_a_network_gets_the_type_that_it_takes(name: str, tmp_path: Path) -> None:
    array = np.array([[[0, 0.4, 0.6, 1, 3]] * 4] * 3, np.float32)
    bundle = store.find(above_one_half(tmp_path / "x.onnx", TYPES[name]))
    prediction = finish(run(bundle, Volume(array, Geometry.from_parts(array.shape, (1, 1, 1)))))
    assert np.array_equal(prediction.labels.array, (array > 0.5).astype(np.uint8))


class Looked(torch.nn.Module):
    """Looks the voxel's value up in a table, which takes integers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(4, 2)
        with torch.no_grad():
            self.table.weight.copy_(torch.tensor([[1.0, 0], [1, 0], [0, 1], [1, 0]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.table(x[:, 0]).permute(0, 4, 1, 2, 3)


def test_a_torchscript_network_of_whole_numbers_gets_rounded_ones(tmp_path: Path) -> None:
    torch.jit.script(Looked().eval()).save(str(tmp_path / "x.ts"))
    array = np.array([[[0, 1.7, 2.2, 1, 3]] * 4] * 3, np.float32)
    bundle = store.find(side_file(tmp_path / "x.ts"))
    labels = finish(run(bundle, Volume(array, Geometry.from_parts(array.shape, (1, 1, 1))))).labels.array
    assert np.array_equal(labels, (np.rint(array) == 2).astype(np.uint8))


def test_a_network_that_takes_nothing_lists_what_was_tried(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Conv3d(7, 2, 1).eval()).save(str(tmp_path / "x.ts"))
    volume = Volume(np.zeros((3, 4, 5), np.float32), Geometry.from_parts((3, 4, 5), (1, 1, 1)))
    with pytest.raises(
        BundleError,
        match=r"does not take an array of .* of float32 or int64 or int32 or int16 or uint8; fix channels",
    ):
        finish(run(store.find(side_file(tmp_path / "x.ts")), volume))


def test_a_file_that_would_compute_gigabytes_from_its_constants_is_not_loaded(
    shared_file: Callable[[str], Path], tmp_path: Path
) -> None:
    for ending in ("onnx", "json"):
        shutil.copyfile(shared_file(f"reported/hostile/fold.{ending}"), tmp_path / f"fold.{ending}")
    # Not ru_maxrss, which a child takes over from the process that started it.
    code = (
        "import re, sys, pathlib\nfrom ctseg_imaging.errors import BundleError\nfrom ctseg_models.bundles "
        "import store\ntry:\n    store.find(sys.argv[1]).load()\nexcept BundleError as error:\n    "
        "print(error)\nprint(re.search(r'VmHWM:\\s+(\\d+)', "
        "pathlib.Path('/proc/self/status').read_text())[1])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "fold.onnx")], capture_output=True, text=True, check=True
    )
    sentence, peak = ended.stdout.splitlines()
    assert (
        "would compute 22.0 GB from its constants alone" in sentence
    )  # 41 matrices of 12,000 x 12,000 float32
    assert int(peak) < 2**20  # kB


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.", "module.module._orig_mod."],
)
def test_wrappers_are_taken_off_in_any_order(prefix: str) -> None:
    assert without_wrappers(f"{prefix}encoder.module.weight") == "encoder.module.weight"
