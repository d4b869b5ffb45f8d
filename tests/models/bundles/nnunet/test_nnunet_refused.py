"""Results folders that cannot be run: one error sentence each, and nothing of them is executed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import finish
from ctseg_models.bundles import store
from ctseg_models.bundles.nnunet.bundle import NNUNetBundle, read_nnunet
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.inference.network import convolution
from ctseg_models.vetting.checkpoint import load_checkpoint

SharedFile = Callable[[str], Path]
CONFIGURATION = "3d_fullres"


@pytest.fixture
def folder(shared_file: SharedFile, tmp_path: Path) -> Path:
    """A copy of a results folder that a test may damage."""
    original = next(shared_file("oracles/nnunet/plain_aniso/Dataset999_Toy").iterdir())
    copy = tmp_path / original.name
    shutil.copytree(original, copy, copy_function=shutil.copyfile)
    return copy


def changed(path: Path, *keys: str, to: Any) -> None:
    """One entry of a JSON file; None removes it."""
    content = json.loads(path.read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    if to is None:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = to
    path.write_text(json.dumps(content))


def refusal(folder: Path, message: str, *, load: bool = False) -> None:
    bundle = store.read(folder) if load else None
    with pytest.raises(BundleError, match=message) as caught:
        store.read(folder) if bundle is None else bundle.load()
    sentence = str(caught.value)
    assert (
        sentence.startswith(str(folder))
        and "; " in sentence
        and sentence.endswith(".")
        and "\n" not in sentence
    )


ENTRIES = [
    (("image_reader_writer",), "NaturalImage2DIO", 'image_reader_writer is "NaturalImage2DIO"'),
    (("label_manager",), "OwnLabelManager", "label_manager"),
    (("transpose_forward",), [0, 0, 1], "three axes"),
    (("transpose_forward",), [0, 1, 7], "transpose_forward"),
    (("configurations",), {}, "configurations"),
    (("foreground_intensity_properties_per_channel",), {}, "intensities of channel 0"),
    (("configurations", CONFIGURATION, "preprocessor_name"), "OwnPreprocessor", "preprocessor_name"),
    (("configurations", CONFIGURATION, "normalization_schemes"), ["OwnNormalization"], "OwnNormalization"),
    (("configurations", CONFIGURATION, "normalization_schemes"), ["CTNormalization"] * 2, "channels"),
    (
        ("configurations", CONFIGURATION, "resampling_fn_data"),
        "no_resampling_data_or_seg_to_shape",
        'resamples with "no_resampling',
    ),
    (("configurations", CONFIGURATION, "resampling_fn_probabilities_kwargs"), {"order": 3}, "order 3"),
    (("configurations", CONFIGURATION, "resampling_fn_data_kwargs"), {"order": 3, "order_z": 1}, "order_z 1"),
    (("configurations", CONFIGURATION, "inherits_from"), CONFIGURATION, "inherits from itself"),
    (("configurations", CONFIGURATION, "inherits_from"), "3d_lowres", 'no configuration "3d_lowres"'),
    (("configurations", CONFIGURATION, "spacing"), [1.0, 1.0], "different lengths"),
    (("configurations", CONFIGURATION, "spacing"), [1.0, 0.0, 1.0], "spacing"),
    (("configurations", CONFIGURATION, "patch_size"), [8, 40], "different lengths"),
    (("configurations", CONFIGURATION, "architecture"), None, "older plans"),
    (("configurations", CONFIGURATION, "architecture", "network_class_name"), "os.system", "os.system"),
    (("configurations", CONFIGURATION, "architecture", "network_class_name"), "evil.PlainConvUNet", "evil"),
    (("configurations", CONFIGURATION, "previous_stage"), "3d_lowres", "cascade"),
]


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    ENTRIES,
    ids=[" ".join((*keys[-1:], str(value)[:12])) for keys, value, _ in ENTRIES],
)
def test_plans_that_ask_for_something_else(
    keys: tuple[str, ...], value: Any, message: str, folder: Path
) -> None:
    changed(folder / "plans.json", *keys, to=value)
    refusal(folder, message)


ARGUMENTS = [
    ("n_stages", 2, "2 stages and widths for 3"),
    ("n_stages", 10**9, "1000000000 stages"),
    ("conv_op", "torch.nn.Conv2d", "conv_op Conv2d"),
    ("norm_op", "torch.nn.GroupNorm", "norm_op GroupNorm"),
    ("nonlin", "os.system", "nonlin system"),
    ("squeeze_excitation", True, "squeeze"),
    ("kernel_sizes", None, "kernel_sizes is missing"),
    ("features_per_stage", "8", "cannot be built"),
    ("n_conv_per_stage", [2, 2, 10**8], "more than 64"),
    ("features_per_stage", [10**6] * 3, "billions"),
    ("strides", [[1, 1, 1], [3, 2, 2], [2, 2, 2]], "multiple of the strides"),
    ("features_per_stage", [8, 16, 24], "trainer"),
    ("nonlin_kwargs", {"evil": 1}, "nonlin_kwargs"),
]


@pytest.mark.parametrize(
    ("name", "value", "message"), ARGUMENTS, ids=[f"{name} {str(value)[:12]}" for name, value, _ in ARGUMENTS]
)
def test_networks_that_are_not_built_here(name: str, value: Any, message: str, folder: Path) -> None:
    changed(
        folder / "plans.json", "configurations", CONFIGURATION, "architecture", "arch_kwargs", name, to=value
    )
    refusal(folder, message, load=True)


def test_labels_that_nnunet_does_not_allow(folder: Path) -> None:
    dataset = folder / "dataset.json"
    for labels, message in (
        ({"background": 0, "a": 1, "b": 3}, "without a gap"),
        ({"background": 0, "a": [1, 2], "b": 2}, "regions_class"),
        ({"0": "background", "1": "a"}, "labels"),
        ({"background": 0, "a": []}, "no value"),
        ({"background": 0}, "labels"),
    ):
        changed(dataset, "labels", to=labels)
        refusal(folder, message)
    changed(dataset, "labels", to={"background": 0, "a": 1, "b": 2, "c": 3, "ignore": 4})
    assert isinstance(read_nnunet(folder), NNUNetBundle)


def test_version_one(tmp_path: Path) -> None:
    (tmp_path / "fold_0").mkdir()
    (tmp_path / "plans.pkl").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    (tmp_path / "fold_0" / "model_final_checkpoint.model").write_bytes(b"")
    refusal(tmp_path, "version 1")
    assert not (tmp_path / "pwned").exists()


def test_missing_and_damaged_files(folder: Path) -> None:
    whole = (folder / "plans.json").read_bytes()
    for damaged in (b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, whole[:-50]):
        (folder / "plans.json").write_bytes(damaged)
        refusal(folder, "plans.json")
    (folder / "plans.json").write_bytes(whole)
    for path in folder.glob("fold_*/*.pth"):
        path.write_bytes(path.read_bytes()[:5000])
    refusal(folder, "damaged")
    for path in folder.glob("fold_*/*.pth"):
        path.rename(path.with_name("checkpoint_latest.pth"))
    refusal(folder, "checkpoint_final")


def test_a_hostile_checkpoint_runs_nothing(
    folder: Path, shared_file: SharedFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(
        shared_file("oracles/monai/hostile/nnunet_checkpoint/checkpoint_final.pth"),
        folder / "fold_0/checkpoint_final.pth",
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.chdir(scratch)
    refusal(folder, "could run code", load=True)
    assert not list(scratch.iterdir())


def test_checkpoints_that_are_not_nnunets(folder: Path) -> None:
    path = folder / "fold_0/checkpoint_final.pth"
    good = torch.load(path, weights_only=False)
    weights = {name: tensor.clone() for name, tensor in good["network_weights"].items()}
    for content, message in (
        ({"state_dict": weights}, "no network_weights"),
        ({**good, "network_weights": [1]}, "no network_weights"),
        ({**good, "network_weights": {**weights, "more": torch.zeros(2)}}, "nnUNetTrainer"),
        ({**good, "inference_allowed_mirroring_axes": (0, 3)}, "names no axes"),
        ({**good, "init_args": {"configuration": "2d"}}, 'as the configuration "2d"'),
    ):
        torch.save(content, path)
        refusal(folder, message, load=True)


def test_a_changed_weight_is_found_by_verify(folder: Path) -> None:
    bundle = read_nnunet(folder)
    bundle.verify()
    path = folder / "fold_1/checkpoint_final.pth"
    content = bytearray(path.read_bytes())
    content[200_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="checksum"):
        bundle.verify()


def test_other_checkpoints_other_hash_and_which_folds_count(folder: Path) -> None:
    before = read_nnunet(folder)
    torch.save(load_checkpoint(folder / "fold_0/checkpoint_final.pth"), folder / "fold_0/new.pth")
    shutil.copytree(folder / "fold_0", folder / "fold_all")
    assert read_nnunet(folder).sha256 == before.sha256
    (folder / "fold_1/checkpoint_final.pth").rename(folder / "fold_1/checkpoint_best.pth")
    assert [path.parent.name for path in read_nnunet(folder).folds] == ["fold_0"]
    assert "left out: fold_1, which has no checkpoint_final.pth" in read_nnunet(folder).card
    assert read_nnunet(folder).sha256 != before.sha256
    (folder / "fold_0/checkpoint_final.pth").unlink()
    best = read_nnunet(folder)
    assert [path.name for path in best.folds] == ["checkpoint_best.pth"] and "checkpoint_best" in best.card
    assert "left out: fold_0" in best.card


def test_a_model_of_all_cases_alone(folder: Path) -> None:
    for name in ("fold_0", "fold_1"):
        (folder / name).rename(folder / name.replace("fold_0", "fold_all"))
    assert [path.parent.name for path in read_nnunet(folder).folds] == [
        "fold_1"
    ]  # the others are judged by cases that they did not see
    shutil.rmtree(folder / "fold_1")
    bundle = read_nnunet(folder)
    assert [path.parent.name for path in bundle.folds] == ["fold_all"]
    assert "- folds: all (checkpoint_final.pth)\n" in bundle.card
    assert len(bundle.load().stages) == 1


def test_a_renamed_folder_is_known_by_its_weights(folder: Path) -> None:
    changed(
        folder / "plans.json",
        "configurations",
        "2d",
        to={"inherits_from": CONFIGURATION, "spacing": [9.0, 9.0, 9.0]},
    )
    other = folder.rename(folder.with_name("spleen of June"))
    bundle = read_nnunet(other)
    assert (bundle.name, bundle.plan, bundle.spacing_mm) == (
        "spleen of June",
        None,
        None,
    ) and "one of 3d_fullres, 2d" in bundle.card
    bundle.verify()
    asked = bundle.settled()
    assert (
        asked.plan is not None and asked.plan.configuration == CONFIGURATION and asked.spacing_mm is not None
    )
    assert len(bundle.load().stages) == 1
    misleading = other.rename(other.with_name("nnUNetTrainer__nnUNetPlans__2d"))
    refusal(misleading, 'as the configuration "3d_fullres" and its folder is of "2d"', load=True)
    checkpoint = misleading / "fold_0/checkpoint_final.pth"
    torch.save({**torch.load(checkpoint, weights_only=False), "init_args": {}}, checkpoint)
    refusal(
        misleading.rename(misleading.with_name("June")), "neither its name nor its weights tell", load=True
    )


def test_a_2d_model_in_a_folder_named_3d_is_refused_before_its_axes_are_read(
    shared_file: SharedFile, tmp_path: Path
) -> None:
    flat = next(shared_file("oracles/nnunet/2d/Dataset999_Toy").iterdir())
    spatial = next(shared_file("oracles/nnunet/plain_aniso/Dataset999_Toy").iterdir())
    copy = tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    shutil.copytree(flat, copy, copy_function=shutil.copyfile)
    both = json.loads((spatial / "plans.json").read_text())["configurations"][CONFIGURATION]
    changed(copy / "plans.json", "configurations", CONFIGURATION, to=both)
    refusal(copy, 'as the configuration "2d"', load=True)
    other = copy.rename(copy.with_name("June"))
    assert read_nnunet(other).load().stages[0].mirror_axes == (1, 2)


def test_half_precision_of_either_kind_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()

    def listening(x: torch.Tensor, *rest: object) -> torch.Tensor:
        seen.add(x.dtype)
        return conv3d(x, *rest)

    conv3d: Callable[..., torch.Tensor] = convolution.conv3d
    monkeypatch.setattr(convolution, "conv3d", listening)
    monkeypatch.setattr("ctseg_models.contract.arithmetic.SMALL_MAP", 0)
    bundle = read_nnunet(folder)
    assert bundle.plan is not None
    stage, x = bundle.load().stages[0], torch.zeros(1, bundle.plan.inputs, *bundle.plan.patch)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        seen.clear()
        finish(stage.steps(x, Arithmetic(dtype)))
        assert seen == {dtype}


def test_listing_shows_it_and_loads_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTSEG_BUNDLES", str(folder.parent))
    monkeypatch.setattr(
        "ctseg_models.bundles.nnunet.bundle.load_checkpoint", lambda path: pytest.fail("weights were read")
    )
    assert "Dataset999_Toy-3d_fullres" in [bundle.name for bundle in store.scan().bundles]
    changed(
        folder / "plans.json",
        "configurations",
        "2d",
        to={"inherits_from": CONFIGURATION, "spacing": [9.0, 9.0, 9.0]},
    )
    folder = folder.rename(folder.with_name("of June"))
    assert "of June" in [bundle.name for bundle in store.scan().bundles]
    (folder / "dataset.json").write_text("{}")
    assert any("dataset.json" in fault for fault in store.scan().faults)


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("network_weights", {5: torch.zeros(1)}, "no network_weights"),
        ("network_weights", {"w": 5}, "no network_weights"),
        ("inference_allowed_mirroring_axes", torch.zeros(3), "names no axes"),
        ("inference_allowed_mirroring_axes", [torch.zeros(3)], "names no axes"),
        ("inference_allowed_mirroring_axes", [1.5, "a"], "names no axes"),
        ("init_args", {"configuration": torch.zeros(3)}, "as the configuration"),
        ("init_args", {"configuration": "2d\n\x1b[31mred"}, 'as the configuration "2d\\[31mred"'),
    ],
)
def test_entries_of_other_kinds_than_nnunet_writes(
    entry: str, value: Any, message: str, folder: Path
) -> None:
    path = folder / "fold_0/checkpoint_final.pth"
    torch.save({**torch.load(path, weights_only=False), entry: value}, path)
    refusal(folder, message, load=True)


def test_a_trainer_with_a_strange_name_is_shown_in_one_line(folder: Path) -> None:
    path = folder / "fold_0/checkpoint_final.pth"
    content = torch.load(path, weights_only=False)
    torch.save(
        {**content, "trainer_name": "x\x1b[31m\n" * 1000, "network_weights": {"w": torch.zeros(1)}}, path
    )
    with pytest.raises(BundleError, match="may build another one") as refused:
        store.read(folder).load()
    assert str(refused.value).isprintable() and len(str(refused.value)) < 600
