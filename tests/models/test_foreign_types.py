"""ONNX networks of integers get integers; opening a file computes nothing; wrappers before the names of weights are taken off."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Volume
from ctseg_models.bundles import store
from ctseg_models.inference import run
from ctseg_models.networks.nnunet_blocks import without_wrappers
from tests.models.test_foreign_bundles import side_file

TYPES = {"int8": onnx.TensorProto.INT8, "int16": onnx.TensorProto.INT16, "int32": onnx.TensorProto.INT32, "int64": onnx.TensorProto.INT64,
         "uint8": onnx.TensorProto.UINT8, "float16": onnx.TensorProto.FLOAT16, "double": onnx.TensorProto.DOUBLE}


def above_one_half(path: Path, kind: int) -> Path:
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=onnx.TensorProto.FLOAT), helper.make_node("Sub", ["f", "half"], ["d"]),
             helper.make_node("Neg", ["d"], ["n"]), helper.make_node("Concat", ["n", "d"], ["y"], axis=1)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", kind, [1, 1, None, None, None])],
                              [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2, None, None, None])],
                              [onnx.numpy_helper.from_array(np.array([0.5], np.float32), "half")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return side_file(path)


@pytest.mark.parametrize("name", TYPES)
def test_a_network_gets_the_type_that_it_takes(name: str, tmp_path: Path) -> None:
    array = np.array([[[0, 0.4, 0.6, 1, 3]] * 4] * 3, np.float32)
    bundle = store.find(above_one_half(tmp_path / "x.onnx", TYPES[name]))
    prediction = finish(run(bundle, Volume(array, Geometry.from_parts(array.shape, (1, 1, 1)))))
    assert np.array_equal(prediction.labels.array, (array > 0.5).astype(np.uint8))


def test_opening_a_file_folds_no_constants(shared_file: Callable[[str], Path], tmp_path: Path) -> None:
    for ending in ("onnx", "json"):
        shutil.copyfile(shared_file(f"reported/hostile/fold.{ending}"), tmp_path / f"fold.{ending}")
    # Not ru_maxrss, which a child takes over from the process that started it.
    code = ("import re, sys, pathlib; from ctseg_models.bundles import store; store.find(sys.argv[1]).load(); "
            "print(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1])")
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / "fold.onnx")], capture_output=True, text=True, check=True)
    assert int(ended.stdout) < 2**20  # kB


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.", "module.module._orig_mod."])
def test_wrappers_are_taken_off_in_any_order(prefix: str) -> None:
    assert without_wrappers(f"{prefix}encoder.module.weight") == "encoder.module.weight"
