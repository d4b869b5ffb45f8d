"""Confidence of labels, entropy and disagreement: worked by hand and against scipy."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from ctseg_imaging.volume import Labels
from ctseg_models.contract.arithmetic import Arithmetic
from ctseg_models.contract.lattice import Lattice
from ctseg_models.contract.tiling import Tiling
from ctseg_models.inference.labels.class_maps import ClassMaps, Target
from ctseg_models.inference.labels.confidence import Tally, VoxelSample, sampled
from ctseg_models.inference.labels.disagreement import Entropy, share_that_differs
from ctseg_models.inference.labels.point_sampler import PointSampler
from ctseg_models.inference.labels.sampler import ClassMapSampler
from ctseg_models.inference.maps.windowed import WindowedMaps

LABELS = Labels.from_names({3: "liver", 7: "spleen", 9: "never found"})


def slices(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows)[None]


def test_a_table_by_hand_over_two_slabs() -> None:
    tally = Tally(9)
    tally.add(
        slices([3, 3, 0], [0, 7, 3]).int(),
        sampled(slices([0.95, 0.5, 0.0], [0.0, 0.8, 0.92])),
        slices([0.0, 0.5, 1.0], [1.0, 0.25, 0.1]),
    )
    tally.add(
        slices([7, 0, 0], [0, 0, 0]).int(),
        sampled(slices([1.0, 0, 0], [0, 0, 0])),
        slices([0.75, 0, 0], [0, 0, 0]),
    )
    tally.add(torch.zeros(1, 2, 3, dtype=torch.int32), sampled(torch.zeros(1, 2, 3)), torch.zeros(1, 2, 3))
    assert tally.table(LABELS, 0.002) == [
        {
            "value": 3,
            "name": "liver",
            "volume_ml": 0.006,
            "mean_probability": 0.79,
            "share_above_0.9": 0.6667,
            "mean_disagreement": 0.2,
        },
        {
            "value": 7,
            "name": "spleen",
            "volume_ml": 0.004,
            "mean_probability": 0.9,
            "share_above_0.9": 0.5,
            "mean_disagreement": 0.5,
        },
    ]


def test_a_sample_speaks_for_all_voxels_of_each_label() -> None:
    winner = torch.zeros(4, 60, 70, dtype=torch.int32)
    winner[:, 5:55, 5:65] = 3
    winner[2, 10, 10:30] = 7
    sample = VoxelSample.of(winner, 900)
    assert (winner[sample.z, sample.y, sample.x] == sample.labels).all()
    assert (sample.labels == 7).sum() == 20  # all of a small one
    assert len(sample.labels) == pytest.approx(470, abs=20)  # half of 900 for the large one
    chances = torch.rand(winner.shape, generator=torch.Generator().manual_seed(1))
    some, full = Tally(7, 900), Tally(7, 10**9)
    for tally in (some, full):
        tally.add(winner, sampled(chances))
    few, all_of_it = some.table(LABELS, 0.001), full.table(LABELS, 0.001)
    assert [row["volume_ml"] for row in few] == [row["volume_ml"] for row in all_of_it] == [11.98, 0.02]
    assert full.table(LABELS, 0.001)[0]["mean_probability"] == pytest.approx(
        float(chances[winner == 3].mean()), abs=1e-4
    )
    assert few[0]["mean_probability"] == pytest.approx(all_of_it[0]["mean_probability"], abs=0.05)
    assert few[1] == all_of_it[1]


@pytest.mark.parametrize("width", [124, 125, 31 * 29, 1240])
def test_a_sample_is_of_all_columns(width: int) -> None:
    """The model is unsure at two columns of the image, whose width is a multiple of whatever distance one
    might take.
    """
    winner = torch.full((2, 40 if width < 1000 else 2, width), 3, dtype=torch.int32)
    chance = torch.full(winner.shape, 0.99)
    chance[..., 0] = chance[..., width // 2] = 0.1
    sample = VoxelSample.of(winner, 3000)
    assert len(torch.unique(sample.x)) > min(width, 1000) / 2
    assert float(chance[sample.z, sample.y, sample.x].mean()) == pytest.approx(float(chance.mean()), abs=0.02)


@pytest.mark.parametrize("form", ["probabilities", "softmax logits", "regions"])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize(
    ("border", "interpolation"),
    [("background", ("linear",) * 3), ("repeat", ("nearest", "linear", "linear"))],
)
def test_the_probability_of_single_voxels_is_that_of_whole_slices(
    form: str, temperature: float, border: str, interpolation: tuple[str, ...]
) -> None:
    generator = torch.Generator().manual_seed(4)
    maps = torch.randn(4, 5, 6, 7, generator=generator)
    if form == "probabilities":
        maps = maps.softmax(0)
    each = (0, 9, 3, 9) if form != "regions" else (9, 3, 9, 7)
    found = ClassMaps.of(
        maps,
        Lattice((2.0, 1.0, 0.5), (3.0, 2.0, 2.5), (5, 6, 7)),
        each,
        form,  # type: ignore[arg-type]
        interpolation,
        border,
        temperature,
    )  # type: ignore[arg-type]
    target = Target((1.5, 1.25, 1.1), (0, 0, 0), (13, 12, 19))
    sampler, points = ClassMapSampler(found, target), PointSampler(found, target)
    z, y, x = (torch.randint(n, (300,), generator=generator) for n in target.shape)
    labels = torch.tensor(found.values)[torch.randint(len(found.values), (300,), generator=generator)]
    whole = torch.stack(
        [slab for value in found.values if (slab := sampler.slab(value, 0, target.shape[0])) is not None]
    )
    expected = whole[torch.tensor([found.values.index(int(label)) for label in labels]), z, y, x]
    assert points.chances(labels, z, y, x).numpy() == pytest.approx(expected.numpy(), abs=1e-5)
    assert points.chances(torch.tensor([8]), z[:1], y[:1], x[:1]).item() == 0  # a label that is not known


def test_single_voxels_ask_for_no_slice_that_is_not_at_hand() -> None:
    generator = torch.Generator().manual_seed(6)
    image, tiling = (
        torch.randn(1, 3, 9, 6, 7, generator=generator),
        Tiling((1, 6, 7), (tuple(range(9)), (0,), (0,))),
    )

    def steps(x: torch.Tensor, _: Arithmetic) -> Generator[float, None, torch.Tensor]:
        yield 1.0
        return x[0]

    maps = WindowedMaps(steps, image, tiling, 3, Arithmetic())
    found = ClassMaps.of(
        maps,
        Lattice((0.0, 0.0, 0.0), (3.0, 2.0, 2.5), (9, 6, 7)),
        (0, 1, 2),
        "softmax logits",
        ("nearest", "linear", "linear"),
    )
    target = Target((1.5, 1.0, 1.0), (0, 0, 0), (18, 12, 17))
    points = PointSampler(found, target)
    list(maps.advance(2))
    z, y, x = torch.tensor([0, 1, 3]), torch.tensor([4, 5, 6]), torch.tensor([2, 8, 11])
    everything = ClassMapSampler(
        ClassMaps.of(image[0], found.lattice, (0, 1, 2), found.form, found.interpolation), target
    )
    expected = everything.slab(1, 0, 18)
    assert expected is not None
    assert points.chances(torch.ones(3, dtype=torch.int64), z, y, x).numpy() == pytest.approx(
        expected[z, y, x].numpy(), abs=1e-6
    )


@pytest.mark.parametrize("classes", [2, 5])
def test_entropy_is_scipys(classes: int) -> None:
    chances = np.random.default_rng(5).random((classes, 2, 3, 4)).astype(np.float32)  # of any sum
    chances[:, 0, 0, 0] = 0
    chances[1, 0, 0, 0] = 1
    chances[:, 1, 2, 3] = 0.3
    ours = Entropy()
    for chance in chances:
        ours.add(torch.from_numpy(chance))
    assert ours.value().numpy() == pytest.approx(
        entropy(chances.astype(np.float64), axis=0, base=classes), abs=2e-6
    )
    assert ours.value()[0, 0, 0] == 0 and ours.value()[1, 2, 3] == pytest.approx(1)


def test_who_differs_by_hand() -> None:
    # Three members of weights 2, 1, 1; the last one does not know label 3.
    common = slices([3, 3, 0, 7]).int()
    opinions = [slices([3, 0, 0, 7]).int(), slices([7, 3, 7, 3]).int(), slices([0, 7, 0, 7]).int()]
    known = [frozenset({0, 3, 7}), frozenset({0, 3, 7}), frozenset({0, 7})]
    shares = share_that_differs(opinions, common, (2, 1, 1), known)
    # Voxel 0: 1 of 2 + 1 (the last has no say). Voxel 1: 2 + 1 of 4. Voxel 2: 1 of 4. Voxel 3: 1 of 4.
    assert shares.ravel().tolist() == pytest.approx([1 / 3, 3 / 4, 1 / 4, 1 / 4])
