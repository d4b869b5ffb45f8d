"""Checks an ONNX file before onnxruntime reads it, and drafts a side file from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ctseg_imaging.errors import BundleError
from ctseg_models.vetting.onnx_constants import check_constants

LARGEST_FILE = 2 * 2**30 - 1  # bytes; protobuf's own limit
DEEPEST = 8  # depth of graphs inside graphs
STANDARD = ("", "ai.onnx")
# Those of onnxruntime's own operators that its optimiser and quantiser put into exported networks.
# (EPContext, which names files, is not among them.)
RUNTIME_OPERATORS = frozenset(
    (
        "Attention",
        "BiasGelu",
        "BiasSoftmax",
        "DequantizeLinear",
        "FastGelu",
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "Gelu",
        "GridSample",
        "GroupNorm",
        "Inverse",
        "LayerNormalization",
        "MultiHeadAttention",
        "NhwcConv",
        "NhwcFusedConv",
        "NhwcMaxPool",
        "QLinearAdd",
        "QLinearAveragePool",
        "QLinearConcat",
        "QLinearConv",
        "QLinearGlobalAveragePool",
        "QLinearLeakyRelu",
        "QLinearMul",
        "QLinearSigmoid",
        "QLinearSoftmax",
        "QuantizeLinear",
        "QuickGelu",
        "SkipGroupNorm",
        "SkipLayerNormalization",
        "Trilu",
    )
)
BITS = {
    1: 32,
    2: 8,
    3: 8,
    4: 16,
    5: 16,
    6: 32,
    7: 64,
    9: 8,
    10: 16,
    11: 64,
    12: 32,
    13: 64,
    14: 64,
    15: 128,
    16: 16,
    17: 8,
    18: 8,
    19: 8,
    20: 8,
    21: 4,
    22: 4,
    23: 4,
}


@dataclass(frozen=True)
class Scanned:
    """The result of a scan.

    files : arrays stored next to the network. inputs, outputs : name and sides (None: any) of each.
    """

    files: tuple[Path, ...]
    inputs: tuple[tuple[str, tuple[int | None, ...]], ...]
    outputs: tuple[tuple[str, tuple[int | None, ...]], ...]
    last_operators: tuple[str, ...]


def scan(path: Path) -> Scanned:
    """Raise BundleError for a file that is damaged or could harm.

    That is one with foreign operators, names of files outside its folder, arrays of another size than
    declared, or constants that would take far more memory than the file.
    """
    model = _parsed(path)
    own = {(function.domain, function.name) for function in model.functions}
    files: set[Path] = set()
    for graph, nodes in _graphs(path, model):
        for node in nodes:
            if (
                node.domain not in STANDARD
                and (node.domain, node.op_type) not in own
                and not (node.domain == "com.microsoft" and node.op_type in RUNTIME_OPERATORS)
            ):
                raise BundleError(
                    f"{path}: its operator {node.domain[:60]}.{node.op_type[:60]} is not part of ONNX, so it "
                    "was not loaded; ask its author for an export with standard operators."
                )
        for tensor in _tensors(graph, nodes):
            if (file := _check_tensor(path, tensor)) is not None:
                files.add(file)
    check_constants(path, model, path.stat().st_size + sum(file.stat().st_size for file in files))
    made = {name: node.op_type for node in model.graph.node for name in node.output}
    held = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(_described(value) for value in model.graph.input if value.name not in held)
    outputs = tuple(_described(value) for value in model.graph.output)
    return Scanned(tuple(sorted(files)), inputs, outputs, tuple(made.get(name, "") for name, _ in outputs))


def draft(path: Path) -> dict[str, Any]:
    """A draft of a side file: what the shapes of the first input and output, and the last operator, tell.

    Empty parts are left out: a user has to fill in labels, units and directions. Raises BundleError.
    """
    found = scan(path)
    if not found.inputs or not found.outputs:
        raise BundleError(f"{path}: has no input or no output, so it is not a network; get the file again.")
    sides = found.inputs[0][1]
    guessed: dict[str, Any] = {}
    layout = {5: "NCDHW", 4: "NCHW", 3: "DHW"}.get(len(sides))
    channels: int | None = 1
    if layout in ("NCDHW", "NCHW"):
        channels, space = sides[1], sides[2:]
        if (sides[-1] or 99) <= 4 and (channels is None or channels > 4):
            layout, channels, space = {"NCDHW": "NDHWC", "NCHW": "NHWC"}[layout], sides[-1], sides[1:-1]
        if layout in ("NCHW", "NHWC"):
            guessed["batch"] = sides[0] or 8
            space = (None, *space)
    else:
        space = sides
    if layout is not None:
        guessed["layout"] = layout
        if any(side is not None for side in space):
            guessed["size"] = list(space)
    guessed["channels"] = [{"name": "CT"} for _ in range(channels or 1)]
    maps = found.outputs[0][1]
    kind = {"Softmax": "probabilities", "Sigmoid": "probabilities", "ArgMax": "labels"}.get(
        found.last_operators[0], "logits"
    )
    guessed["output"] = {"kind": kind, **({"name": found.outputs[0][0]} if len(found.outputs) > 1 else {})}
    classes = maps[-1 if layout in ("NDHWC", "NHWC") else 1] if len(maps) >= 4 and kind != "labels" else None
    if classes is not None:
        guessed["output"] |= (
            {"classes": list(range(classes))} if classes > 1 else {"classes": [1], "exclusive": False}
        )
        guessed["labels"] = {str(value): f"class {value}" for value in range(1, max(2, classes))}
    return guessed


def _parsed(path: Path) -> Any:
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    except ImportError as error:
        raise BundleError(
            f"{path}: running ONNX needs onnx and onnxruntime; install them with pip install "
            "napari-ctseg[onnx]."
        ) from error
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise BundleError(f"{path}: is larger than 2 GB, which no ONNX file can be; get the file again.")
        model = onnx.load_model_from_string(path.read_bytes())
    except FileNotFoundError as error:
        raise BundleError(f"{path}: the file is missing; get the bundle again.") from error
    except (DecodeError, ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not a readable ONNX file; export the network again.") from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); get the file again.") from error
    if not model.graph.node:
        raise BundleError(f"{path}: not a readable ONNX file; export the network again.")
    return model


def _graphs(path: Path, model: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Every graph, those inside nodes and functions too, as (graph or None, its nodes)."""
    waiting: list[tuple[Any, list[Any], int]] = [(model.graph, list(model.graph.node), 0)]
    waiting += [(None, list(function.node), 0) for function in model.functions]
    while waiting:
        graph, nodes, depth = waiting.pop()
        if depth > DEEPEST:
            raise BundleError(
                f"{path}: its graphs are nested too deeply for a network, so it was not loaded; get another "
                "export."
            )
        yield graph, nodes
        for node in nodes:
            for attribute in node.attribute:
                inner = [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
                waiting += [(one, list(one.node), depth + 1) for one in inner]


def _tensors(graph: Any, nodes: list[Any]) -> Iterator[Any]:
    if graph is not None:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes:
        for attribute in node.attribute:
            yield from [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]
            for sparse in [
                *([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []),
                *attribute.sparse_tensors,
            ]:
                yield from (sparse.values, sparse.indices)


def _check_tensor(path: Path, tensor: Any) -> Path | None:
    """The file next to the network that holds the array, or None.

    Raises BundleError when the array is not as large as declared.
    """
    wrong = BundleError(
        f"{path}: its array {tensor.name[:60]} does not have its stated size, so it was not loaded; get the "
        "file again."
    )
    if any(side < 0 for side in tensor.dims):
        raise wrong
    count = prod(tensor.dims)
    if tensor.data_location == 1:  # EXTERNAL
        return _check_file(path, tensor, count)
    if tensor.data_type == 8:  # strings
        held = len(tensor.string_data) == count
    elif tensor.raw_data:
        held = tensor.data_type in BITS and len(tensor.raw_data) == -(-count * BITS[tensor.data_type] // 8)
    else:
        typed = (
            tensor.float_data,
            tensor.int32_data,
            tensor.int64_data,
            tensor.double_data,
            tensor.uint64_data,
        )
        numbers = max(len(data) for data in typed)
        held = (
            count <= numbers * 2 and numbers <= 2 * count
        )  # two numbers for a complex value, one for two values of four bits
    if not held:
        raise wrong
    return None


def _check_file(path: Path, tensor: Any, count: int) -> Path:
    external = {entry.key: entry.value for entry in tensor.external_data}
    location = external.get("location", "")
    parts = (*PurePosixPath(location).parts, *PureWindowsPath(location).parts)
    file: Path = path.parent / location
    outside = (
        not location
        or ".." in parts
        or PurePosixPath(location).is_absolute()
        or PureWindowsPath(location).anchor
    )
    if outside or not file.resolve().is_relative_to(path.parent.resolve()):
        raise BundleError(
            f"{path}: wants to read {location[:80]}, which is not next to it, so it was not loaded; ask its "
            "author for a single file."
        )
    needed = -(-count * BITS.get(tensor.data_type, 8) // 8)
    try:
        offset, length = int(external.get("offset", 0)), int(external.get("length", needed))
    except ValueError as error:
        raise BundleError(
            f"{path}: where its arrays lie in {location} is not a number; get the file again."
        ) from error
    if not file.is_file():
        raise BundleError(f"{file}: the arrays of {path.name} are missing; put this file next to it.")
    if offset < 0 or length != needed or offset + length > file.stat().st_size:
        raise BundleError(f"{file}: is shorter than {path.name} states; get both again.")
    return file


def _described(value: Any) -> tuple[str, tuple[int | None, ...]]:
    """The name and the sides of each."""
    sides = value.type.tensor_type.shape.dim
    return value.name, tuple(side.dim_value if side.dim_value > 0 else None for side in sides)
