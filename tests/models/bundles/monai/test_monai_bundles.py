"""MONAI bundles against results of MONAI's own runner, and against MONAI itself on bundles made here."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from ctseg_imaging import formats
from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import Volume
from ctseg_models.bundles import store
from ctseg_models.bundles.monai.bundle import MonaiBundle, read_monai
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.lattice import ViewBox
from ctseg_models.contract.upright import Upright
from ctseg_models.inference import InferenceSettings, Region, run
from ctseg_models.inference.labels.class_maps import Target
from ctseg_models.inference.labels.sampler import ClassMapSampler
from ctseg_models.inference.pipeline import segment
from tests.models.making import dice
from tests.models.monai_making import (
    ARGMAX,
    INVERT,
    INVERT_NEAREST,
    NETWORK,
    ORIENTATION,
    RANGE,
    SOFTMAX,
    SPACING,
    WINDOWS,
    monai_bundle,
    random_weights,
    rewritten,
    smooth_ct,
)

FP32 = InferenceSettings(precision="fp32")
NORMALISE = {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True}
SCALE = {"_target_": "ScaleIntensityd", "keys": "image", "minv": -1.0, "maxv": 1.0}
FOREGROUND = {"_target_": "CropForegroundd", "keys": "image", "source_key": "image"}
PERCENTILES = {
    "_target_": "ScaleIntensityRangePercentilesd",
    "keys": "image",
    "lower": 2,
    "upper": 97,
    "b_min": -1,
    "b_max": 2,
    "clip": True,
}
SIGMOID = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
HALF = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}
LARGEST = {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [1, 2]}
OWN_STEM = {
    "_target_": "CheckpointLoader",
    "load_path": "$@bundle_root + '/models/other.pt'",
    "load_dict": {"model": "@network"},
}


@pytest.fixture
def oracle(shared_file: Callable[[str], Path]) -> Callable[[str], Path]:
    return lambda name: shared_file(f"oracles/monai/{name}")


def without_weights(folder: Path, to: Path) -> Path:
    """A copy of a bundle that has only its TorchScript file."""
    shutil.copytree(folder, to, copy_function=shutil.copyfile)
    (to / "models").chmod(0o755)
    (to / "models/model.pt").unlink()
    return to


def assert_as_the_runner(labels: np.ndarray, expected: np.ndarray) -> None:
    assert (labels == expected).mean() >= 0.999
    for value in np.unique(expected):
        assert dice(labels == value, expected == value) >= 0.99


@pytest.mark.parametrize("case", ["plain", "oblique"])
@pytest.mark.parametrize("scripted", [False, True])
@pytest.mark.parametrize("name", ["spleen_style", "wholebody_style"])
def test_labels_are_those_of_monais_runner(
    name: str, scripted: bool, case: str, oracle: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = oracle(name)
    if scripted and name == "wholebody_style":
        folder = without_weights(folder, tmp_path / name)
    elif scripted:  # MONAI's own export is there for the other one; this one is scripted here
        folder = without_weights(folder, tmp_path / name)
        network, _ = read_monai(oracle(name))._network("cpu")
        torch.jit.script(network).save(str(folder / "models/model.ts"))
    bundle = store.find(folder)
    assert isinstance(bundle, MonaiBundle)
    assert (bundle.kind, bundle.way, bundle.needs_trust, bundle.modality) == (
        "monai",
        "interpreted",
        (),
        "CT",
    )
    assert bundle.labels.name(1) == "spleen"
    volume = formats.read(oracle(f"inputs/{case}.nii.gz"))
    labels = finish(run(bundle, volume, settings=FP32)).labels
    assert labels.geometry is volume.geometry
    assert_as_the_runner(labels.array, formats.read(oracle(f"expected/{name}/{case}_labels.nii.gz")).array)


@pytest.mark.parametrize("case", ["plain", "oblique"])
def test_probabilities_are_those_of_monais_runner(case: str, oracle: Callable[[str], Path]) -> None:
    upright = Upright.of(formats.read(oracle(f"inputs/{case}.nii.gz")))
    found = finish(segment(read_monai(oracle("spleen_style")).load(), upright, None, Arithmetic()))
    with np.load(oracle(f"expected/spleen_style/{case}_probabilities.npz")) as file:
        expected = upright.view.apply(file[file.files[0]].astype(np.float32).transpose(3, 2, 1, 0))
    finish(found.maps.maps.advance(found.maps.maps.shape[1]))
    sampler = ClassMapSampler(
        found.maps, Target(upright.geometry.spacing_mm, (0, 0, 0), upright.geometry.shape)
    )
    for value in (0, 1):
        slab = sampler.slab(value, 0, upright.geometry.shape[0])
        assert slab is not None
        assert np.abs(slab.numpy() - expected[value]).max() < 1e-3  # the file is in float16
        assert np.abs(slab.numpy() - expected[value]).mean() < 2e-4


def test_one_window_gives_the_networks_own_logits(oracle: Callable[[str], Path]) -> None:
    network, _ = read_monai(oracle("wholebody_style"))._network("cpu")
    with np.load(oracle("expected/wholebody_style/window.npz")) as file, torch.no_grad():
        logits = network(torch.from_numpy(file["input"]))
        assert np.abs(logits.numpy() - file["logits"]).max() < 1e-4


PIPELINES: dict[str, dict[str, Any]] = {
    "as the spleen's": {},
    "nearest": {"after": (SOFTMAX, ARGMAX, INVERT_NEAREST)},
    "logits resampled": {"after": (INVERT, SOFTMAX, ARGMAX)},
    "no inversion": {"after": (SOFTMAX, ARGMAX)},
    "smaller than the window": {
        "inferer": {**WINDOWS, "roi_size": [32, 24, 40], "padding_mode": "replicate"}
    },
    "padded with a value": {
        "inferer": {**WINDOWS, "roi_size": [32, 24, 40], "cval": 0.7, "mode": "gaussian"}
    },
    "gaussian": {"inferer": {**WINDOWS, "overlap": [0.25, 0.6, 0.5], "mode": "gaussian", "sigma_scale": 0.2}},
    "whole axis": {
        "inferer": {**WINDOWS, "roi_size": [16, -1, 8]},
        "before": (ORIENTATION, {**SPACING, "pixdim": [2.0, 4.39, 3.0]}, RANGE),
    },
    "other axes": {"before": ({**ORIENTATION, "axcodes": "PLI"}, SPACING, RANGE)},
    "as stored": {"before": (SPACING, RANGE)},
    "one spacing kept": {"before": (ORIENTATION, {**SPACING, "pixdim": [2.0, -1, 3.0]}, RANGE)},
    "statistics": {"before": (ORIENTATION, SPACING, NORMALISE, SCALE)},
    "percentiles": {"before": (ORIENTATION, SPACING, PERCENTILES)},
    "values first": {"before": (RANGE, ORIENTATION, SPACING)},
    "foreground": {"before": (ORIENTATION, FOREGROUND, RANGE)},
    "overlapping": {"after": (SIGMOID, INVERT_NEAREST, HALF)},
}


@pytest.mark.parametrize("name", PIPELINES)
def test_interpreted_as_monai_itself_runs_it(name: str, tmp_path: Path) -> None:
    bundle = read_monai(monai_bundle(tmp_path / "made", **PIPELINES[name]))
    assert bundle.way == "interpreted"
    volume = smooth_ct()
    if name == "foreground":  # only a part of the image is above 0
        array = np.full(volume.array.shape, -50, np.int16)
        array[3:11, 2:19, 4:17] = np.abs(volume.array[3:11, 2:19, 4:17]) + 1
        volume = replace(volume, array=array)
    ours = finish(run(bundle, volume, settings=FP32)).labels.array
    theirs = finish(run(replace(bundle, way="by MONAI"), volume, settings=FP32)).labels.array
    assert len(np.unique(theirs)) >= 3
    assert (ours == theirs).mean() >= 0.999


def test_what_is_not_interpreted_is_run_by_monai_itself(tmp_path: Path) -> None:
    plain = read_monai(monai_bundle(tmp_path / "plain"))
    bundle = read_monai(monai_bundle(tmp_path / "made", after=(SOFTMAX, INVERT, ARGMAX, LARGEST)))
    assert (bundle.way, bundle.needs_trust) == ("by MONAI", ())
    volume = smooth_ct()
    before = finish(run(plain, volume, settings=FP32)).labels.array
    kept = finish(run(bundle, volume, settings=FP32)).labels.array
    for value in (1, 2):
        parts, _ = ndimage.label(before == value, np.ones((3, 3, 3)))
        sizes = np.bincount(parts.ravel())[1:]
        assert (kept == value).sum() == sizes.max() < sizes.sum()


def test_monai_never_looks_for_a_module_in_a_bundle_that_nobody_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = monai_bundle(tmp_path / "made", after=(SOFTMAX, INVERT, ARGMAX, LARGEST))
    for name in ("skimage", "scipy", "cupy", "cucim", "monai"):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')")
    for name in [name for name in sys.modules if name.split(".")[0] in ("cupy", "cucim")]:
        monkeypatch.delitem(sys.modules, name)
    bundle = read_monai(folder)
    assert bundle.way == "by MONAI"
    finish(run(bundle, smooth_ct(), settings=FP32))
    assert not (tmp_path / "pwned").exists()


def test_a_region_is_run_as_if_the_volume_ended_there(tmp_path: Path) -> None:
    bundle = read_monai(monai_bundle(tmp_path / "made"))
    volume = smooth_ct()
    upright = Geometry.from_parts(volume.array.shape, volume.geometry.spacing_mm)
    straight = Volume(volume.array, upright)
    start, stop = (2, 3, 5), (12, 20, 17)
    labels = finish(
        run(bundle, straight, region=Region.from_index(upright, start, stop), settings=FP32)
    ).labels.array
    part = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    alone = finish(
        run(bundle, Volume(volume.array[part], upright.crop(start, stop)), settings=FP32)
    ).labels.array
    assert np.array_equal(labels[part], alone)
    assert labels.any() and not np.delete(labels, range(2, 12), axis=0).any()


def test_an_absurd_spacing_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    bundle = read_monai(
        monai_bundle(tmp_path / "made", before=(ORIENTATION, {**SPACING, "pixdim": [1e-4, 1.0, 1.0]}, RANGE))
    )
    with pytest.raises(BundleError, match="asks for voxels of"):
        finish(run(bundle, smooth_ct(), settings=FP32))


def test_several_channels_are_asked_for_by_name(tmp_path: Path) -> None:
    network = {**NETWORK, "in_channels": 2}
    metadata = {
        "network_data_format": {
            "inputs": {
                "image": {"modality": "MR", "num_channels": 2, "channel_def": {"0": "T1", "1": "FLAIR"}}
            },
            "outputs": {
                "pred": {"num_channels": 3, "channel_def": {"0": "background", "1": "core", "2": "oedema"}}
            },
        }
    }
    bundle = read_monai(monai_bundle(tmp_path / "made", network=network, metadata=metadata))
    assert (bundle.channels, bundle.modality) == (("T1", "FLAIR"), "MR")
    volume = smooth_ct()
    with pytest.raises(BundleError, match="T1, FLAIR"):
        finish(run(bundle, volume, settings=FP32))
    both = Volume(np.stack([volume.array, volume.array[:, ::-1]]), volume.geometry)
    ours = finish(run(bundle, both, settings=FP32)).labels.array
    theirs = finish(run(replace(bundle, way="by MONAI"), both, settings=FP32)).labels.array
    assert (ours == theirs).mean() >= 0.999


def test_a_whole_region_is_painted_before_its_parts(tmp_path: Path) -> None:
    metadata = {
        "network_data_format": {
            "inputs": {"image": {"num_channels": 1}},
            "outputs": {
                "pred": {
                    "num_channels": 3,
                    "channel_def": {"0": "core", "1": "Whole tumour", "2": "enhancing"},
                }
            },
        }
    }
    bundle = read_monai(monai_bundle(tmp_path / "made", after=(SIGMOID, INVERT, HALF), metadata=metadata))
    stage = bundle.load().stages[0]
    assert stage.form == "regions"
    assert stage.values == (2, 1, 3)
    assert {label.value: label.name for label in bundle.labels} == {
        1: "core",
        2: "Whole tumour",
        3: "enhancing",
    }


@pytest.mark.parametrize("ending", ["bare", "wrapped", "safetensors"])
def test_weights_in_every_usual_form(ending: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = monai_bundle(tmp_path / "made", weights=False)
    state = {name: tensor.contiguous() for name, tensor in random_weights().items()}
    if ending == "safetensors":
        save_file(state, folder / "models/model.safetensors")
    else:
        torch.save(state if ending == "bare" else {"model": state, "epoch": 3}, folder / "models/model.pt")
    assert len(read_monai(folder).load().stages) == 1


FAULTS: list[tuple[str, dict[str, Any], str]] = [
    ("no weights", {"weights": False}, "model.pt: the weights of the bundle are missing"),
    (
        "another file's weights",
        {"checkpointloader": OWN_STEM},
        "other.pt: the weights of the bundle are missing",
    ),
    ("no inferer", {"inferer": None, "entries": ["inferer"]}, 'has no "inferer"'),
    (
        "weights of another network",
        {"network": {**NETWORK, "channels": [4, 8]}, "weights": False},
        "not of one bundle",
    ),
    (
        "a huge network",
        {"network": {**NETWORK, "channels": [8000, 8000]}, "weights": False},
        "not of one bundle",
    ),
    (
        "impossible arguments",
        {"network": {**NETWORK, "strides": []}, "weights": False},
        "cannot be built from its config",
    ),
]


@pytest.mark.parametrize(
    ("entries", "sentence"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS]
)
def test_faults_are_reported_in_a_sentence(entries: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    left_out = entries.pop("entries", [])
    folder = monai_bundle(tmp_path / "made", **entries)
    rewritten(folder, **dict.fromkeys(left_out))
    if "network" in entries:
        torch.save(random_weights(), folder / "models/model.pt")
    with pytest.raises(BundleError, match=sentence):
        read_monai(folder).load()


def test_the_layout_is_what_preparation_makes(tmp_path: Path) -> None:
    for number, entries in enumerate(({}, PIPELINES["smaller than the window"], PIPELINES["other axes"])):
        stage = read_monai(monai_bundle(tmp_path / f"made{number}", **entries)).load().stages[0]
        upright = Upright.of(smooth_ct())
        box = ViewBox.whole(upright.geometry)
        prepared = finish(stage.prepare(upright, box, True))
        layout = stage.layout(upright, box)
        assert layout.size == tuple(prepared.x.shape[2:])
        assert prepared.tiling is not None
        assert (layout.window, layout.windows) == (prepared.tiling.window, prepared.tiling.count)
        assert stage.flops(layout.window) > 1e5


@pytest.mark.parametrize("reader", [{"keys": []}, {}])
def test_a_reader_of_nothing_is_a_sentence(reader: dict[str, Any], tmp_path: Path) -> None:
    """Readers are removed, but MONAI still has to accept their arguments."""
    padded = {"_target_": "SpatialPadd", "keys": "image", "spatial_size": [8, 8, 8]}
    steps = [
        {"_target_": "LoadImaged", **reader},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        padded,
    ]
    bundle = read_monai(
        monai_bundle(tmp_path / "made", preprocessing={"_target_": "Compose", "transforms": steps})
    )
    assert bundle.way == "by MONAI"
    with pytest.raises(BundleError, match="MONAI refuses its arguments"):
        bundle.load()
