"""The Mumford-Shah terms against variances, closed gradients and cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ctseg_training.losses import mumford_shah_image, mumford_shah_label

GRIDS = [(6, 7), (4, 5, 6)]


def case(grid: tuple[int, ...], labels: int = 3, channels: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    source = torch.Generator().manual_seed(7)
    p = torch.randn(2, labels, *grid, generator=source).softmax(1)
    return (
        p,
        torch.randn(2, channels, *grid, generator=source),
        torch.randint(0, labels, (2, *grid), generator=source),
    )


def test_image_term_by_hand() -> None:
    """Brightness 0, 2, 4 and a foreground of 0.5, 1, 0.5: both means are 2, both labels cost 0.5 * 4 + 0.5
    * 4.
    """
    foreground = torch.tensor([0.5, 1.0, 0.5])
    p = torch.stack([1 - foreground, foreground])[None]
    assert mumford_shah_image(p, torch.tensor([[[0.0, 2.0, 4.0]]])) == pytest.approx(8 / 3)


@pytest.mark.parametrize("grid", GRIDS)
def test_image_term_of_a_hard_answer_is_the_variance_within_labels(grid: tuple[int, ...]) -> None:
    _, image, target = case(grid)
    within = [
        sum(float(np.var(i[t == k])) * (t == k).sum() for k in range(3)) / t.size
        for i, t in zip(image[:, 0].numpy(), target.numpy(), strict=True)
    ]
    assert mumford_shah_image(F.one_hot(target, 3).movedim(-1, 1).float(), image) == pytest.approx(
        float(np.mean(within)), rel=1e-5
    )


def test_image_terms_gradient_is_the_squared_residual() -> None:
    """The means minimise the term, so what flows through them is 0 and the slope is (I - m_c)^2 / N (and 1
    / batch).
    """
    p, image, _ = case(GRIDS[1])
    p = p.double().requires_grad_()
    torch.autograd.backward(mumford_shah_image(p, image))
    s, i = p.detach().numpy(), image.numpy().astype(float)
    mean = (i * s).sum((2, 3, 4), keepdims=True) / s.sum((2, 3, 4), keepdims=True)
    assert p.grad is not None
    np.testing.assert_allclose(p.grad.numpy(), (i - mean) ** 2 / (2 * 120), rtol=1e-9)


def test_means_follow_the_answer() -> None:
    """To first order held means give the same slopes; the second derivatives tell them apart."""
    p, image, _ = case((1, 2, 3), channels=2)
    inputs = (p.double().requires_grad_(), image.double().requires_grad_())
    assert torch.autograd.gradcheck(mumford_shah_image, inputs)
    assert torch.autograd.gradgradcheck(mumford_shah_image, inputs)


def test_channels_are_averaged() -> None:
    p, image, _ = case(GRIDS[0], channels=2)
    alone = [float(mumford_shah_image(p, image[:, i : i + 1])) for i in range(2)]
    assert mumford_shah_image(p, image) == pytest.approx(sum(alone) / 2, rel=1e-5)


def test_label_predicted_nowhere_costs_nothing_and_has_a_finite_gradient() -> None:
    p, image, _ = case(GRIDS[1], labels=2)
    more = torch.cat([p, torch.zeros_like(p[:, :1])], 1).requires_grad_()
    value = mumford_shah_image(more, image)
    torch.autograd.backward(value)
    assert value.detach() == pytest.approx(float(mumford_shah_image(p, image)), rel=1e-6)
    assert more.grad is not None and torch.isfinite(more.grad).all()


def test_label_term_by_hand() -> None:
    """Foreground 0.5, 0.25 where the label is 1, 0; an absent label's probability counts as background."""
    p = torch.tensor([[[0.5, 0.75], [0.5, 0.25]]])
    assert mumford_shah_label(p, torch.tensor([[1, 0]]), torch.ones(1, 2, dtype=torch.bool)) == pytest.approx(
        0.75 / 2
    )
    three = torch.tensor([[[0.25, 0.25], [0.5, 0.25], [0.25, 0.5]]])
    assert mumford_shah_label(
        three, torch.tensor([[1, 0]]), torch.tensor([[True, True, False]])
    ) == pytest.approx(0.75 / 2)
    assert mumford_shah_label(
        three, torch.tensor([[1, 0]]), torch.ones(1, 3, dtype=torch.bool)
    ) == pytest.approx(1.5 / 2)
    assert mumford_shah_label(three, torch.tensor([[0, 0]]), torch.tensor([[True, False, False]])) == 0


@pytest.mark.parametrize("grid", GRIDS)
def test_label_term_is_the_absolute_difference(grid: tuple[int, ...]) -> None:
    p, _, target = case(grid)
    reference = 2 * F.l1_loss(
        p[:, 1:], F.one_hot(target, 3).movedim(-1, 1)[:, 1:].float()
    )  # two foreground labels are added, not averaged
    assert mumford_shah_label(p, target, torch.ones(2, 3, dtype=torch.bool)) == pytest.approx(
        float(reference), rel=1e-5
    )


def test_label_terms_gradient_is_that_of_finite_differences() -> None:
    p, _, target = case((2, 3, 4))
    target[1][target[1] == 2] = 0
    present = torch.tensor([[True, True, True], [True, True, False]])
    assert torch.autograd.gradcheck(
        lambda x: mumford_shah_label(x.softmax(1), target, present), p.double().log().requires_grad_()
    )


def test_bf16_is_summed_in_float32() -> None:
    source = torch.Generator().manual_seed(2)
    p, image = (
        torch.rand(1, 2, 25, 30, 36, generator=source).softmax(1),
        torch.randn(1, 1, 25, 30, 36, generator=source),
    )
    target = (image[:, 0] > 0).long()
    present = torch.ones(1, 2, dtype=torch.bool)
    for loss, plain in (
        (mumford_shah_image(p.bfloat16(), image.bfloat16()), mumford_shah_image(p, image)),
        (mumford_shah_label(p.bfloat16(), target, present), mumford_shah_label(p, target, present)),
    ):
        assert loss.dtype == torch.float32 and loss == pytest.approx(float(plain), rel=0.01)


def test_an_image_on_another_grid_is_refused() -> None:
    p, image, _ = case(GRIDS[1])
    with pytest.raises(ValueError, match="share batch and grid"):
        mumford_shah_image(p, image[..., :-1])
