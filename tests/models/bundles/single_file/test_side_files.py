"""Every option of a side file against numpy and scipy, which share no code with the way a bundle runs."""

from __future__ import annotations

import threading
import warnings
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Volume
from ctseg_models.bundles import store
from ctseg_models.inference import InferenceSettings, Region, run
from tests.models.bundles.single_file.small_networks import Identity, TwoWindows, written_onnx
from tests.models.bundles.single_file.test_foreign_bundles import PROBABILITIES, scripted, side_file
from tests.models.making import oblique_geometry
from tests.pace import at_most

SMALL, LARGE = (12, 20, 16), (96, 192, 192)


def oracle_two_windows(
    volume: Volume, size: tuple[int, int, int], network: TwoWindows
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Labels on the volume's grid (its axes run to superior, posterior, left), and where the best class is
    unambiguous.
    """
    turned = volume.array.astype(np.float64).transpose(1, 2, 0)[
        :, ::-1, ::-1
    ]  # to posterior, right, inferior
    resized = ndimage.zoom(turned, np.array(size) / turned.shape, order=1, mode="nearest", grid_mode=True)
    channels = [
        (np.clip(resized, low, high) - low) / (high - low)
        for low, high in ((-160.0, 240.0), (-500.0, 1300.0))
    ]
    kernel, mix = network.kernel.double().numpy(), network.mix.double().numpy()[:, :, 0, 0, 0]
    features = np.stack(
        [
            np.maximum(
                sum(
                    ndimage.correlate(channel, one, mode="constant")
                    for channel, one in zip(channels, kernels, strict=True)
                ),
                0,
            )
            for kernels in kernel
        ]
    )
    logits = np.tensordot(mix, features, axes=1)
    odds = np.exp(logits - logits.max(axis=0))
    chances = odds / odds.sum(axis=0)
    merged = np.stack([np.maximum(chances[0], chances[1]), chances[2], chances[3]])  # the body is background
    merged /= merged.sum(axis=0)
    back = np.stack(
        [
            ndimage.zoom(one, np.array(turned.shape) / size, order=1, mode="nearest", grid_mode=True)
            for one in merged
        ]
    )
    back = back[:, :, ::-1, ::-1].transpose(0, 3, 1, 2)
    ordered = np.sort(back, axis=0)
    return np.array([0, 6, 10])[back.argmax(axis=0)], ordered[-1] - ordered[-2] > 1e-4


@pytest.mark.parametrize(
    "size", [SMALL, pytest.param(LARGE, marks=[pytest.mark.long, pytest.mark.timeout(1200)])]
)
def test_a_third_partys_network_of_two_windows(size: tuple[int, int, int], tmp_path: Path) -> None:
    network = TwoWindows()
    path = written_onnx(network, torch.zeros(1, 2, *size), tmp_path / "abdomen.onnx")
    windows = [
        {"name": "CT", "clip": [-160, 240], "normalise": "range"},
        {"name": "CT", "clip": [-500, 1300], "normalise": "range"},
    ]
    side_file(
        path,
        spacing=None,
        size=list(size),
        orientation="PRI",
        channels=windows,
        modality="CT",
        pad=-1024,
        labels={"6": "liver", "10": "bone"},
        output={"kind": "logits", "classes": [0, 0, 6, 10]},
    )
    shape = (18, 31, 27) if size == SMALL else (110, 256, 240)
    rough = np.random.default_rng(8).normal(size=shape)
    array = (600 * ndimage.gaussian_filter(rough, 2) / ndimage.gaussian_filter(rough, 2).std()).astype(
        np.int16
    )
    volume = Volume(array, oblique_geometry(shape, (3.0, 0.9, 1.1)), modality="CT")
    labels = finish(run(store.find(path), volume)).labels.array
    expected, sure = oracle_two_windows(volume, size, network)
    assert np.array_equal(labels[sure], expected[sure])
    assert sure.mean() > 0.99
    assert set(np.unique(labels)) == {0, 6, 10}


@pytest.mark.parametrize(
    ("layout", "arrange"),
    [
        ("NDHWC", lambda x: torch.cat([-x, x], dim=-1)),
        ("CDHW", lambda x: torch.cat([-x, x])),
        ("DHW", lambda x: torch.stack([-x, x])),
        ("DHWC", lambda x: torch.cat([-x, x], dim=-1)),
        ("NCHW", lambda x: torch.cat([-x, x], dim=1)),
        ("NHWC", lambda x: torch.cat([-x, x], dim=-1)),
    ],
)
def test_every_layout(layout: str, arrange: Any, tmp_path: Path) -> None:
    shape = {
        "NDHWC": (1, 5, 6, 4, 1),
        "CDHW": (1, 5, 6, 4),
        "DHW": (5, 6, 4),
        "DHWC": (5, 6, 4, 1),
        "NCHW": (2, 1, 6, 4),
        "NHWC": (2, 6, 4, 1),
    }[layout]

    class Given(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            made: torch.Tensor = arrange(x)
            return made

    path = tmp_path / "l.onnx"
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Given(), (torch.zeros(shape),), str(path), dynamo=False, opset_version=17, input_names=["x"]
        )
    side_file(
        path,
        layout=layout,
        batch=2 if layout.startswith("NC") or layout == "NHWC" else 1,
        orientation="LPS",
        modality="",
    )
    array = (
        np.random.default_rng(2).normal(size=(4, 6, 5)).astype(np.float32)
    )  # (z, y, x): the network's (5, 6, 4)
    labels = finish(
        run(store.find(path), Volume(array, Geometry.from_parts(array.shape, (1.0, 1.0, 1.0))))
    ).labels.array
    assert np.array_equal(labels, (array > 0).astype(np.uint8))


class NextIsBrighter(torch.nn.Module):
    """Slices with two neighbours each: class 1 where the next is brighter than the one before the last, class
    2 where it is much brighter.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        more = x[:, 2:3] - x[:, 0:1]
        return torch.cat([torch.zeros_like(more), more, 3 * more - 2], dim=1)


@pytest.mark.parametrize(("orientation", "axis", "forwards"), [("SPL", 0, 1), ("IPR", 0, -1), ("RSA", 2, -1)])
def test_slices_beside_as_channels(orientation: str, axis: int, forwards: int, tmp_path: Path) -> None:
    path = written_onnx(NextIsBrighter(), torch.zeros(2, 3, 8, 8), tmp_path / "neighbours.onnx", dynamic=True)
    neighbours = [{"name": "CT", "slice": step, "normalise": "fixed", "scale": 2} for step in (-2, 0, 1)]
    side_file(
        path,
        layout="NCHW",
        batch=2,
        orientation=orientation,
        spacing=[None, None, None],
        channels=neighbours,
        modality="",
        pad=0,
        multiple_of=8,
        labels={"1": "brighter", "2": "much"},
        output={"kind": "logits", "classes": [0, 1, 2]},
    )
    array = np.random.default_rng(9).normal(size=(6, 9, 7)).astype(np.float32) * 3
    labels = finish(
        run(store.find(path), Volume(array, Geometry.from_parts(array.shape, (2.0, 1.5, 1.0))))
    ).labels.array
    lines = np.moveaxis(array.astype(np.float64), axis, 0)
    expected = np.zeros(lines.shape, np.uint8)
    for i in range(len(lines)):
        after, before = (min(max(i + forwards * step, 0), len(lines) - 1) for step in (1, -2))
        more = (lines[after] - lines[before]) / 2
        expected[i] = np.where(more > 1, 2, np.where(more > 0, 1, 0))
    assert np.array_equal(labels, np.moveaxis(expected, 0, axis))


def test_slices_beside_a_region_are_those_of_the_volume(tmp_path: Path) -> None:
    path = written_onnx(NextIsBrighter(), torch.zeros(1, 3, 9, 7), tmp_path / "neighbours.onnx", dynamic=True)
    neighbours = [{"name": "CT", "slice": step, "normalise": "fixed", "scale": 2} for step in (-2, 0, 1)]
    side_file(
        path,
        layout="NCHW",
        spacing=[None, None, None],
        channels=neighbours,
        modality="",
        pad=0,
        labels={"1": "brighter", "2": "much"},
        output={"kind": "logits", "classes": [0, 1, 2]},
    )
    array = np.random.default_rng(9).normal(size=(12, 9, 7)).astype(np.float32) * 3
    volume = Volume(array, Geometry.from_parts(array.shape, (2.0, 1.5, 1.0)))
    whole = finish(run(store.find(path), volume)).labels.array
    for low, high in ((4, 9), (0, 5), (9, 12)):
        part = finish(
            run(
                store.find(path), volume, region=Region.from_index(volume.geometry, (low, 0, 0), (high, 9, 7))
            )
        ).labels.array
        assert np.array_equal(part[low:high], whole[low:high]) and part.any()


def test_class_numbers_come_back_as_labels(tmp_path: Path) -> None:
    class Argmax(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x > 0).to(torch.int64) + (x > 1).to(torch.int64)

    path = written_onnx(Argmax(), torch.zeros(1, 1, 4, 5, 6), tmp_path / "a.onnx", dynamic=True)
    side_file(path, labels={"4": "high"}, output={"kind": "labels", "classes": [0, None, 4]})
    array = np.random.default_rng(3).normal(size=(5, 6, 7)).astype(np.float32)
    volume = Volume(array, Geometry.from_parts(array.shape, (1.0, 1.0, 1.0)))
    assert np.array_equal(finish(run(store.find(path), volume)).labels.array, np.where(array > 1, 4, 0))
    side_file(path, labels={"4": "high"}, output={"kind": "labels", "classes": [0, 4]})
    with pytest.raises(BundleError, match="class numbers 0 to 2 where the side file has 2 classes"):
        finish(run(store.find(path), volume))


@pytest.mark.parametrize(("merge", "value"), [("strongest", 3), ("sum", 0)])
def test_merged_classes_count_as_their_strongest_or_their_sum(merge: str, value: int, tmp_path: Path) -> None:
    class Chances(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([0 * x + 0.3, 0 * x + 0.3, 0 * x + 0.4], dim=1)

    path = side_file(
        scripted(Chances(), tmp_path / "c.ts"),
        labels={"3": "organ"},
        output={"kind": "probabilities", "classes": [0, 0, 3], "merge": merge},
    )
    volume = Volume(np.zeros((3, 4, 5), np.float32), Geometry.from_parts((3, 4, 5), (1.0, 1.0, 1.0)))
    prediction = finish(run(store.find(path), volume, settings=PROBABILITIES))
    assert np.all(prediction.labels.array == value)
    assert prediction.probabilities is not None
    expected = (0.3 / 0.7, 0.4 / 0.7) if merge == "strongest" else (0.6, 0.4)
    assert prediction.probabilities.array[:, 1, 2, 3] == pytest.approx(expected)


def test_an_output_is_chosen_by_number_or_name(tmp_path: Path) -> None:
    class Two(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.cat([x, -x], dim=1), torch.cat([-x, x], dim=1)

    array = np.random.default_rng(4).normal(size=(4, 5, 6)).astype(np.float32)
    volume = Volume(array, Geometry.from_parts(array.shape, (1.0, 1.0, 1.0)))
    path = written_onnx(Two(), torch.zeros(1, 1, 4, 5, 6), tmp_path / "two.onnx", outputs=2)
    script = scripted(Two(), tmp_path / "script.ts")
    for network, chosen, sign in (
        (path, {"index": 0}, -1),
        (path, {"index": 1}, 1),
        (path, {"name": "out1"}, 1),
        (script, {"index": 1}, 1),
    ):
        side_file(network, output={"kind": "logits", "classes": [0, 1], **chosen})
        assert np.array_equal(finish(run(store.find(network), volume)).labels.array, sign * array > 0)
    for network, chosen, sentence in (
        (path, {"name": "x"}, 'has no output "x", but out0, out1'),
        (path, {"index": 2}, "no number 2"),
        (script, {"index": 2}, "fix output.index"),
    ):
        side_file(network, output={"kind": "logits", "classes": [0, 1], **chosen})
        with pytest.raises(BundleError, match=sentence):
            finish(run(store.find(network), volume))


def seen_by_network(volume: Volume, tmp_path: Path, **entries: Any) -> NDArray[np.float32]:
    """The input that a side file prepares, from a network whose second map is its input as a probability."""
    path = side_file(
        scripted(Identity(), tmp_path / "identity.ts"),
        output={"kind": "probabilities", "classes": [0, 1]},
        **entries,
    )
    stage = store.find(path).load().stages[0]
    from ctseg_models.contract.lattice import ViewBox
    from ctseg_models.contract.upright import Upright

    upright = Upright.of(volume)
    prepared = finish(stage.prepare(upright, ViewBox.whole(upright.geometry), True))
    array: NDArray[np.float32] = prepared.x[0].numpy()
    return array


@pytest.mark.parametrize(("align", "grid_mode"), [("edges", True), ("centres", False)])
def test_resizing_is_scipys(align: str, grid_mode: bool, tmp_path: Path) -> None:
    array = np.random.default_rng(5).normal(size=(7, 9, 11)).astype(np.float32)
    volume = Volume(array, oblique_geometry(array.shape, (2.0, 1.5, 1.1)))
    got = seen_by_network(volume, tmp_path, spacing=None, size=[5, 14, None], align=align)[0]
    expected = ndimage.zoom(
        array.astype(np.float64), (5 / 7, 14 / 9, 1), order=1, mode="nearest", grid_mode=grid_mode
    )
    assert got.shape == (5, 14, 11)
    assert np.abs(got - expected).max() < 1e-5


def test_a_null_leaves_an_axis_and_min_size_pads(tmp_path: Path) -> None:
    array = np.random.default_rng(6).normal(size=(4, 8, 6)).astype(np.float32)
    volume = Volume(array, Geometry.from_parts(array.shape, (5.0, 1.0, 1.0)))
    got = seen_by_network(
        volume, tmp_path, spacing=[None, 2, 2], multiple_of=[1, 4, 4], min_size=[6, 1, 1], pad=-9
    )[0]
    assert got.shape == (6, 4, 4)
    assert np.all(got[[0, 5]] == -9)
    assert np.all(got[:, :, 3] == -9)
    expected = ndimage.zoom(array.astype(np.float64), (1, 0.5, 0.5), order=1, mode="nearest", grid_mode=True)
    assert np.abs(got[1:5, :, :3] - expected).max() < 1e-5


def test_statistics_of_the_volume_or_of_the_input(tmp_path: Path) -> None:
    array = np.random.default_rng(7).gamma(2.0, size=(8, 10, 12)).astype(np.float32)
    volume = Volume(array, Geometry.from_parts(array.shape, (1.0, 1.0, 1.0)))
    halved = ndimage.zoom(array.astype(np.float64), 0.5, order=1, mode="nearest", grid_mode=True)
    channels = [
        {"normalise": "minmax"},
        {"normalise": "minmax", "statistics": "input", "to": [-1, 1]},
        {"normalise": "zscore", "statistics": "input"},
        {"clip_quantiles": [0.1, 0.9], "normalise": "max"},
    ]
    got = seen_by_network(volume, tmp_path, channels=channels, spacing=[2, 2, 2])
    low, high = np.quantile(array.astype(np.float64), (0.1, 0.9))
    expected = [
        (halved - array.min()) / (array.max() - array.min()),
        2 * (halved - halved.min()) / (halved.max() - halved.min()) - 1,
        (halved - halved.mean()) / halved.std(),
        np.clip(halved, low, high) / high,
    ]
    for one, other in zip(got, expected, strict=True):
        assert np.abs(one - other).max() < 1e-4


def test_a_cancelled_onnx_run_has_ended(tmp_path: Path) -> None:
    class Long(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.expand(-1, 8, -1, -1, -1)
            kernel = torch.full((8, 8, 3, 3, 3), 1e-3)
            for _ in range(400):
                y = torch.nn.functional.conv3d(y, kernel, padding=1)
            return torch.cat([x, y[:, :1]], dim=1)

    path = side_file(written_onnx(Long(), torch.zeros(1, 1, 4, 4, 4), tmp_path / "long.onnx", dynamic=True))
    volume = Volume(np.ones((64, 64, 64), np.float32), Geometry.from_parts((64, 64, 64), (1.0, 1.0, 1.0)))
    work = run(store.find(path), volume, settings=InferenceSettings(precision="fp32"))
    running: list[threading.Thread] = []
    for _ in work:
        running = [thread for thread in threading.enumerate() if thread.name == "ctseg network"]
        if running:
            break
    assert running
    with at_most(2):
        work.close()
    assert not running[0].is_alive()
