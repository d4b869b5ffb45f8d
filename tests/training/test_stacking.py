"""Stacks: weights set by hand, slabs against the whole, and members that are wrong apart and right
together.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ctseg_imaging import formats
from ctseg_imaging.errors import BundleError, RecipeError
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import finish
from ctseg_imaging.volume import LabelMap, Labels, Volume
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.lattice import Lattice, ViewBox
from ctseg_models.contract.upright import Upright
from ctseg_models.ensembles.members import common_target, run_members
from ctseg_models.ensembles.stack import Member, Stacker, StackerConfig, read_stack, write_stack
from ctseg_models.ensembles.stacking import concatenated, paint_stack, run_stack
from ctseg_models.inference import InferenceSettings
from ctseg_models.inference.labels.class_maps import ClassMaps, Target
from ctseg_models.inference.labels.paint import paint
from ctseg_models.inference.labels.sampler import ClassMapSampler
from ctseg_models.inference.network.precision import choose
from ctseg_models.inference.stage_run import StageResult
from ctseg_training.data.decathlon import open_dataset
from ctseg_training.stack_training import (
    MapPatch,
    StackSettings,
    distinct_names,
    draw_patches,
    fit,
    halves,
    train_stack,
)
from tests.models.making import dice, threshold_bundle

TARGET = Target((3.0, 2.0, 2.5), (1, 2, 3), (22, 11, 15))
LATTICES = (
    Lattice((0.0, -3.0, 2.0), (7.0, 5.0, 6.0), (10, 6, 5)),
    Lattice((6.0, 5.0, 8.0), (4.0, 4.0, 4.0), (11, 4, 7)),
)
VALUES = ((0, 4, 9), (0, 9))
SHAPE, SPACING = (15, 28, 33), (3.0, 2.5, 2.0)
QUICK = StackSettings(patches=12, size=(8, 14, 16), steps=120, learning_rate=0.01)


def members() -> list[Member]:
    return [
        Member(name=f"m{number}", path="/nowhere", sha256="", values=values)
        for number, values in enumerate(VALUES)
    ]


def found_at_random() -> list[StageResult]:
    """Smooth enough that neighbours differ in probability and not in the winner everywhere."""
    random = torch.Generator().manual_seed(7)
    whole = ViewBox((0.0, 0.0, 0.0), (75.0, 26.0, 45.0))
    return [
        StageResult(
            ClassMaps.of(
                (torch.randn(len(values), *lattice.shape, generator=random) * 2).softmax(0), lattice, values
            ),
            whole,
            False,
        )
        for lattice, values in zip(LATTICES, VALUES, strict=True)
    ]


def passing_on(channel_of: dict[int, int], channels: int) -> Stacker:
    """A network whose output k is its input channel channel_of[k], unchanged: every convolution is the
    identity, as slope 1 is.
    """
    network = Stacker(StackerConfig(channels, len(channel_of), filters=channels, negative_slope=1.0))
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        for channel in range(channels):
            network.conv0.weight[channel, channel, 1, 1, 1] = network.conv1.weight[
                channel, channel, 1, 1, 1
            ] = 1
        for output, channel in channel_of.items():
            network.head.weight[output, channel] = 1
    return network.eval()


def write_shells(folder: Path, count: int = 4, *, without: str | None = None) -> Path:
    """Bright balls and balls of middling brightness; only the latter are the label "middling". Stored right
    to left, head first.

    without : a case in which the label was not contoured.
    """
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    geometry = Geometry.from_parts(SHAPE, SPACING, (5, -7, 11), np.diag([-1.0, 1.0, -1.0]))
    z, y, x = np.meshgrid(
        *[(np.arange(n) + 0.5) * s for n, s in zip(SHAPE, SPACING, strict=True)], indexing="ij"
    )
    pairs, present = [], {}
    for number in range(count):
        rng = np.random.default_rng(number)
        image, labels = np.full(SHAPE, 0.0), np.zeros(SHAPE, np.uint8)
        for hu, label, centre in (
            (170, 3, (22, 20, 18)),
            (400, 0, (22, 50, 48)),
            (170, 3, (20, 50, 18)),
            (400, 0, (24, 20, 48)),
        ):
            ball = (
                sum((a - c - rng.uniform(-3, 3)) ** 2 for a, c in zip((z, y, x), centre, strict=True)) < 11**2
            )
            image[ball], labels[ball] = hu, label
        image += rng.normal(0, 12, SHAPE)
        name = f"case_{number}"
        contoured = name != without
        pair = {"image": f"imagesTr/{name}.nii.gz", "label": f"labelsTr/{name}.nii.gz"}
        formats.write(folder / pair["image"], Volume(image.astype(np.int16), geometry))
        formats.write(folder / pair["label"], LabelMap(labels if contoured else labels * 0, geometry))
        pairs.append(pair)
        present[name] = ["middling"] if contoured else []
    fields = {
        "name": "shells",
        "labels": {"3": "middling"},
        "training": pairs[:1],
        "validation": pairs,
        "labels_present": present,
    }
    (folder / "dataset.json").write_text(json.dumps(fields))
    return folder


def write_members(folder: Path) -> list[Bundle]:
    """Label 5 above 85 HU and label 5 above 285 HU: what is wanted is the first without the second."""
    return [
        threshold_bundle(folder / name, two_stages=False, threshold_hu=hu)
        for name, hu in (("low", 85), ("high", 285))
    ]


def test_parameters_by_hand() -> None:
    network = Stacker(StackerConfig(5, 3))
    assert (
        sum(p.numel() for p in network.parameters()) == (5 * 27 + 1) * 16 + (16 * 27 + 1) * 16 + (16 + 1) * 3
    )
    assert network(torch.randn(2, 5, 7, 8, 9)).shape == (2, 3, 7, 8, 9)


def test_channels_come_by_member_and_then_by_value() -> None:
    found = found_at_random()
    samplers = [ClassMapSampler(one.maps, TARGET) for one in found]
    maps = concatenated(samplers, members(), 3, 6)
    expected = [
        samplers[member].slab(value, 3, 6) for member, value in ((0, 0), (0, 4), (0, 9), (1, 0), (1, 9))
    ]
    assert all(
        torch.equal(a, b) for a, b in zip(maps, expected, strict=True) if b is not None
    ) and maps.shape == (5, 3, 9, 12)
    with pytest.raises(BundleError, match="no class map of the value 8"):
        concatenated(samplers, [Member(name="m", path="", sha256="", values=(0, 8)), members()[1]], 0, 1)


def test_a_stacker_that_passes_a_member_on_paints_that_members_labels() -> None:
    found = found_at_random()
    for member, channel_of, values in ((0, {0: 0, 1: 1, 2: 2}, (4, 9)), (1, {0: 3, 1: 4}, (9,))):
        expected, ours = np.zeros((24, 13, 16), np.int32), np.zeros((24, 13, 16), np.int32)
        list(paint(found[member].maps, TARGET, expected))
        done = list(paint_stack(passing_on(channel_of, 5), members(), found, TARGET, values, ours))
        assert np.array_equal(ours, expected) and len(np.unique(expected)) == len(values) + 1
        assert sum(done) == pytest.approx(1)


def test_slab_by_slab_is_all_at_once() -> None:
    """Two convolutions look two slices far, so a slab without its neighbours would differ at its
    faces.
    """
    torch.manual_seed(1)
    network = Stacker(StackerConfig(5, 3))
    with torch.no_grad():
        network.head.weight.mul_(20)
        found = found_at_random()
        samplers = [ClassMapSampler(one.maps, TARGET) for one in found]
        whole = network(concatenated(samplers, members(), 0, 21)[None])[0].argmax(0)
        cut = network(concatenated(samplers, members(), 8, 16)[None])[0].argmax(0)
    labels = np.full((24, 13, 16), 77, np.uint8)
    list(paint_stack(network, members(), found, TARGET, (1, 2), labels))
    assert np.array_equal(labels[1:22, 2:11, 3:15], whole.numpy())
    assert (labels == 77).sum() == labels.size - whole.numel()
    assert not torch.equal(cut, whole[8:16])


def test_a_stack_is_written_whole_and_checked_when_read(tmp_path: Path) -> None:
    bundles = write_members(tmp_path)
    network = Stacker(StackerConfig(4, 2))
    made = write_stack(
        tmp_path / "out/stack",
        network,
        name="both",
        members=[Member.of(one) for one in bundles],
        labels=Labels.from_names({3: "middling"}),
        training={"steps": 0},
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["stack"]
    again = read_stack(tmp_path / "out/stack")
    assert (
        again.config == made.config == network.config
        and again.labels == made.labels
        and again.training == {"steps": 0}
    )
    assert all(
        torch.equal(a, b)
        for a, b in zip(again.network().state_dict().values(), network.state_dict().values(), strict=True)
    )
    assert [member.bundle().name for member in again.members] == ["low", "high"]
    description = json.loads((tmp_path / "out/stack/stack.json").read_text())
    assert [(one["name"], one["values"], one["sha256"]) for one in description["members"]] == [
        (b.name, [0, 5], b.sha256) for b in bundles
    ]

    with pytest.raises(BundleError, match="already exists"):
        write_stack(tmp_path / "out/stack", network, name="both", members=again.members, labels=again.labels)
    threshold_bundle(tmp_path / "other", two_stages=False, threshold_hu=100).path.rename(tmp_path / "moved")
    (tmp_path / "low").rename(tmp_path / "gone")
    with pytest.raises(BundleError, match="no bundle, folder or file has this name"):
        again.members[0].bundle()
    (tmp_path / "moved").rename(tmp_path / "low")
    with pytest.raises(BundleError, match="is not the low that the stack was trained with"):
        again.members[0].bundle()
    weights = tmp_path / "out/stack/stacker.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleError, match="damaged or changed"):
        again.network()
    with pytest.raises(BundleError, match="is not a stack"):
        read_stack(tmp_path)


def test_patches_are_where_they_say(tmp_path: Path) -> None:
    """The first member and the truth "above 85 HU" agree in every patch, which a wrong offset or a swapped
    axis would spoil.
    """
    bundles = write_members(tmp_path)
    volume = formats.read(write_shells(tmp_path / "data", 1) / "imagesTr/case_0.nii.gz")
    upright = Upright.of(volume)
    found = finish(run_members(bundles, upright, None, "cpu", choose("fp32", "cpu")))
    found[0].box = ViewBox((6.0, 7.5, 4.0), (39.0, 60.0, 62.0))  # a region of interest
    found[1].box = ViewBox((9.0, 10.0, 4.0), (42.0, 65.0, 60.0))
    target = common_target(found, upright)
    assert target.start == (2, 3, 2) and target.stop == (14, 26, 31)
    truth = (upright.view.apply(volume.array) > 85).astype(np.uint8)
    patches = draw_patches(
        found,
        [Member.of(one) for one in bundles],
        target,
        truth,
        (True, True),
        StackSettings(patches=20, size=(6, 9, 99), near_label=1.0),
        np.random.default_rng(0),
    )
    assert len(patches) == 20 and {tuple(patch.target.shape) for patch in patches} == {(6, 9, 29)}
    for patch in patches:
        assert patch.maps.shape == (4, 6, 9, 29) and torch.allclose(
            patch.maps[:2].float().sum(0), torch.ones(6, 9, 29), atol=2e-3
        )
        assert (patch.target == 1).any()
        assert float(((patch.maps[1] > 0.5) == (patch.target == 1)).float().mean()) > 0.85
    assert len({patch.target.numpy().tobytes() for patch in patches}) > 10


def test_a_stack_learns_what_no_member_knows(tmp_path: Path) -> None:
    bundles = write_members(tmp_path)
    data = write_shells(tmp_path / "data")
    dataset = open_dataset(data)
    stack, scores = finish(
        train_stack(bundles, dataset, dataset.validation, tmp_path / "stack", name="shells", settings=QUICK)
    )
    assert scores.cases == ("case_1", "case_3") and stack.training["learnt_from"] == ["case_0", "case_2"]
    of_stack = [float(row["middling"] or 0) for row in scores.stack]
    assert min(of_stack) > 0.85
    assert scores.members == {
        "low": ({"middling": None},) * 2,
        "high": ({"middling": None},) * 2,
    }  # they call it organ

    volume, truth = (
        formats.read(data / "imagesTr/case_3.nii.gz"),
        formats.read_labels(data / "labelsTr/case_3.nii.gz").array == 3,
    )
    prediction = finish(run_stack(read_stack(stack.path), volume, settings=InferenceSettings(threads=1)))
    assert (
        set(np.unique(prediction.labels.array)) == {0, 3} and prediction.labels.labels.name(3) == "middling"
    )
    assert dice(prediction.labels.array == 3, truth) == pytest.approx(of_stack[1])
    assert prediction.provenance["combine"] == "stack" and [
        b["name"] for b in prediction.provenance["bundles"]
    ] == ["low", "high"]
    assert prediction.labels.geometry is volume.geometry
    table = stack.scores["dice"]["stack"]["middling"]
    assert table["mean"] == pytest.approx(np.mean(of_stack)) and table["deviation"] == pytest.approx(
        np.std(of_stack, ddof=1)
    )


def test_a_label_that_was_not_contoured_is_not_unlearnt() -> None:
    """Two cases with the same maps, one of which has background where the other has 1: a contradiction
    if 1 was contoured there.
    """
    maps = torch.zeros(2, 5, 8, 9)
    maps[0, :, 2:6, 3:7] = 1
    maps[1] = 1 - maps[0]
    truth = maps[0].to(torch.uint8)
    settings = StackSettings(steps=150, learning_rate=0.01)
    found = []
    for present in ((True, False), (True, True)):
        patches = [
            MapPatch(maps.half(), truth, (True, True)),
            *[MapPatch(maps.half(), torch.zeros_like(truth), present)] * 3,
        ]
        network = finish(fit(StackerConfig(2, 2), patches, settings, "cpu"))
        found.append(float(network(maps[None]).softmax(1)[0, 1, :, 3:5, 4:6].mean().detach()))
    assert found[0] > 0.9 and found[1] < 0.7


def test_halves_and_names(tmp_path: Path) -> None:
    entries = open_dataset(write_shells(tmp_path / "data", 3)).validation
    assert [[one.name for one in half] for half in halves(entries)] == [["case_0", "case_2"], ["case_1"]]
    with pytest.raises(RecipeError, match="two or more"):
        halves(entries[:1])
    bare = open_dataset(write_shells(tmp_path / "bare", 3, without="case_1")).validation
    assert [[one.name for one in half] for half in halves(bare)] == [["case_0"], ["case_2"]]
    low, high = write_members(tmp_path)
    assert distinct_names([low, high, low, low]) == ["low", "high", "low (2)", "low (3)"]
