"""A network takes not much more memory than its weights file; safetensors files match their header."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from monai.networks.nets import UNet

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles import store
from ctseg_models.bundles.monai.bundle import read_monai
from ctseg_models.bundles.own.bundle import METADATA, read_own
from ctseg_models.networks.catalogue import build, classes
from ctseg_models.vetting import checkpoint
from ctseg_models.vetting.safe_tensors import read_safetensors
from tests.models.bundles.nnunet.test_nnunet_network import ANISOTROPIC
from tests.models.making import threshold_bundle
from tests.models.monai_making import NETWORK, monai_bundle, random_weights

CATALOGUE = ("unet", "scn", "sunet", "dense_unet", "msd_net", "nnunet", "backbone", "edge_gated")


def sharing(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors of the same names and shapes that are all views of the largest one's numbers."""
    numbers = torch.zeros(max(tensor.numel() for tensor in state.values()))
    return {name: numbers[: tensor.numel()].view(tensor.shape) for name, tensor in state.items()}


def test_a_monai_network_of_repeated_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "FREE_BYTES", 0)
    config = {**NETWORK, "channels": [64] * 6, "strides": [2] * 5}
    folder = monai_bundle(tmp_path / "made", network=config, weights=False)
    state = UNet(**{name: value for name, value in config.items() if name != "_target_"}).state_dict()
    torch.save(sharing(state), folder / "models/model.pt")
    with pytest.raises(BundleError, match="more than the file can hold weights for"):
        read_monai(folder).load()
    torch.save(state, folder / "models/model.pt")
    read_monai(folder).load()


def test_names_that_are_no_texts_are_left_aside(tmp_path: Path) -> None:
    folder = monai_bundle(tmp_path / "made", weights=False)
    strange = {0: torch.zeros(1), (1, 2): torch.zeros(1), None: torch.zeros(1)}
    torch.save({**strange, **random_weights()}, folder / "models/model.pt")
    read_monai(folder).load()
    torch.save(strange, folder / "models/model.pt")
    with pytest.raises(BundleError, match="holds no named weights"):
        read_monai(folder).verify()


def test_an_nnunet_of_repeated_numbers(
    shared_file: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "FREE_BYTES", 0)
    monkeypatch.setattr(checkpoint, "BYTES_PER_BYTE", 1)  # the network is a small one
    original = next(shared_file("oracles/nnunet/plain_aniso/Dataset999_Toy").iterdir())
    folder = tmp_path / original.name
    shutil.copytree(original, folder, copy_function=shutil.copyfile)
    store.read(folder).load()
    for path in folder.rglob("checkpoint_*.pth"):
        content = torch.load(path, weights_only=False)
        kept = {
            name: content[name] for name in ("trainer_name", "init_args", "inference_allowed_mirroring_axes")
        }
        torch.save({**kept, "network_weights": sharing(content["network_weights"])}, path)
    with pytest.raises(BundleError, match="more than the file can hold weights for"):
        store.read(folder).load()


def test_a_network_of_gigabytes_in_our_own_bundle(tmp_path: Path) -> None:
    folder = threshold_bundle(tmp_path / "own", two_stages=False).path
    metadata = json.loads((folder / METADATA).read_text())
    metadata["ctseg"]["stages"][0]["config"]["filters"] = 4096
    (folder / METADATA).write_text(json.dumps(metadata))
    with pytest.raises(BundleError, match="more than the file can hold weights for"):
        read_own(folder).network("segment")


@pytest.mark.parametrize("kind", CATALOGUE)
def test_every_network_can_be_laid_out_without_memory(kind: str) -> None:
    """As the bound above is checked on that: the same names and shapes as those of the network itself."""
    config = (
        {name: getattr(ANISOTROPIC, name) for name in ("dimensions", "strides", "kernels", "filters")}
        if kind == "nnunet"
        else {}
    )
    with torch.device("meta"):
        outline = build(kind, config, in_channels=1, outputs=3)
    network = build(kind, config, in_channels=1, outputs=3)
    assert {tensor.device.type for tensor in (*outline.parameters(), *outline.buffers())} == {"meta"}
    assert [(name, tensor.shape) for name, tensor in outline.state_dict().items()] == [
        (name, tensor.shape) for name, tensor in network.state_dict().items()
    ]


def test_no_network_of_the_catalogue_is_left_out() -> None:
    from typing import get_args

    from ctseg_models.networks.catalogue import NetworkName

    assert set(get_args(NetworkName)) == set(CATALOGUE)
    with pytest.raises(BundleError):
        classes("another")


def safetensors_file(path: Path, header: object, data: bytes = bytes(24), length: int | None = None) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(
    dtype: str = "F32", shape: tuple[int, ...] = (2, 3), offsets: tuple[int, int] = (0, 24)
) -> dict[str, object]:
    return {"w": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


def test_a_safetensors_file_by_hand(tmp_path: Path) -> None:
    read = read_safetensors(
        safetensors_file(tmp_path / "a.safetensors", entry(), struct.pack("<6f", *range(6)))
    )
    assert read["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (entry(shape=(10**9, 10**9), offsets=(0, 4 * 10**18)), bytes(24)),
        (entry(shape=(2, 4)), bytes(24)),
        (entry(dtype="F64"), bytes(24)),
        (entry(dtype="NONE"), bytes(24)),
        (entry(offsets=(8, 32)), bytes(24)),
        (entry(offsets=(24, 0)), bytes(24)),
        (entry(), bytes(23)),
        (entry(), bytes(4000)),
        ({"w": 3}, b""),
        ([], b""),
    ],
)
def test_a_safetensors_file_that_is_not_what_it_declares(header: object, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a readable safetensors file"):
        read_safetensors(safetensors_file(tmp_path / "a.safetensors", header, data))


@pytest.mark.parametrize("length", [500, 2**40, 2**64 - 1])
def test_a_header_longer_than_the_file(length: int, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="its header would have"):
        read_safetensors(safetensors_file(tmp_path / "a.safetensors", entry(), length=length))
