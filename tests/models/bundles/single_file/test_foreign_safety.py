"""Files that would do harm when loaded: each is refused before torch or onnxruntime read it."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles import store
from ctseg_models.vetting.scan_onnx import scan
from ctseg_models.vetting.scan_torchscript import checked_archive
from tests.models.bundles.single_file.test_foreign_bundles import side_file


class Plain(torch.nn.Module):
    """Two maps, by one convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv3d(1, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(x))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The records of a harmless TorchScript file."""
    path = tmp_path_factory.mktemp("good") / "plain.ts"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Plain().eval(), torch.zeros(1, 1, 4, 5, 6)).save(str(path))
    with zipfile.ZipFile(path) as archive:
        return {
            entry.filename: archive.read(entry)
            for entry in archive.infolist()
            if not entry.filename.endswith("debug_pkl")
        }


def written(path: Path, records: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    return path


def with_code(records: dict[str, bytes], line: str) -> dict[str, bytes]:
    """The same program with one more line in the network's forward."""
    changed, done = {}, 0
    for name, content in records.items():
        text = content.decode() if name.endswith(".py") else ""
        if "def forward" in text and "Plain" in text:
            content, done = (
                text.replace("    return torch.relu", f"    {line}\n    return torch.relu").encode(),
                done + 1,
            )
        changed[name] = content
    assert done == 1
    assert changed != records
    return changed


def test_a_harmless_file_is_the_same_network_after_it_was_looked_through(
    good: dict[str, bytes], tmp_path: Path
) -> None:
    path, x = written(tmp_path / "x.ts", good), torch.rand(1, 1, 5, 6, 7)
    straight = torch.jit.load(str(path))(x)
    assert torch.equal(torch.jit.load(io.BytesIO(checked_archive(path)))(x), straight)


def test_torch_itself_would_write_a_file(tmp_path: Path) -> None:
    """Why there is a scan: a TorchScript program can write files without any Python."""
    target = tmp_path / "written"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unit = torch.jit.CompilationUnit("def run(x, name: str):\n    torch.save(x, name)\n    return x\n")
    unit.run(torch.zeros(2), str(target))
    assert target.exists()


@pytest.mark.parametrize(
    "line",
    [
        'torch.save(x, "FILE")',
        'ops.aten.save(x, "FILE")',
        '(x).save("FILE")',
        "_s = torch.save",
        'getattr(x, "save")("FILE")',
        '_t = torch.from_file("/etc/passwd", False, 10)',
        '_t = ops.debugprims.load_tensor("FILE", [1], [1], dtype=6, device=torch.device("cpu"))',
        "_t = torch",
        "_o = ops.aten",
        "_c = __torch__.torch.classes.quantized.Linear.__new__(__torch__.torch.classes.quantized.Linear)",
        "_f = fork(x)",
        '_e = eval("1")',
        "import os",
        "this is not a program",
    ],
)
def test_a_program_that_reaches_out_is_refused_unloaded(
    line: str, good: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "pwned"
    network = side_file(written(tmp_path / "x.ts", with_code(good, line.replace("FILE", str(target)))))

    def never(*_: object, **__: object) -> None:
        pytest.fail("torch.jit.load saw the file")

    monkeypatch.setattr(torch.jit, "load", never)
    with pytest.raises(BundleError, match=r"its program uses .* so it is not run; ask its author"):
        store.find(network).load()
    assert not target.exists()


def test_archives_that_torch_never_writes(good: dict[str, bytes], tmp_path: Path) -> None:
    folder = next(iter(good)).split("/")[0]
    array = next(name for name in good if "/data/" in name)

    def refused(records: dict[str, bytes], sentence: str, compression: int = zipfile.ZIP_STORED) -> None:
        with pytest.raises(BundleError, match=sentence):
            checked_archive(written(tmp_path / "x.ts", records, compression))

    refused({**good, array: bytes(50_000_000)}, "compressed|grow", zipfile.ZIP_DEFLATED)
    refused({**good, f"{folder}/../../etc/x": b""}, "a name that torch never writes")
    refused({**good, "/absolute": b""}, "a name that torch never writes")
    refused({**good, array.upper(): b""}, "a name that torch never writes|several folders")
    refused({**good, "other/data.pkl": b""}, "several folders")
    refused(
        {name: content for name, content in good.items() if "/code/" not in name}, "weights without a network"
    )
    refused(
        {**good, f"{folder}/data.pkl": b"cos\nsystem\n(S'touch pwned'\ntR."}, "data.pkl refers to os system"
    )
    refused({**good, f"{folder}/data.pkl": pickle.dumps(len)}, "data.pkl refers to|STACK_GLOBAL")


def test_a_program_that_unpacks_to_a_gigabyte_is_not_unpacked(good: dict[str, bytes], tmp_path: Path) -> None:
    folder = next(iter(good)).split("/")[0]
    path = tmp_path / "x.ts"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in good.items():
            archive.writestr(name, content, zipfile.ZIP_STORED)
        with archive.open(f"{folder}/code/__torch__/bomb.py", "w", force_zip64=True) as record:
            for _ in range(64):
                record.write(b"#" * 2**20)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(BundleError, match="grow to far more than the file's own size"):
        checked_archive(path)


class Touch:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    network = side_file(tmp_path / "x.pt")
    network.write_bytes(pickle.dumps(Touch(tmp_path / "pwned")))
    with pytest.raises(BundleError, match="is a pickle, not a network: it was not read"):
        store.find(network).load()
    torch.save({"weights": torch.zeros(3)}, network)
    with pytest.raises(BundleError, match="holds weights without a network"):
        store.find(network).load()
    assert not (tmp_path / "pwned").exists()


def test_the_hostile_model_of_a_monai_bundle(
    shared_file: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network = tmp_path / "model.pt"
    shutil.copyfile(shared_file("oracles/monai/hostile/pickle_model/models/model.pt"), network)
    with pytest.raises(BundleError, match="weights without a network"):
        store.find(side_file(network)).load()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "model.pt"]


def onnx_file(
    path: Path,
    *,
    node: onnx.NodeProto | None = None,
    weight: onnx.TensorProto | None = None,
    domain: str = "",
) -> Path:
    """x times weight."""
    tensor = numpy_helper.from_array(np.ones(1, np.float32), "weight") if weight is None else weight
    sides = [1, 1, None, None, None]
    graph = helper.make_graph(
        [node or helper.make_node("Mul", ["x", "weight"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sides)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, sides)],
        [tensor],
    )
    opsets = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    return path


def outside(location: str) -> onnx.TensorProto:
    """A weight that lies in another file."""
    tensor = TensorProto(
        name="weight", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value=location)
    return tensor


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../secret", "sub/../../secret", "C:\\secret", "..\\secret", ""]
)
def test_onnx_that_reads_files_elsewhere_is_refused_unloaded(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    def never(*_: object, **__: object) -> None:
        pytest.fail("onnxruntime saw the file")

    monkeypatch.setattr(onnxruntime, "InferenceSession", never)
    (tmp_path / "secret").write_bytes(bytes(16))
    folder = tmp_path / "bundle"
    folder.mkdir()
    with pytest.raises(BundleError, match="is not next to it, so it was not loaded"):
        store.find(side_file(onnx_file(folder / "x.onnx", weight=outside(location)))).load()


def test_onnx_with_its_arrays_beside_it(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "x.onnx", weight=outside("x.data"))
    with pytest.raises(BundleError, match="put this file next to it"):
        scan(path)
    (tmp_path / "x.data").write_bytes(bytes(15))
    with pytest.raises(BundleError, match="is shorter than"):
        scan(path)
    (tmp_path / "x.data").write_bytes(bytes(16))
    assert scan(path).files == (tmp_path / "x.data",)
    (tmp_path / "x.data").unlink()
    (tmp_path / "x.data").symlink_to("/etc/passwd")
    with pytest.raises(BundleError, match="is not next to it"):
        scan(path)


def test_onnx_that_is_not_what_it_declares(tmp_path: Path) -> None:
    large = TensorProto(
        name="weight", data_type=TensorProto.FLOAT, dims=[1 << 14, 1 << 14], raw_data=bytes(4)
    )
    with pytest.raises(BundleError, match="does not have its stated size"):
        scan(onnx_file(tmp_path / "x.onnx", weight=large))
    custom = helper.make_node("Evil", ["x", "weight"], ["y"], domain="com.example")
    with pytest.raises(BundleError, match=r"com\.example\.Evil is not part of ONNX"):
        scan(onnx_file(tmp_path / "x.onnx", node=custom, domain="com.example"))
    cached = helper.make_node(
        "EPContext", ["x", "weight"], ["y"], domain="com.microsoft", ep_cache_context="../../x"
    )
    with pytest.raises(BundleError, match="EPContext is not part of ONNX"):
        scan(onnx_file(tmp_path / "x.onnx", node=cached, domain="com.microsoft"))
    inner = helper.make_graph(
        [helper.make_node("Evil", [], ["z"], domain="com.example")],
        "inner",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    )
    hidden = helper.make_node("If", ["weight"], ["y"], then_branch=inner, else_branch=inner)
    with pytest.raises(BundleError, match="Evil is not part of ONNX"):
        scan(onnx_file(tmp_path / "x.onnx", node=hidden, domain="com.example"))
    (tmp_path / "x.onnx").write_bytes(b"\x08\x08" + bytes(1000))
    with pytest.raises(BundleError, match="not a readable ONNX file"):
        scan(tmp_path / "x.onnx")
