"""Each method from recipe to a bundle that runs: a few steps of tiny networks, and what is special about
each.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ctseg_imaging import formats
from ctseg_imaging.errors import CtsegError
from ctseg_imaging.progress import finish
from ctseg_models.bundles.own.bundle import OwnBundle, read_own
from ctseg_models.inference import InferenceSettings, run
from ctseg_training.recipes import list_recipes, load_recipe
from ctseg_training.recipes.stages import recipe_for
from ctseg_training.record.events import read_events
from ctseg_training.run.checkpoint import load_checkpoint
from ctseg_training.run.engine import train
from ctseg_training.run.training import LAST
from tests.training.conftest import write_dataset

COMMON = (
    "precision=fp32",
    "validation={share: 0.25, at_most: 1}",
    "workers=0",
    "budget={steps: 3}",
    "schedule.warmup_steps=0",
    "data.spacing_mm=[3, 2.5, 2]",
    "data.intensity={clip_low: -200, clip_high: 500, shift: 150, scale: 350}",
    "ema=0.9",
    "data.outside=-1024",
)
SLICES = (*COMMON, "sampling={mode: slices, size: [3, 24, 16], versions: 2}", "batch=2")
SLAB = (
    *COMMON,
    "sampling={mode: slices, size: [8, 24, 16]}",
    "batch=1",
    "data.patch=[8, 24, 16]",
    "data.zscore_sample={cases: 2}",
)
FLAT = (*COMMON, "sampling={mode: slices, size: [3, 24, 16]}", "batch=2", "data.zscore_sample={cases: 2}")
EDGE = (
    *COMMON,
    "sampling={mode: whole, size: [16, 24, 16]}",
    "batch=1",
    "network.levels=3",
    "network.filters=8",
    "data.sizes={min: [16, 16, 16], max: [96, 96, 96], step: [8, 8, 8]}",
)
STRIDES = {2: "[[1, 1], [2, 2], [2, 2]]", 3: "[[1, 1, 1], [1, 2, 2], [2, 2, 2]]"}
KERNELS = {2: "[[3, 3], [3, 3], [3, 3]]", 3: "[[3, 3, 3], [3, 3, 3], [3, 3, 3]]"}

METHODS: dict[str, Sequence[str]] = {
    "geometric-sunet-small": (*SLICES, "network.filters=4", "geometric.max_iterations=20"),
    "edge-gated-unet-small": EDGE,
    "edge-gated-vnet-small": EDGE,
    "edge-gated-segnet-small": EDGE,
    **{
        f"ct-cues-nnunet-{n}d-small": (
            *(FLAT if n == 2 else SLAB),
            f"network={{kind: nnunet, dimensions: {n}, strides: {STRIDES[n]}, "
            f"kernels: {KERNELS[n]}, filters: [4, 6, 6]}}",
        )
        for n in (2, 3)
    },
    **{f"ct-cues-msdnet-{n}d-small": (*(FLAT if n == 2 else SLAB), "network.depth=4") for n in (2, 3)},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "balls", absent={"case_1": ["middle"]})


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in torchvision's layout: the loss is tested elsewhere, here the way of the file."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("vgg") / "vgg.safetensors"
    layers = {
        "features.0": (3, 64),
        "features.2": (64, 64),
        "features.5": (64, 128),
        "features.7": (128, 128),
    }
    tensors = {}
    for name, (before, after) in layers.items():
        conv = nn.Conv2d(before, after, 3)
        tensors |= {
            f"{name}.weight": conv.weight.detach().clone(),
            f"{name}.bias": conv.bias.detach().clone(),
        }
    save_file(tensors, path)
    return path


def trained(name: str, overrides: Sequence[str], folder: Path, out: Path) -> OwnBundle:
    return read_own(finish(train(load_recipe(name, overrides), folder, out)))


@pytest.mark.parametrize("name", METHODS)
def test_a_few_steps_give_a_bundle_that_runs_on_the_volume_s_own_grid(
    name: str, folder: Path, tmp_path: Path
) -> None:
    bundle = trained(name, METHODS[name], folder, tmp_path / "job")
    volume = formats.read(folder / "imagesTr" / "case_0.nii.gz")
    found = finish(
        run(bundle, volume, settings=InferenceSettings(probabilities=True, edge_map=True, precision="fp32"))
    )
    assert found.labels.array.shape == volume.array.shape and found.labels.array.dtype == np.uint8
    assert found.probabilities is not None and found.edge_map is not None
    sums = found.probabilities.array.sum(axis=0)
    assert found.probabilities.array.shape[0] == 4 and np.abs(sums - 1).max() < 1e-4
    assert found.edge_map.array.min() >= 0 and found.edge_map.array.max() <= 1
    events = list(read_events(tmp_path / "job" / "events.jsonl"))
    assert events[-1].kind == "done" and events[-1].data["skipped"] == 0
    assert not (tmp_path / "job" / "cases").exists()


def test_an_edge_head_is_the_edge_map(folder: Path, tmp_path: Path) -> None:
    """The head is made to say 0.25 everywhere: the map then is 0.25 too, which 1 - margin would not be."""
    bundle = trained("edge-gated-unet-small", EDGE, folder, tmp_path / "job")
    weights = bundle.weights("segment")
    head = [
        key
        for key in weights
        if "edge" in key.rsplit(".", 2)[0].split(".")[-1] and weights[key].shape[0] == 3
    ]
    assert head
    from ctseg_models.bundles.own.writing import write_bundle

    for key in head:
        weights[key] = (
            torch.zeros_like(weights[key])
            if key.endswith("weight")
            else torch.full_like(weights[key], float(np.log(1 / 3)))
        )
    described = write_bundle(
        tmp_path / "described",
        name="described",
        stages=bundle.stages,
        weights={"segment": weights},
        labels=bundle.labels,
        card="# described",
        precision="fp32",
    )
    volume = formats.read(folder / "imagesTr" / "case_0.nii.gz")
    found = finish(run(described, volume, settings=InferenceSettings(edge_map=True, precision="fp32")))
    assert found.edge_map is not None and np.abs(found.edge_map.array - 0.25).max() < 1e-5


def test_the_content_loss_trains_with_features_from_a_file(folder: Path, tmp_path: Path, vgg: Path) -> None:
    values = (
        *COMMON,
        "sampling={mode: slices, size: [2, 24, 16]}",
        "network={kind: dense_unet, filters: 4, poolings: 2}",
        "data.intensity={clip_low: -200, clip_high: 500, shift: -200, scale: 700}",
        *(
            "data.more_channels=["
            + ", ".join(["{clip_low: -200, clip_high: 500, shift: -200, scale: 700}"] * 2)
            + "]",
        ),
        f"content.features={vgg}",
    )
    with pytest.raises(CtsegError, match=r"content\.features"):
        trained("siamese-denseunet-small", [*values, "content.features=null"], folder, tmp_path / "none")
    bundle = trained("siamese-denseunet-small", values, folder, tmp_path / "frozen")
    found = finish(
        run(
            bundle,
            formats.read(folder / "imagesTr" / "case_0.nii.gz"),
            settings=InferenceSettings(probabilities=True),
        )
    )
    assert found.probabilities is not None and np.abs(found.probabilities.array.sum(axis=0) - 1).max() < 1e-4
    trained("siamese-denseunet-small", [*values, "content.trainable=true"], folder, tmp_path / "game")
    kept = load_checkpoint(tmp_path / "game" / LAST).features
    assert kept is not None and load_checkpoint(tmp_path / "frozen" / LAST).features is None
    from safetensors.torch import load_file

    assert not torch.equal(kept["weights"]["conv1_1.weight"], load_file(vgg)["features.0.weight"])


def test_duals_of_a_resumed_run_equal_those_of_an_uninterrupted_one(folder: Path, tmp_path: Path) -> None:
    recipe = load_recipe("geometric-sunet-small", [*METHODS["geometric-sunet-small"], "budget={steps: 6}"])
    finish(train(recipe, folder, tmp_path / "whole"))
    work = train(recipe, folder, tmp_path / "parts")
    while not next(work).message.startswith("step 3"):
        pass
    work.close()
    finish(train(recipe, folder, tmp_path / "parts", resume=True))
    whole, parts = (load_checkpoint(tmp_path / name / LAST).network for name in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    duals = [(tmp_path / name / "duals/duals.f16").read_bytes() for name in ("whole", "parts")]
    assert duals[0] == duals[1] and any(duals[0][4096:])
    assert len(list((tmp_path / "parts" / "checkpoints").glob("*.duals"))) == 1


def test_the_pull_of_the_duals_is_told_among_the_terms(folder: Path, tmp_path: Path) -> None:
    trained("geometric-sunet-small", METHODS["geometric-sunet-small"], folder, tmp_path / "job")
    terms = [
        event.data["terms"]
        for event in read_events(tmp_path / "job" / "events.jsonl")
        if event.kind == "step"
    ]
    assert all(set(one) == {"squared_dice(logits)", "geometric"} and one["geometric"] >= 0 for one in terms)


@pytest.mark.parametrize("name", METHODS)
def test_every_network_can_be_trained_further(name: str, folder: Path, tmp_path: Path) -> None:
    bundle = trained(name, METHODS[name], folder, tmp_path / "first")
    recipe = recipe_for(
        bundle,
        load_recipe("finetune", ["validation={share: 0.25, at_most: 1}", "workers=0", "precision=fp32"]),
    )
    assert (recipe.network.kind, recipe.data.intensity) == (
        bundle.stages[0].network,
        bundle.stages[0].intensity,
    )
    further = read_own(finish(train(recipe, folder, tmp_path / "second", steps=1, init_from=bundle)))
    assert further.stages[0].config == bundle.stages[0].config


def test_the_statistics_of_the_sample_are_in_the_bundle(folder: Path, tmp_path: Path) -> None:
    bundle = trained("ct-cues-nnunet-2d-small", METHODS["ct-cues-nnunet-2d-small"], folder, tmp_path / "job")
    intensity = bundle.stages[0].intensity
    assert (
        (intensity.clip_low, intensity.statistics) == (-200, "none")
        and intensity.shift != 150
        and intensity.scale > 10
    )


def test_every_shipped_recipe_describes_a_network_that_can_be_built() -> None:
    """On the meta device, so the faithful ones cost nothing."""
    from ctseg_training.run.networks import build

    with torch.device("meta"):
        for name in list_recipes():
            recipe = load_recipe(name)
            assert (
                sum(
                    weight.numel()
                    for weight in build(recipe.network, 1 + len(recipe.data.more_channels), 3).parameters()
                )
                > 100
            )


def test_papers_have_a_faithful_and_a_small_recipe() -> None:
    names = set(list_recipes())
    methods = [
        "geometric-sunet",
        *(f"edge-gated-{kind}" for kind in ("unet", "vnet", "segnet")),
        "siamese-denseunet",
        "scn-localise",
        "scn-segment",
        *(f"ct-cues-{kind}-{n}d" for kind in ("nnunet", "msdnet") for n in (2, 3)),
    ]
    assert {*methods, *(f"{name}-small" for name in methods)} <= names
