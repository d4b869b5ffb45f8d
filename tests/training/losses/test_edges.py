"""Edges and their losses against SciPy, MONAI, torch's Gumbel softmax and cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from ctseg_training.losses import (
    balanced_cross_entropy,
    consistency,
    edge_dice,
    edge_loss,
    edge_truth,
    sobel_magnitude,
)

LABELS = 3
GRIDS = [(7, 8), (5, 6, 7)]
BINARY = torch.ones(1, 2, dtype=torch.bool)


def case(grid: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, blobs of two labels, everything contoured."""
    source = torch.Generator().manual_seed(21)
    smooth = ndimage.gaussian_filter(
        torch.randn(2, LABELS, *grid, generator=source).numpy(), (0, 0, *[1.5] * len(grid))
    )
    target = torch.from_numpy(smooth).argmax(1)
    return torch.randn(2, LABELS, *grid, generator=source), target, torch.ones(2, LABELS, dtype=torch.bool)


def scipy_magnitude(map_: np.ndarray) -> np.ndarray:
    """SciPy's Sobel filters, divided by 2 for the difference and by 4 for each smoothing."""
    axes = range(map_.ndim)
    squares = np.sum([ndimage.sobel(map_, axis, mode="nearest") ** 2 for axis in axes], axis=0)
    return np.asarray(np.sqrt(squares) / (2 * 4 ** (map_.ndim - 1)))


@pytest.mark.parametrize("grid", GRIDS)
def test_sobel_is_scipys(grid: tuple[int, ...]) -> None:
    maps = torch.randn(2, 3, *grid, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    reference = np.stack(
        [np.stack([scipy_magnitude(channel) for channel in sample]) for sample in maps.numpy()]
    )
    np.testing.assert_allclose(sobel_magnitude(maps).numpy(), reference, atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS)
def test_sobel_of_a_ramp_is_its_slope_and_of_a_step_half(grid: tuple[int, ...]) -> None:
    """In map units per voxel, in 2D and 3D alike; a replicated border halves the difference."""
    ramp = torch.arange(grid[-1]).float().expand(1, 1, *grid)
    expected = torch.full_like(ramp, 1.0)
    expected[..., 0] = expected[..., -1] = 0.5
    assert torch.allclose(sobel_magnitude(ramp), expected)
    step = sobel_magnitude((ramp >= 3).float())
    assert torch.equal(step > 0, (ramp == 2) | (ramp == 3)) and torch.allclose(
        step[..., 2:4], torch.tensor(0.5)
    )


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_constant_map_has_no_edges_and_a_finite_gradient(value: float) -> None:
    maps = torch.full((1, 2, 4, 5, 6), value, requires_grad=True)
    magnitude = sobel_magnitude(maps)
    torch.autograd.backward(magnitude.sum())
    assert magnitude.abs().max() == 0 and maps.grad is not None and maps.grad.abs().max() == 0


def test_sobel_gradient_is_that_of_finite_differences() -> None:
    for grid in ((4, 5), (2, 3, 4)):
        maps = torch.randn(
            1, 2, *grid, generator=torch.Generator().manual_seed(8), dtype=torch.float64, requires_grad=True
        )
        assert torch.autograd.gradcheck(sobel_magnitude, maps)


@pytest.mark.parametrize("grid", GRIDS)
def test_edge_truth_is_where_scipys_sobel_is_not_zero(grid: tuple[int, ...]) -> None:
    _, target, _ = case(grid)
    edges = edge_truth(target, LABELS)
    assert edges.shape == (2, LABELS - 1, *grid) and edges.dtype == torch.bool
    for sample, truth in zip(edges.numpy(), target.numpy(), strict=True):
        for label in (1, 2):
            np.testing.assert_array_equal(
                sample[label - 1], scipy_magnitude((truth == label).astype(float)) > 0
            )
    assert torch.equal(edge_truth(target, LABELS, shared=True)[:, 0], edges[:, 0] | edges[:, 1])
    assert 0 < edges.sum() < edges.numel()


def test_balanced_cross_entropy_by_hand() -> None:
    """One edge voxel of four, beta 3/4: the edge has P(1) = 1/2, the others P(0) = 1/4; all divided by
    four voxels.
    """
    logits = torch.tensor([[[[0.0, math.log(3)], [math.log(3), math.log(3)]]]])
    edges = torch.tensor([[[[True, False], [False, False]]]])
    by_hand = (0.75 * math.log(2) + 0.25 * 3 * math.log(4)) / 4
    assert balanced_cross_entropy(logits, edges, BINARY) == pytest.approx(by_hand)


def test_balanced_cross_entropy_rewards_confident_non_edges() -> None:
    """With the second sum as the paper prints it, log P(e = 1), the right answer would cost most."""
    edges = torch.tensor([[[[True, False], [False, False]]]])
    logits = torch.where(edges, 20.0, -20.0)
    assert (
        balanced_cross_entropy(logits, edges, BINARY)
        < 1e-6
        < 1
        < balanced_cross_entropy(-logits, edges, BINARY)
    )


@pytest.mark.parametrize("grid", GRIDS)
def test_balanced_cross_entropy_is_torchs_with_weights(grid: tuple[int, ...]) -> None:
    """Each sample has the beta of its own edges."""
    logits, target, present = case(grid)
    edges = edge_truth(target, LABELS)
    assert edges[0].float().mean() != edges[1].float().mean()
    expected = 0.0
    for one, e in zip(logits[:, 1:], edges, strict=True):
        beta = 1 - e.float().mean()
        expected += (
            float(F.binary_cross_entropy_with_logits(one, e.float(), weight=torch.where(e, beta, 1 - beta)))
            / 2
        )
    assert balanced_cross_entropy(logits[:, 1:], edges, present) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("grid", GRIDS)
def test_edge_dice_is_monais_and_edge_loss_the_weighted_sum(grid: tuple[int, ...]) -> None:
    monai = pytest.importorskip("monai.losses")
    logits, target, present = case(grid)
    logits, edges = logits[:, 1:], edge_truth(target, LABELS)
    reference = float(
        monai.DiceLoss(sigmoid=True, squared_pred=True, smooth_nr=1e-5, smooth_dr=1e-5)(logits, edges.float())
    )
    assert edge_dice(logits, edges, present) == pytest.approx(reference, abs=1e-6)
    expected = reference + 0.5 * float(balanced_cross_entropy(logits, edges, present))
    assert edge_loss(logits, edges, present) == pytest.approx(expected, abs=1e-6)


def test_edge_maps_of_absent_labels_do_not_count() -> None:
    logits, target, present = case(GRIDS[1])
    target[target == 2] = 0
    present[:, 2] = False
    edges = edge_truth(target, LABELS)
    maps = logits[:, 1:].clone().requires_grad_()
    value = edge_loss(maps, edges, present)
    torch.autograd.backward(value)
    alone = edge_loss(logits[:, 1:2], edges[:, :1], present[:, :2])
    assert value.detach() == pytest.approx(float(alone), rel=1e-5)
    assert maps.grad is not None and maps.grad[:, 1].abs().max() == 0 < maps.grad[:, 0].abs().max()


def test_shared_edge_map_counts_where_every_label_was_contoured() -> None:
    logits, target, present = case(GRIDS[1])
    target[1][target[1] == 2] = 0
    present[1, 2] = False
    edges = edge_truth(target, LABELS, shared=True)
    first = edge_dice(logits[:1, :1], edges[:1], present[:1])
    assert edge_dice(logits[:, :1], edges, present) == pytest.approx(float(first), rel=1e-5)
    half = (
        balanced_cross_entropy(logits[:1, :1], edges[:1], present[:1]) / 2
    )  # the other sample of the batch adds 0
    assert balanced_cross_entropy(logits[:, :1], edges, present) == pytest.approx(float(half), rel=1e-5)


def test_edge_maps_that_do_not_fit_are_refused() -> None:
    logits, target, present = case(GRIDS[1])
    edges = edge_truth(target, LABELS)
    with pytest.raises(ValueError, match="must agree"):
        edge_loss(logits[:, :1], edges, present)
    with pytest.raises(ValueError, match="3 edge maps for 3 labels"):
        edge_loss(logits, torch.zeros_like(logits, dtype=torch.bool), present)


def test_edge_losses_without_edges_and_with_nothing_else_are_finite() -> None:
    """Eq. 6 has a weight of 0 for the non-edges of a sample without edges; the Dice punishes what is drawn
    there.
    """
    for edges in (torch.zeros(1, 1, 3, 4, 5, dtype=torch.bool), torch.ones(1, 1, 3, 4, 5, dtype=torch.bool)):
        for scale in (0.0, 1e4, -1e4):
            logits = torch.full((1, 1, 3, 4, 5), scale, requires_grad=True)
            assert balanced_cross_entropy(logits, edges, BINARY) == 0
            value = edge_loss(logits, edges, BINARY)
            torch.autograd.backward(value)
            assert torch.isfinite(value) and logits.grad is not None and torch.isfinite(logits.grad).all()
    none = torch.zeros(1, 1, 3, 4, 5, dtype=torch.bool)
    assert edge_dice(torch.full((1, 1, 3, 4, 5), -1e4), none, BINARY) == 0
    assert edge_dice(torch.zeros(1, 1, 3, 4, 5), none, BINARY) == pytest.approx(1, abs=1e-5)


def test_edge_gradients_are_those_of_finite_differences() -> None:
    logits, target, present = case((2, 3, 4))
    target[1][target[1] == 1] = 0
    present[1, 1] = False
    edges = edge_truth(target, LABELS)
    assert torch.autograd.gradcheck(
        lambda x: edge_loss(x, edges, present), logits[:, 1:].double().requires_grad_()
    )


def half_plane(grid: tuple[int, ...], start: int) -> Tensor:
    return (torch.arange(grid[-1]) >= start).long().expand(1, *grid)


def confident(target: Tensor, labels: int, value: float = 30.0) -> Tensor:
    return value * F.one_hot(target, labels).movedim(-1, 1).float()


@pytest.mark.parametrize("grid", GRIDS)
def test_consistency_by_hand(grid: tuple[int, ...]) -> None:
    """True edges at 2 and 3, both 0.5; a boundary one voxel off has its edges at 3 and 4: half the edge
    voxels differ by 0.5.
    """
    truth = half_plane(grid, 3)
    off = confident(half_plane(grid, 4), 2)
    assert consistency(off, truth, BINARY, logits=True, noise=False) == pytest.approx(0.25)
    assert consistency(off.softmax(1), truth, BINARY, logits=False, noise=False) == pytest.approx(0.25)
    assert consistency(confident(truth, 2), truth, BINARY, logits=True, noise=False) == 0


def magnitude_by_convolution(maps: Tensor) -> Tensor:
    """The Sobel magnitude written as one 3D convolution an axis, its gradient kept off 0 by a constant
    under the root.
    """
    total = torch.zeros_like(maps)
    for axis in range(3):
        parts = [
            torch.tensor([-0.5, 0.0, 0.5]) if axis == i else torch.tensor([0.25, 0.5, 0.25]) for i in range(3)
        ]
        kernel = torch.einsum("i,j,k->ijk", *parts).expand(maps.shape[1], 1, 3, 3, 3).to(maps)
        total = total + F.conv3d(F.pad(maps, (1,) * 6, mode="replicate"), kernel, groups=maps.shape[1]) ** 2
    return (total + 1e-24).sqrt()


@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_consistency_is_torchs_straight_through_gumbel_softmax(tau: float) -> None:
    """Value and gradient with torch's own sampler under the same seed, and a Sobel by convolution."""
    logits, target, present = case(GRIDS[1])
    logits = logits.double().requires_grad_()
    torch.manual_seed(5)
    value = consistency(logits, target, present, logits=True, tau=tau)
    (gradient,) = torch.autograd.grad(value, logits)
    torch.manual_seed(5)
    sampled = F.gumbel_softmax(logits, tau=tau, hard=True, dim=1)[:, 1:]
    true = magnitude_by_convolution(F.one_hot(target, LABELS).movedim(-1, 1)[:, 1:].double())
    edges = true > 1e-9
    difference = (magnitude_by_convolution(sampled) - true).abs()
    reference = torch.stack([difference[i][edges[i]].mean() for i in range(2)]).mean()
    (reference_gradient,) = torch.autograd.grad(reference, logits)
    assert value.detach() == pytest.approx(float(reference.detach()), rel=1e-9)
    assert gradient.abs().max() > 0 and torch.allclose(gradient, reference_gradient, rtol=1e-6, atol=1e-12)


def test_noise_is_repeated_by_the_seed_and_left_out_on_demand() -> None:
    logits, target, present = case(GRIDS[1])
    values = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        values.append(float(consistency(logits, target, present, logits=True)))
    assert values[0] == values[1] != values[2]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    quiet = consistency(logits, target, present, logits=True, noise=False)
    assert torch.equal(before, torch.get_rng_state())
    hard = F.one_hot(logits.argmax(1), LABELS).movedim(-1, 1).double()
    true = magnitude_by_convolution(F.one_hot(target, LABELS).movedim(-1, 1).double())
    edges = true[:, 1:] > 1e-9
    difference = (magnitude_by_convolution(hard) - true)[:, 1:].abs()
    assert quiet == pytest.approx(
        float(torch.stack([difference[i][edges[i]].mean() for i in range(2)]).mean()), rel=1e-5
    )


def test_logits_and_probabilities_mean_the_same() -> None:
    logits, target, present = case(GRIDS[0])
    present[1, 2] = False
    target[1][target[1] == 2] = 0
    values = []
    for maps, are_logits in ((logits, True), (logits.softmax(1), False)):
        torch.manual_seed(9)
        values.append(float(consistency(maps.double(), target, present, logits=are_logits)))
    assert values[0] == pytest.approx(values[1], rel=1e-9)


@pytest.mark.parametrize("are_logits", [True, False])
def test_consistency_merges_absent_labels_and_stays_finite(are_logits: bool) -> None:
    """Label 2 predicted where the case has background is the perfect answer if nobody contoured label 2."""
    truth = half_plane(GRIDS[1], 3)
    maps = confident(torch.where(truth == 1, 1, 2), LABELS)
    maps = (maps if are_logits else maps.softmax(1)).requires_grad_()
    present = torch.tensor([[True, True, False]])
    value = consistency(maps, truth, present, logits=are_logits, noise=False)
    torch.autograd.backward(value)
    assert value == 0 and maps.grad is not None and torch.isfinite(maps.grad).all()


def test_consistency_without_edges_is_zero_with_a_zero_gradient() -> None:
    logits, _, present = case(GRIDS[1])
    logits.requires_grad_()
    value = consistency(logits, torch.zeros(2, *GRIDS[1], dtype=torch.long), present, logits=True)
    torch.autograd.backward(value)
    assert value == 0 and logits.grad is not None and logits.grad.abs().max() == 0


def test_consistency_draws_a_boundary_to_the_true_one_by_its_noise() -> None:
    """One voxel off, the argmax is flat where an edge is missed, so only the noisy gradient moves it."""
    truth = half_plane(GRIDS[0], 3)
    logits = confident(half_plane(GRIDS[0], 4), 2, value=1.0).requires_grad_()
    quiet = consistency(logits, truth, BINARY, logits=True, noise=False)
    (gradient,) = torch.autograd.grad(quiet, logits)
    assert quiet.detach() == pytest.approx(0.25) and gradient.abs().max() == 0
    torch.manual_seed(0)
    for _ in range(100):
        (gradient,) = torch.autograd.grad(consistency(logits, truth, BINARY, logits=True), logits)
        logits = (logits - 10 * gradient).detach().requires_grad_()
    assert consistency(logits, truth, BINARY, logits=True, noise=False).detach() < 0.15


def test_edge_losses_sum_bf16_in_float32() -> None:
    source = torch.Generator().manual_seed(2)
    target = ndimage.gaussian_filter(torch.randn(1, 25, 30, 36, generator=source).numpy(), (0, 2, 2, 2)) > 0
    truth = torch.from_numpy(target).long()
    logits = torch.randn(1, 2, 25, 30, 36, generator=source)
    edges = edge_truth(truth, 2)
    for half, plain in (
        (edge_loss(logits[:, 1:].bfloat16(), edges, BINARY), edge_loss(logits[:, 1:], edges, BINARY)),
        (
            consistency(logits.bfloat16(), truth, BINARY, logits=True, noise=False),
            consistency(logits, truth, BINARY, logits=True, noise=False),
        ),
    ):
        assert half.dtype == torch.float32 and half == pytest.approx(float(plain), rel=0.01)
