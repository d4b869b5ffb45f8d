"""TorchScript and ONNX with side files, against logits of the real tools and against networks made here."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import AxisView, Geometry
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Volume
from ctseg_models.bundles import store
from ctseg_models.bundles.single_file.onnx import opened
from ctseg_models.bundles.single_file.side_fields import SideFile
from ctseg_models.inference import InferenceSettings, run
from ctseg_models.inference.network.interruptible import _Watch
from tests.models.making import oblique_geometry

PROBABILITIES = InferenceSettings(precision="fp32", probabilities=True)


def side_file(path: Path, **entries: Any) -> Path:
    """Write the side file of a network."""
    content = {
        "labels": {"1": "one"},
        "channels": [{}],
        "spacing": [1, 1, 1],
        "pad": 0,
        "modality": "",
        "output": {"kind": "logits", "classes": [0, 1]},
        **entries,
    }
    path.with_suffix(".json").write_text(json.dumps(content))
    return path


class Ramp(torch.nn.Module):
    """Class 1 grows along the first axis, class 2 along the last, so every turned or swapped axis shows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = torch.arange(x.shape[2], dtype=torch.float32).reshape(1, 1, -1, 1, 1)
        last = torch.arange(x.shape[4], dtype=torch.float32).reshape(1, 1, 1, 1, -1)
        return torch.cat([x[:, :1], first + 0 * x[:, :1], last + 0 * x[:, :1]], dim=1)


def scripted(network: torch.nn.Module, path: Path) -> Path:
    torch.jit.script(network).save(str(path))
    return path


@pytest.mark.parametrize("ending", ["ts", "onnx"])
@pytest.mark.parametrize("which", ["a", "b"])
def test_the_tools_own_logits(
    ending: str, which: str, shared_file: Callable[[str], Path], tmp_path: Path
) -> None:
    network = tmp_path / f"tiny_unet.{ending}"
    shutil.copyfile(shared_file(f"oracles/torchscript_onnx/tiny_unet.{ending}"), network)
    with np.load(shared_file("oracles/torchscript_onnx/io.npz")) as oracle:
        images, logits = oracle[f"input_{which}"], oracle[f"logits_{which}"]
    classes = logits.shape[1]
    side_file(
        network,
        labels={str(k): f"class {k}" for k in range(1, classes)},
        multiple_of=2,
        output={"kind": "logits", "classes": list(range(classes))},
    )
    bundle = store.find(network)
    assert bundle.kind == {"ts": "torchscript", "onnx": "onnx"}[ending]
    for image, expected in zip(images[:, 0], logits, strict=True):
        volume = Volume(image, Geometry.from_parts(image.shape, (1.0, 1.0, 1.0)))
        prediction = finish(run(bundle, volume, settings=PROBABILITIES))
        odds = np.exp(expected.astype(np.float64) - expected.max(axis=0))
        assert prediction.probabilities is not None
        assert np.abs(prediction.probabilities.array - odds / odds.sum(axis=0)).max() < 1e-4
        sure = np.diff(np.sort(odds / odds.sum(axis=0), axis=0)[-2:], axis=0)[0] > 1e-3
        assert np.array_equal(prediction.labels.array[sure], expected.argmax(axis=0)[sure])
        assert sure.mean() > 0.98


@pytest.mark.parametrize("codes", ["SPL", "RAS", "LIA", "PLI"])
def test_the_network_gets_its_axes_and_the_labels_come_back(codes: str, tmp_path: Path) -> None:
    network = side_file(
        scripted(Ramp(), tmp_path / "ramp.ts"),
        orientation=codes,
        spacing=[2, 2, 2],
        labels={"1": "first", "2": "last"},
        output={"kind": "logits", "classes": [0, 1, 2]},
    )
    geometry = oblique_geometry((6, 8, 10), (2.0, 2.0, 2.0))
    volume = Volume(np.full(geometry.shape, 3.3, np.float32), geometry)
    labels = finish(run(store.find(network), volume, settings=PROBABILITIES)).labels.array
    upright = AxisView.of(geometry).apply(labels)
    index = np.indices(upright.shape)
    towards = {
        "S": index[0],
        "I": upright.shape[0] - 1 - index[0],
        "P": index[1],
        "A": upright.shape[1] - 1 - index[1],
        "L": index[2],
        "R": upright.shape[2] - 1 - index[2],
    }
    scores = np.stack([np.full(upright.shape, 3.3), towards[codes[0]], towards[codes[2]]])
    assert np.array_equal(upright, scores.argmax(axis=0))


def test_a_fixed_size_two_windows_and_merged_classes(tmp_path: Path) -> None:
    class Windows(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[1] == 2
            assert list(x.shape[2:]) == [4, 6, 8]
            bone, lung = x[:, 0:1], x[:, 1:2]
            return torch.cat([0.5 - 0 * bone, bone * 2, lung * 0 - 1, 1 - lung], dim=1)

    network = side_file(
        scripted(Windows(), tmp_path / "windows.pt"),
        spacing=None,
        size=[4, 6, 8],
        channels=[
            {"name": "bone", "clip": [0, 1000], "normalise": "range"},
            {"name": "lung", "clip": [-1000, 0], "normalise": "range", "to": [0, 1]},
        ],
        labels={"3": "bone", "8": "air"},
        output={"kind": "logits", "classes": [0, 3, None, 8]},
    )
    array = np.zeros((8, 12, 16), np.int16)
    array[:, :, :6] = 1000
    array[:, :, 12:] = -1000
    prediction = finish(
        run(
            store.find(network),
            Volume(array, Geometry.from_parts(array.shape, (3.0, 1.0, 2.0))),
            settings=PROBABILITIES,
        )
    )
    assert prediction.labels.array[4, 6, 1] == 3
    assert prediction.labels.array[4, 6, 9] == 0
    assert prediction.labels.array[4, 6, 15] == 8
    assert prediction.probabilities is not None
    assert prediction.probabilities.array.shape == (3, 4, 6, 8)
    assert prediction.probabilities.geometry.spacing_mm == pytest.approx((6, 2, 4))


def test_one_sigmoid_a_class(tmp_path: Path) -> None:
    class Sigmoid(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    network = side_file(
        scripted(Sigmoid(), tmp_path / "s.ts"), output={"kind": "logits", "classes": [1], "exclusive": False}
    )
    array = np.linspace(-5, 5, 60, dtype=np.float32).reshape(3, 4, 5)
    labels = finish(
        run(store.find(network), Volume(array, Geometry.from_parts(array.shape, (1.0, 1.0, 1.0))))
    ).labels.array
    assert np.array_equal(labels, (array > 0).astype(np.uint8))


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"orientation": "LLS"}, "does not name three different axes"),
        ({"size": [4, 4, 4]}, "either spacing or size"),
        ({"spacing": None}, "either spacing or size"),
        ({"output": {"kind": "logits", "classes": [0, 7]}}, "which labels does not name"),
        ({"channels": [{"normalise": "range"}]}, "needs clip"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_an_impossible_side_file_is_a_sentence(
    entries: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    network = side_file(scripted(Ramp(), tmp_path / "r.ts"), **entries)
    with pytest.raises(BundleError, match=sentence):
        store.find(network)


def test_what_is_no_network_is_a_sentence(tmp_path: Path) -> None:
    volume = Volume(np.zeros((4, 4, 4), np.int16), Geometry.from_parts((4, 4, 4), (1.0, 1.0, 1.0)))
    for name, sentence in (("x.ts", "not a readable TorchScript"), ("x.onnx", "not a readable ONNX")):
        network = tmp_path / name
        network.write_bytes(b"this is not a network")
        with pytest.raises(BundleError, match=r"side file x\.json is missing"):
            store.find(network)
        side_file(network)
        with pytest.raises(BundleError, match=sentence):
            finish(run(store.find(network), volume))
        network.with_suffix(".json").unlink()


def test_a_network_that_cannot_be_held_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = side_file(scripted(Ramp(), tmp_path / "r.ts"))

    def full(*_: Any, **__: Any) -> None:
        raise MemoryError("std::bad_alloc")

    monkeypatch.setattr("torch.jit.load", full)
    with pytest.raises(BundleError, match="not a readable TorchScript"):
        store.find(network).load()


def test_a_promise_that_the_network_does_not_keep_is_a_sentence(tmp_path: Path) -> None:
    network = side_file(scripted(Ramp(), tmp_path / "r.ts"))  # three maps where two are promised
    volume = Volume(np.zeros((4, 4, 4), np.int16), Geometry.from_parts((4, 4, 4), (1.0, 1.0, 1.0)))
    with pytest.raises(BundleError, match="side file promises"):
        finish(run(store.find(network), volume))


def test_a_hash_in_the_side_file_is_checked(tmp_path: Path) -> None:
    network = side_file(scripted(Ramp(), tmp_path / "r.ts"), sha256="0" * 64)
    with pytest.raises(BundleError, match="the hash is not the one in its side file"):
        store.find(network).verify()


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps"])
def test_onnx_on_a_device_that_onnxruntime_lacks_is_a_sentence(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(BundleError, match=r"cannot use the device .* choose cpu"):
        opened(tmp_path / "net.onnx", device)


def test_a_patch_runs_in_windows(tmp_path: Path) -> None:
    class Fixed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert list(x.shape[2:]) == [6, 8, 4]
            return torch.cat([-x, x], dim=1)

    network = side_file(scripted(Fixed(), tmp_path / "f.ts"), patch=[6, 8, 4], orientation="LPS")
    array = np.random.default_rng(5).normal(size=(9, 13, 11)).astype(np.float32)
    labels = finish(
        run(store.find(network), Volume(array, Geometry.from_parts(array.shape, (1.0, 1.0, 1.0))))
    ).labels.array
    assert np.array_equal(labels, (array > 0).astype(np.uint8))


def test_the_designs_example_is_valid() -> None:
    side = SideFile.model_validate(
        {
            "labels": {"1": "white matter", "2": "grey matter"},
            "modality": "MR",
            "channels": [{"name": "T1", "normalise": "minmax"}],
            "spacing": [1, 1, 1],
            "orientation": "LIA",
            "interpolation": "linear",
            "pad": 0,
            "output": {"kind": "logits", "classes": [0, 1, 2]},
        }
    )
    assert (side.turn.order, side.turn.flips) == ((2, 0, 1), (1, 2))


@pytest.fixture
def heeds_ctrl_c() -> Iterator[None]:
    """As in a terminal: a shell starts background jobs with this signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
@pytest.mark.parametrize("when", [2, 30])
def test_an_interrupt_at_any_operation_of_torchscript_ends_the_run(
    when: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = store.find(
        side_file(
            scripted(Ramp(), tmp_path / "ramp.ts"),
            labels={"1": "first", "2": "last"},
            output={"kind": "logits", "classes": [0, 1, 2]},
            patch=None if when == 2 else [4, 4, 4],
        )
    )
    seen_watches: list[_Watch] = []
    plain = _Watch.check

    def interrupted(watch: _Watch) -> None:
        seen_watches.append(watch)
        if len(seen_watches) == when:
            os.kill(os.getpid(), signal.SIGINT)
        plain(watch)

    monkeypatch.setattr(_Watch, "check", interrupted)
    volume = Volume(np.zeros((7, 8, 9), np.float32), Geometry.from_parts((7, 8, 9), (1.0, 1.0, 1.0)))
    with pytest.raises(KeyboardInterrupt):
        finish(run(bundle, volume, settings=PROBABILITIES))
    assert len(seen_watches) >= when


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_an_interrupt_while_the_work_is_counted_is_not_taken_for_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = store.find(
        side_file(
            scripted(Ramp(), tmp_path / "ramp.ts"),
            labels={"1": "first", "2": "last"},
            output={"kind": "logits", "classes": [0, 1, 2]},
        )
    )
    stage, plain = bundle.load().stages[0], _Watch.check

    def interrupted(watch: _Watch) -> None:
        monkeypatch.setattr(_Watch, "check", plain)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(_Watch, "check", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stage.flops((32, 32, 32))
