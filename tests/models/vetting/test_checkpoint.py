"""Pickled weights: what is read, what is refused, and that refusing executes nothing."""

from __future__ import annotations

import io
import pickle
import random
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles.monai.weights import fingerprint
from ctseg_models.vetting.checkpoint import check_contents, load_checkpoint


class OpensAFile:
    """Unpickled by an ordinary reader, it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def rewritten(path: Path, compression: int = zipfile.ZIP_STORED, **records: bytes) -> Path:
    """The archive again with other records, by the last part of their name (a dot written as _)."""
    with zipfile.ZipFile(path) as old:
        content = {info.filename: old.read(info) for info in old.infolist()}
    folder = next(iter(content)).split("/")[0]
    for name, value in records.items():
        content[f"{folder}/{name.replace('_', '.')}"] = value
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, value in content.items():
            new.writestr(name, value)
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small file of weights."""
    torch.save(
        {"network_weights": {"w": torch.arange(24.0).reshape(2, 3, 4)}, "epoch": 7}, tmp_path / "weights.pth"
    )
    return tmp_path / "weights.pth"


def test_weights_and_numpy_numbers_come_back(tmp_path: Path) -> None:
    weights = torch.arange(24, dtype=torch.float16).reshape(2, 3, 4)
    content = {
        "log": [np.float32(0.25), np.float64(1e-9), np.int64(-7), np.bool_(True)],
        "device": torch.device("cuda"),
        "axes": (0, 2),
        "nested": {"text": "a", "none": None},
    }
    torch.save({"w": weights, **content}, tmp_path / "a.pth")
    read = load_checkpoint(tmp_path / "a.pth")
    assert torch.equal(read.pop("w"), weights)
    assert read == content
    assert [type(number) for number in read["log"]] == [np.float32, np.float64, np.int64, np.bool_]


@pytest.mark.parametrize("variant", ["plain_aniso", "resenc_transposed", "old_plans", "regions", "2d"])
def test_nnunets_own_checkpoints(variant: str, shared_file: Callable[[str], Path]) -> None:
    path = next(shared_file(f"oracles/nnunet/{variant}").rglob("checkpoint_final.pth"))
    read, reference = load_checkpoint(path), torch.load(path, weights_only=False, map_location="cpu")
    assert read["network_weights"].keys() == reference["network_weights"].keys()
    assert all(
        torch.equal(read["network_weights"][name], tensor)
        for name, tensor in reference["network_weights"].items()
    )
    assert read["logging"] == reference["logging"] and read["init_args"] == reference["init_args"]


@pytest.mark.parametrize("name", ["nnunet_checkpoint/checkpoint_final.pth", "pickle_model/models/model.pt"])
def test_hostile_pickles_are_refused(
    name: str, shared_file: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match=r"could run code .*io\.open"):
        load_checkpoint(shared_file(f"oracles/monai/hostile/{name}"))
    assert not list(tmp_path.iterdir())


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    bait = tmp_path / "pwned"
    torch.save({"w": torch.zeros(2), "more": OpensAFile(bait)}, tmp_path / "a.pth")
    with pytest.raises(BundleError, match="could run code"):
        load_checkpoint(tmp_path / "a.pth")
    assert not bait.exists()
    torch.load(tmp_path / "a.pth", weights_only=False)["more"].close()
    assert bait.exists()  # an ordinary reader does run it


@pytest.mark.parametrize(
    "asked",
    [
        b"cos\nsystem\n",
        b"cbuiltins\neval\n",
        b"cnumpy\nload\n",
        b"cnumpy.testing._private.utils\nrunstring\n",
    ],
)
def test_other_names_are_refused(asked: bytes, checkpoint: Path) -> None:
    rewritten(checkpoint, data_pkl=b"\x80\x02" + asked + b"U\x03abc\x85R.")
    with pytest.raises(BundleError, match="could run code"):
        load_checkpoint(checkpoint)


def test_a_storage_that_claims_more_than_the_file_holds(tmp_path: Path) -> None:
    """The pickle declares the length of a record; reading past its end would show other memory, or crash."""
    torch.save({"w": torch.zeros(300)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        structure = archive.read("a/data.pkl")
    assert structure.count(struct.pack("<BH", 0x4D, 300)) == 2  # the storage's length and the tensor's
    many = structure.replace(struct.pack("<BH", 0x4D, 300), struct.pack("<Bi", 0x4A, 500_000_000))
    with pytest.raises(BundleError, match="damaged"):
        load_checkpoint(rewritten(tmp_path / "a.pth", data_pkl=many))


def test_archives_that_grow_are_refused(checkpoint: Path) -> None:
    with pytest.raises(BundleError, match="grow beyond"):
        load_checkpoint(rewritten(checkpoint, zipfile.ZIP_DEFLATED, bomb=bytes(30_000_000)))
    assert checkpoint.stat().st_size < 100_000


def test_overlapping_records_are_refused(checkpoint: Path) -> None:
    """Every entry of the list of contents points to the same bytes."""
    with zipfile.ZipFile(checkpoint, "a") as archive:
        archive.writestr("weights/big", bytes(200_000))
        big = archive.getinfo("weights/big")
        for number in range(9):
            copy = zipfile.ZipInfo(f"weights/copy{number}")
            copy.header_offset, copy.file_size, copy.compress_size, copy.CRC = (
                big.header_offset,
                big.file_size,
                big.compress_size,
                big.CRC,
            )
            archive.filelist.append(copy)
    with pytest.raises(BundleError, match="grow beyond"):
        load_checkpoint(checkpoint)


def test_a_huge_structure_is_refused(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctseg_models.vetting.checkpoint.LARGEST_PICKLE", 1000)
    rewritten(checkpoint, data_pkl=pickle.dumps("x" * 2000, protocol=2))
    with pytest.raises(BundleError, match="structure around the weights"):
        load_checkpoint(checkpoint)


def test_damaged_and_foreign_files_say_so(checkpoint: Path, tmp_path: Path) -> None:
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match="damaged"):
        load_checkpoint(checkpoint)
    checkpoint.write_bytes(whole)
    for structure in (b"", b"\x80\x02.", b"\x80\x02K\x01K\x02\x86R.", b"\x80\x02(]q\x00e", b"\x80\x02h\x05."):
        with pytest.raises(BundleError):
            load_checkpoint(rewritten(checkpoint, data_pkl=structure))
    with pytest.raises(BundleError, match="missing"):
        load_checkpoint(tmp_path / "none.pth")
    with pytest.raises(BundleError, match="cannot be read"):
        load_checkpoint(tmp_path)
    torch.save([torch.zeros(2)], checkpoint)
    with pytest.raises(BundleError, match="a list"):
        load_checkpoint(checkpoint)
    torch.save({"w": torch.zeros(2)}, checkpoint, _use_new_zipfile_serialization=False)
    with pytest.raises(BundleError, match=r"torch 1\.6"):
        load_checkpoint(checkpoint)
    with zipfile.ZipFile(checkpoint, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(BundleError, match="without weights"):
        load_checkpoint(checkpoint)
    script = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), script)
    checkpoint.write_bytes(script.getvalue())
    with pytest.raises(BundleError, match="TorchScript"):
        load_checkpoint(checkpoint)


def test_tuples_that_repeat_each_other_are_not_hashed(shared_file: Callable[[str], Path]) -> None:
    with pytest.raises(BundleError, match="repeats itself more than any checkpoint"):
        load_checkpoint(shared_file("reported/hostile/hang.pt"))


def test_a_tensor_of_80_gb_from_one_number(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1).expand(20_000_000_000)}, tmp_path / "x.pt")
    with pytest.raises(BundleError, match="larger than its own numbers"):
        load_checkpoint(tmp_path / "x.pt")


STORAGE = b"(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x18tQ"  # the record data/0 of 24 numbers
BOMBS = {
    "a storage of 40 GB": (
        b"ctorch\nFloatStorage\n\x8a\x05\x00\xe4\x0b\x54\x02\x85R",
        r"could run code .*torch\.FloatStorage",
    ),
    "a bytearray of 2 GB": (
        b"cbuiltins\nbytearray\nJ\x00\x94\x35\x77\x85R",
        r"could run code .*builtins\.bytearray",
    ),
    "a tensor class of its own": (
        b"ctorch._utils\n_rebuild_wrapper_subclass\n)R",
        r"could run code .*_rebuild_wrapper_subclass",
    ),
    "a sparse tensor": (
        b"ctorch._utils\n_rebuild_sparse_tensor\n)R",
        r"could run code .*_rebuild_sparse_tensor",
    ),
    "a text that doubles": (
        b"c_codecs\nencode\nX\x02\x00\x00\x00abX\x03\x00\x00\x00hex\x86R",
        r"could run code .*_codecs\.encode",
    ),
    "a name made of two texts": (b"\x8c\x02os\x8c\x06system\x93", r"could run code .*STACK_GLOBAL"),
    "an old way to call": (b"(S'touch pwned'\nios\nsystem\n", r"could run code .*INST"),
    "a call of what a call gave": (b"ccollections\nOrderedDict\n)R)R", "could run code"),
    "a NumPy text of 2 GB": (
        b"cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\nX\x0b\x00\x00\x00V2000000000\x85RX\x00\x00\x00\x00\x86R",
        r"other than numbers \(V2000000000\)",
    ),
    "NumPy texts": (b"cnumpy\ndtype\nX\x03\x00\x00\x00S99\x85R", r"other than numbers \(S99\)"),
    "a tensor that makes its record grow": (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + STORAGE
        + b"K\x00J\x00\x94\x35\x77\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtR",
        "damaged",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_would_fill_the_memory_is_never_built(name: str, checkpoint: Path) -> None:
    asked, sentence = BOMBS[name]
    rewritten(checkpoint, data_pkl=b"\x80\x02}U\x01w" + asked + b"s.")
    before = anonymous_memory()
    with pytest.raises(BundleError, match=sentence):
        load_checkpoint(checkpoint)
    assert anonymous_memory() - before < 100e6


def anonymous_memory() -> int:
    """Private bytes of this process that are not mapped from a file; 0 where the system has no figure."""
    status = Path("/proc/self/status")
    found = re.search(r"RssAnon:\s+(\d+)", status.read_text()) if status.is_file() else None
    return int(found[1]) * 1024 if found else 0


@pytest.mark.parametrize("kind", [torch.complex64, torch.complex128])
def test_tensors_of_kinds_that_no_network_has(kind: torch.dtype, tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(3).to(kind)}, tmp_path / "a.pth")
    with pytest.raises(BundleError, match="which no network here has"):
        load_checkpoint(tmp_path / "a.pth")


def test_records_whose_sizes_disagree(checkpoint: Path) -> None:
    """A stored record whose declared length in the file is shorter than when read."""
    content = bytearray(checkpoint.read_bytes())
    entry = content.index(b"data/0", content.index(b"PK\x01\x02")) - 46
    while content[entry : entry + 4] != b"PK\x01\x02":
        entry -= 1
    size = struct.unpack_from("<I", content, entry + 24)[0]
    struct.pack_into("<I", content, entry + 20, size - 4)
    checkpoint.write_bytes(content)
    with pytest.raises(BundleError, match="grow beyond"):
        load_checkpoint(checkpoint)


def test_tensors_that_nobody_looks_at_take_no_memory(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3), "momentum": torch.ones(50_000_000)}, tmp_path / "a.pth")
    before = anonymous_memory()
    read = load_checkpoint(tmp_path / "a.pth")
    assert anonymous_memory() - before < 100e6
    assert read["momentum"].shape == (50_000_000,) and read["momentum"][-1] == 1


def test_attributes_that_a_file_gives_its_dictionaries_are_taken_off(checkpoint: Path) -> None:
    rewritten(
        checkpoint, data_pkl=b"\x80\x02ccollections\nOrderedDict\n)R}(U\x06valuesK\x05U\x05itemsK\x06ub."
    )
    read = load_checkpoint(checkpoint)
    assert list(read.values()) == [] and list(read.items()) == []


def test_damaged_structures_end_in_a_sentence(tmp_path: Path) -> None:
    """Bytes of a checkpoint's pickle changed, inserted, removed and repeated; pieces are those of real
    pickles.
    """
    path, rng = tmp_path / "weights.pth", random.Random(3)
    torch.save(
        {
            "network_weights": OrderedDict(a=torch.arange(24.0), b=torch.nn.Parameter(torch.ones(3))),
            "log": [np.float32(0.5), (1, 2), {"x"}],
            "size": torch.Size([1, 2]),
        },
        path,
    )
    with zipfile.ZipFile(path) as archive:
        good = archive.read("weights/data.pkl")
    pieces = [
        b"R",
        b".",
        b"t",
        b"(",
        b"}",
        b")",
        b"b",
        b"u",
        b"s",
        b"\x81",
        b"0",
        b"2",
        b"Q",
        b"h\x00",
        b"q\x01",
        b"\x85",
        b"\x86",
        b"]",
        b"a",
        b"e",
        b"N",
        b"\x8a\x05\x00\xe4\x0b\x54\x02",
        b"ccollections\nOrderedDict\n",
        b"ctorch\nSize\n",
        b"ctorch._utils\n_rebuild_parameter\n",
    ]
    outcomes = set()
    for _ in range(500):
        damaged = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            place, end = rng.randrange(2, len(damaged)), rng.randrange(2, len(damaged))
            other = rng.choice(
                [bytes([rng.randrange(256)]), rng.choice(pieces), b"", bytes(damaged[end : end + 20])]
            )
            damaged[place : place + rng.choice([0, 1, 8])] = other
        rewritten(path, data_pkl=bytes(damaged))
        try:
            load_checkpoint(path)
            outcomes.add("read")
        except BundleError as error:
            outcomes.add("refused" if str(error).isprintable() else str(error))
    assert outcomes == {"read", "refused"}


def test_an_archive_of_a_later_zip_version_is_a_sentence(checkpoint: Path) -> None:
    content = bytearray(checkpoint.read_bytes())
    needed = content.index(b"PK\x01\x02") + 6  # the version needed to extract, of the first entry
    content[needed] = 148
    checkpoint.write_bytes(content)
    for read in (load_checkpoint, check_contents, lambda path: fingerprint([path])):
        with pytest.raises(BundleError, match="again"):
            read(checkpoint)
