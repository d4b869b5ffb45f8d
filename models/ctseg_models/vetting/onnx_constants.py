"""The memory that an ONNX file's constant values would take, bounded before onnxruntime computes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any

from ctseg_imaging.errors import BundleError

BYTES_PER_BYTE = 4  # int8 weights as float32
FREE_BYTES = 256 * 2**20  # beyond what the file's own size explains
SMALL = 1024  # numbers of an array that may define a shape
BYTES = {
    1: 4,
    6: 4,
    7: 8,
    10: 2,
    11: 8,
    12: 4,
    13: 8,
    14: 8,
    15: 16,
}  # of a number, by ONNX's code of its type; at least 1 for others


def check_constants(path: Path, model: Any, size: int) -> None:
    """Raise BundleError when the values that depend on no input are together far larger than the file.

    model : onnx.ModelProto. size : bytes of the file and of the arrays next to it. Values within loops and
    branches count once each; shapes that only computing would reveal are not counted.
    """
    bound = BYTES_PER_BYTE * size + FREE_BYTES
    for nodes, held in _scopes(model):
        constant = list(_constant(nodes, {tensor.name for tensor in held}))
        if (
            any(node.op_type != "Constant" for node in constant)
            and (total := _bytes(model, constant, held)) > bound
        ):
            raise BundleError(
                f"{path}: would compute {total / 2**30:.1f} GB from its constants alone, far more than the "
                "file holds, so it was not loaded; ask its author for an export that states its sizes."
            )


def _scopes(model: Any) -> Iterator[tuple[list[Any], list[Any]]]:
    """(nodes, arrays) of the network, of each of its functions, and of the graphs inside nodes, outer ones
    first.
    """
    yield _flat(model.graph.node, model.graph.initializer)
    for function in model.functions:
        yield _flat(function.node, ())


def _flat(nodes: Iterable[Any], held: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    waiting = [(nodes, held)]
    all_nodes: list[Any] = []
    all_held: list[Any] = []
    while waiting:
        some, arrays = waiting.pop()
        all_held += arrays
        all_nodes += some
        for node in some:
            for attribute in node.attribute:
                inner = [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
                waiting += [(graph.node, graph.initializer) for graph in inner]
    return all_nodes, all_held


def _constant(nodes: list[Any], known: set[str]) -> Iterator[Any]:
    """Nodes that need no input. known : names of arrays."""
    for node in nodes:
        inside = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
        if not inside and all(name in known or not name for name in node.input):
            known.update(node.output)
            yield node


def _bytes(model: Any, nodes: list[Any], held: list[Any]) -> int:
    """The size of all that the nodes give. held : arrays that they may need; of a large one, the shape
    suffices.
    """
    import onnx
    from onnx import helper, shape_inference

    needed = {name for node in nodes for name in node.input}
    small = [
        tensor
        for tensor in held
        if tensor.name in needed and prod(tensor.dims) <= SMALL and tensor.data_location != 1
    ]
    names = {tensor.name for tensor in small}
    large = [
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in held
        if tensor.name in needed and tensor.name not in names
    ]
    part = onnx.ModelProto(
        ir_version=model.ir_version,
        opset_import=model.opset_import,
        functions=model.functions,
        graph=helper.make_graph(nodes, "constants", large, [], small),
    )
    try:
        inferred = shape_inference.infer_shapes(part, data_prop=True)
    except (RuntimeError, ValueError, TypeError):  # what this cannot follow, onnxruntime refuses or computes
        return 0
    return sum(_size(value.type.tensor_type) for value in inferred.graph.value_info)


def _size(tensor: Any) -> int:
    sides = tensor.shape.dim
    if not tensor.HasField("shape") or not all(side.HasField("dim_value") for side in sides):
        return 0
    count: int = prod(max(0, side.dim_value) for side in sides)
    return BYTES.get(tensor.elem_type, 1) * count
