"""The memory of an ONNX file's constant values is bounded by its size, wherever in the file they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ctseg_imaging.errors import BundleError
from ctseg_models.vetting.scan_onnx import scan

FLOAT = TensorProto.FLOAT
MATRIX = [
    helper.make_node("ConstantOfShape", ["s"], ["k0"]),
    helper.make_node("MatMul", ["k0", "k0"], ["k1"]),
]
SIDES = [1, 1, None, None, None]


def floats(name: str, shape: list[int | None]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, FLOAT, shape)


def sides(*numbers: int, name: str = "s") -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(numbers, np.int64), name)


def written(
    path: Path,
    nodes: list[onnx.NodeProto],
    arrays: list[onnx.TensorProto],
    functions: tuple[onnx.FunctionProto, ...] = (),
) -> Path:
    graph = helper.make_graph(nodes, "g", [floats("x", SIDES)], [floats("y", SIDES)], arrays)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8).SerializeToString()
    )
    return path


def mean_times_x(name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("ReduceMean", [name], ["r"], keepdims=0),
        helper.make_node("Mul", ["x", "r"], ["y"]),
    ]


def in_the_network() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    return [*MATRIX, *mean_times_x("k1")], [sides(12_000, 12_000)]


def repeated() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    repeat = helper.make_node("Expand", ["k", "s"], ["k1"])
    return [repeat, *mean_times_x("k1")], [
        sides(200, 1000, 1000),
        numpy_helper.from_array(np.ones((1, 1000), np.float32), "k"),
    ]


def of_chance() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    return [helper.make_node("RandomNormal", [], ["k1"], shape=[20_000, 20_000]), *mean_times_x("k1")], []


def by_a_shape_that_is_computed() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    nodes = [
        helper.make_node("Mul", ["a", "a"], ["b"]),
        helper.make_node("Concat", ["b", "b"], ["s"], axis=0),
        *MATRIX,
    ]
    return [*nodes, *mean_times_x("k1")], [sides(150, name="a")]


def in_a_branch() -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    inner = helper.make_graph(MATRIX, "inner", [], [floats("k1", [None, None])])
    branch = helper.make_node("If", ["t"], ["k"], then_branch=inner, else_branch=inner)
    return [branch, *mean_times_x("k")], [sides(12_000, 12_000), numpy_helper.from_array(np.array(True), "t")]


BOMBS = {
    made.__name__: made
    for made in (in_the_network, repeated, of_chance, by_a_shape_that_is_computed, in_a_branch)
}


@pytest.mark.parametrize("name", BOMBS)
def test_gigabytes_of_constants_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="GB from its constants alone"):
        scan(written(tmp_path / "x.onnx", *BOMBS[name]()))


def test_in_a_function_of_the_files_own(tmp_path: Path) -> None:
    held = helper.make_node("Constant", [], ["s"], value=sides(12_000, 12_000))
    own = helper.make_function(
        "own", "Blown", ["x"], ["y"], [held, *MATRIX, *mean_times_x("k1")], [helper.make_opsetid("", 17)]
    )
    with pytest.raises(BundleError, match="GB from its constants alone"):
        scan(
            written(tmp_path / "x.onnx", [helper.make_node("Blown", ["x"], ["y"], domain="own")], [], (own,))
        )


def test_as_much_as_weights_may_need_is_allowed(tmp_path: Path) -> None:
    """Weights of 8 bits as floats, and a table of positions."""
    weight = numpy_helper.from_array(np.ones((3000, 3000), np.int8), "w")
    scale = numpy_helper.from_array(np.float32(0.5), "scale")
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale"], ["k0"]),
        helper.make_node("ConstantOfShape", ["s"], ["table"]),
        *mean_times_x("k0"),
    ]
    path = written(tmp_path / "x.onnx", nodes, [weight, scale, sides(64, 1000, 100)])
    assert [name for name, _ in scan(path).inputs] == ["x"]


def test_what_grows_with_the_input_is_not_counted(tmp_path: Path) -> None:
    """A network of one size may have large maps."""
    nodes = [
        helper.make_node("Expand", ["x", "s"], ["k"]),
        helper.make_node("ReduceMean", ["k"], ["y"], axes=[1], keepdims=1),
    ]
    path = written(tmp_path / "x.onnx", nodes, [sides(1, 512, 128, 128, 128)])
    assert [name for name, _ in scan(path).inputs] == ["x"]


def test_a_name_that_is_no_utf_8_is_a_sentence(tmp_path: Path) -> None:
    """onnxruntime's own sentence about it cannot be read."""
    from ctseg_models.bundles.single_file.onnx import opened

    path = tmp_path / "x.onnx"
    node = helper.make_node("Nonesuch", ["x"], ["y"], name="nnnnnnnn")
    content = written(path, [node], []).read_bytes()
    path.write_bytes(content.replace(b"nnnnnnnn", b"nnn\x80nnnn"))
    with pytest.raises(BundleError, match="onnxruntime cannot run this file"):
        opened(path, "cpu")
