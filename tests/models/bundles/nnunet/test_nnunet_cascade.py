"""Both halves of a cascade from folders that nnU-Net wrote: the first half's labels are channels of the
second.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.transform import resize as skimage_resize

from ctseg_imaging import formats
from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import finish
from ctseg_models.bundles import store
from ctseg_models.bundles.nnunet.bundle import read_nnunet
from ctseg_models.contract.lattice import ViewBox
from ctseg_models.contract.upright import Upright
from ctseg_models.inference import InferenceSettings, run
from ctseg_models.vetting.checkpoint import load_checkpoint

FIRST, SECOND = "nnUNetTrainer__nnUNetPlans__3d_lowres", "nnUNetTrainer__nnUNetPlans__3d_cascade_fullres"
LABELS = 3


@pytest.fixture
def cascade(shared_file: Callable[[str], Path], tmp_path: Path) -> Path:
    """The second half next to the first. Its first convolution takes the image and three masks; weights are
    random.
    """
    original = next(shared_file("oracles/nnunet/old_plans/Dataset999_Toy").iterdir())
    plans = json.loads((original / "plans.json").read_text())
    fine = plans["configurations"].pop("3d_fullres")
    plans["configurations"] = {
        "3d_lowres": {**fine, "spacing": [4.5, 3.1, 2.9]},
        "3d_fullres": fine,
        "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
    }
    content = load_checkpoint(original / "fold_0/checkpoint_final.pth")
    for name in (FIRST, SECOND):
        (tmp_path / name / "fold_0").mkdir(parents=True)
        shutil.copyfile(original / "dataset.json", tmp_path / name / "dataset.json")
        (tmp_path / name / "plans.json").write_text(json.dumps(plans))
        weights = {
            key: tensor for key, tensor in content["network_weights"].items() if ".all_modules." not in key
        }
        if name == SECOND:
            torch.manual_seed(0)
            first = weights["encoder.stages.0.0.convs.0.conv.weight"]
            weights = {
                **weights,
                "encoder.stages.0.0.convs.0.conv.weight": torch.cat(
                    [first, torch.randn(8, LABELS, 3, 3, 3)], dim=1
                ),
            }
        configuration = name.rpartition("__")[2]
        torch.save(
            {**content, "network_weights": weights, "init_args": {"configuration": configuration}},
            tmp_path / name / "fold_0/checkpoint_final.pth",
        )
    return tmp_path / SECOND


def test_the_first_halfs_labels_are_channels(cascade: Path, shared_file: Callable[[str], Path]) -> None:
    bundle = read_nnunet(cascade)
    assert bundle.previous is not None and "3d_lowres" in bundle.card
    volume = formats.read(shared_file("oracles/nnunet/inputs/oblique_0000.nii.gz"))
    upright = Upright.of(volume)
    whole = ViewBox.whole(upright.geometry)
    prepared = finish(bundle.load().stages[0].prepare(upright, whole, True))
    assert prepared.x.shape[1] == 1 + LABELS

    lower = finish(run(bundle.previous, volume, settings=InferenceSettings(precision="fp32"))).labels.array
    assert len(np.unique(lower)) == 1 + LABELS
    start, stop = whole.voxels(upright.geometry)
    low = [round(a / s) for a, s in zip(prepared.lattice.box.low, upright.geometry.spacing_mm, strict=True)]
    high = [round(a / s) for a, s in zip(prepared.lattice.box.high, upright.geometry.spacing_mm, strict=True)]
    assert all(a <= b < c <= d for a, b, c, d in zip(start, low, high, stop, strict=True))
    crop = upright.view.apply(lower)[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    expected = np.zeros(
        prepared.lattice.shape, int
    )  # nnU-Net's resize_segmentation: mask by mask, later labels over earlier ones
    for value in range(1 + LABELS):
        mask = skimage_resize(
            (crop == value).astype(float), expected.shape, 1, mode="edge", anti_aliasing=False
        )
        expected[mask >= 0.5] = value
    assert prepared.keep is not None
    (z0, y0, x0), (z1, y1, x1) = prepared.keep
    masks = prepared.x[0, 1:, z0:z1, y0:y1, x0:x1].numpy()
    for value in range(1, 1 + LABELS):
        assert (
            masks[value - 1] != (expected == value)
        ).mean() < 1e-3  # a share of exactly one half may round either way
    labels = finish(run(bundle, volume, settings=InferenceSettings(precision="fp32"))).labels.array
    assert len(np.unique(labels)) > 1 and (labels != lower).any()


def test_without_the_first_half_it_is_refused(cascade: Path) -> None:
    (cascade.parent / FIRST).rename(cascade.parent / "elsewhere")
    with pytest.raises(BundleError, match=r"second half of a cascade .*3d_lowres"):
        read_nnunet(cascade)


def test_halves_of_two_trainings_are_refused(cascade: Path) -> None:
    dataset = json.loads((cascade / "dataset.json").read_text())
    dataset["labels"] = {"background": 0, "a": 1}
    (cascade.parent / FIRST / "dataset.json").write_text(json.dumps(dataset))
    with pytest.raises(BundleError, match="not the first half"):
        read_nnunet(cascade)


def test_a_changed_first_half_changes_the_hash_of_the_second(cascade: Path) -> None:
    before = read_nnunet(cascade).sha256
    path = cascade.parent / FIRST / "fold_0/checkpoint_final.pth"
    content = torch.load(path, weights_only=False)
    content["network_weights"]["decoder.seg_layers.1.bias"] += 1
    torch.save(content, path)
    assert read_nnunet(cascade).sha256 != before


def test_a_link_in_the_first_half_is_refused_when_adding(cascade: Path) -> None:
    (cascade.parent / FIRST / "a").symlink_to(".")
    with pytest.raises(BundleError, match=f"{FIRST}/a: is a link to a folder"):
        store.add(cascade)
