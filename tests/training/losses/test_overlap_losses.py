"""Dice, Tversky and Tanimoto against MONAI and against cases worked by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ctseg_training.losses import (
    cross_entropy,
    generalised_dice,
    soft_dice,
    squared_dice,
    tanimoto,
    tanimoto_cross_entropy,
    tversky,
)

LABELS = 4
GRIDS = [(7, 8), (5, 6, 7)]
PER_LABEL = [
    squared_dice,
    tversky,
    tanimoto,
]  # those that count every contoured label, with a voxel or without


def case(grid: tuple[int, ...], batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, a label map in which the second sample has no label 2, everything contoured."""
    source = torch.Generator().manual_seed(11)
    target = torch.randint(0, LABELS, (batch, *grid), generator=source)
    target[-1][target[-1] == 2] = 0
    return (
        torch.randn(batch, LABELS, *grid, generator=source) * 2,
        target,
        torch.ones(batch, LABELS, dtype=torch.bool),
    )


# Two voxels, label 1 on the first: p of the labels 0, 1 (and of a label 2 that occurs nowhere).
TWO = torch.tensor([[[0.5, 0.75], [0.5, 0.25]]])
TWO_TARGET = torch.tensor([[1, 0]])
TWO_PRESENT = torch.ones(1, 2, dtype=torch.bool)


def test_squared_dice_by_hand() -> None:
    """Overlap 0.5, squares 0.25 + 0.0625 and 1."""
    assert squared_dice(TWO, TWO_TARGET, TWO_PRESENT) == pytest.approx(1 - 1 / 1.3125)


def test_squared_dice_with_softened_truth_by_hand() -> None:
    """Truth 0.9, 0.1: overlap 0.45 + 0.025, squares 0.3125 and 0.82, both sides plus 1; it is 0 where the
    answer is the soft truth.
    """
    assert squared_dice(TWO, TWO_TARGET, TWO_PRESENT, smooth=1.0, softness=0.1) == pytest.approx(
        1 - 1.95 / 2.1325
    )
    soft = torch.tensor([[[0.1, 0.9], [0.9, 0.1]]])
    assert squared_dice(soft, TWO_TARGET, TWO_PRESENT, smooth=1.0, softness=0.1) == pytest.approx(0, abs=1e-6)


def test_tversky_by_hand() -> None:
    """TP 0.5, FP 0.25 weighed 0.3, FN 0.5 weighed 0.7."""
    assert tversky(TWO, TWO_TARGET, TWO_PRESENT) == pytest.approx(1 - 1.5 / (0.5 + 0.075 + 0.35 + 1))
    soft = (0.475 + 1) / (0.475 + 0.3 * 0.275 + 0.7 * 0.525 + 1)  # truth 0.9, 0.1
    assert tversky(TWO, TWO_TARGET, TWO_PRESENT, softness=0.1) == pytest.approx(1 - soft)


def test_tversky_punishes_a_missed_voxel_more_than_a_false_alarm() -> None:
    """Paper 4 gives false positives alpha and false negatives beta, the larger."""
    target = torch.tensor([[0, 1, 1, 0]])
    missed = torch.nn.functional.one_hot(torch.tensor([[0, 1, 0, 0]]), 2).movedim(-1, 1).float()
    alarm = torch.nn.functional.one_hot(torch.tensor([[0, 1, 1, 1]]), 2).movedim(-1, 1).float()
    assert tversky(missed, target, TWO_PRESENT) == pytest.approx(1 - 2 / 2.7)
    assert tversky(alarm, target, TWO_PRESENT) == pytest.approx(1 - 3 / 3.3)


def test_tanimoto_by_hand() -> None:
    """Label 0: overlap 0.75, union 0.8125 + 1 - 0.75; label 1: overlap 0.5, union 0.3125 + 1 - 0.5."""
    by_hand = 1 - (0.75 / 1.0625 + 0.5 / 0.8125) / 2
    assert tanimoto(TWO, TWO_TARGET, TWO_PRESENT) == pytest.approx(by_hand, abs=1e-5)
    entropy = -(math.log(0.5) + math.log(0.75)) / 2
    weighted = tanimoto_cross_entropy(TWO, TWO_TARGET, TWO_PRESENT, logits=False)
    assert weighted == pytest.approx(0.6 * by_hand + 0.4 * entropy, abs=1e-5)
    power = tanimoto_cross_entropy(TWO, TWO_TARGET, TWO_PRESENT, logits=False, combine="power")
    assert power == pytest.approx(by_hand**0.6 + entropy**0.4, abs=1e-5)


def test_tanimoto_cross_entropy_takes_the_softmax_of_logits() -> None:
    logits, target, present = case(GRIDS[1])
    p = tanimoto_cross_entropy(logits.softmax(1), target, present, logits=False)
    assert tanimoto_cross_entropy(logits, target, present, logits=True) == pytest.approx(float(p), rel=1e-5)
    with pytest.raises(ValueError, match="'weights' or 'power'"):
        tanimoto_cross_entropy(logits, target, present, logits=True, combine="exponents")  # type: ignore[arg-type]


@pytest.mark.parametrize("combine", ["weights", "power"])
def test_tanimoto_cross_entropy_of_a_perfect_answer_has_a_finite_gradient(combine: str) -> None:
    """Both losses are 0 there, and a power below 1 has an infinite slope at 0."""
    target = torch.tensor([[0, 1, 1, 2]])
    logits = (200 * torch.nn.functional.one_hot(target, 3).movedim(-1, 1)).float().requires_grad_()
    loss = tanimoto_cross_entropy(
        logits, target, torch.ones(1, 3, dtype=torch.bool), logits=True, combine=combine
    )  # type: ignore[arg-type]
    torch.autograd.backward(loss)
    assert loss.detach() < 0.01 and logits.grad is not None and torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("grid", GRIDS)
def test_overlap_losses_are_monais(grid: tuple[int, ...]) -> None:
    monai = pytest.importorskip("monai.losses")
    logits, target, present = case(grid)
    p, truth = logits.softmax(1), target[:, None]
    squares = monai.DiceLoss(
        to_onehot_y=True, include_background=False, squared_pred=True, smooth_nr=1e-8, smooth_dr=1e-8
    )
    assert squared_dice(p, target, present) == pytest.approx(float(squares(p, truth)), abs=1e-6)
    # MONAI's own sum of the two drops the background from both, so its Dice has the weight 0 here.
    entropy = monai.DiceCELoss(to_onehot_y=True, softmax=True, lambda_dice=0.0)
    assert cross_entropy(logits, target, present, logits=True) == pytest.approx(
        float(entropy(logits, truth)), rel=1e-5
    )
    for alpha, beta in ((0.3, 0.7), (0.7, 0.3)):
        reference = monai.TverskyLoss(
            to_onehot_y=True, include_background=False, alpha=alpha, beta=beta, smooth_nr=1.0, smooth_dr=1.0
        )
        assert tversky(p, target, present, alpha=alpha, beta=beta) == pytest.approx(
            float(reference(p, truth)), abs=1e-6
        )
    jaccard = monai.DiceLoss(
        to_onehot_y=True, squared_pred=True, jaccard=True, smooth_nr=2e-5, smooth_dr=2e-5
    )  # it doubles both sides
    assert tanimoto(p, target, present) == pytest.approx(float(jaccard(p, truth)), abs=1e-6)
    generalised = monai.GeneralizedDiceLoss(to_onehot_y=True, w_type="square", smooth_nr=1e-5, smooth_dr=1e-5)
    assert generalised_dice(p, target, present) == pytest.approx(float(generalised(p, truth)), abs=1e-6)


@pytest.mark.parametrize("loss", PER_LABEL)
def test_absent_label_is_background_in_the_overlap_losses(loss: Callable[..., Tensor]) -> None:
    """The loss is the one of a network that has the absent label's probability in its background and knows
    one label less.
    """
    logits, target, present = case(GRIDS[1])
    target[target == 2] = 0
    present[:, 2] = False
    p = logits.softmax(1)
    merged = torch.stack([p[:, 0] + p[:, 2], p[:, 1], p[:, 3]], 1)
    renamed = torch.where(target == 3, 2, target)
    assert loss(p, target, present) == pytest.approx(
        float(loss(merged, renamed, present[:, :3] | True)), abs=1e-6
    )


@pytest.mark.parametrize("loss", PER_LABEL)
def test_only_contoured_labels_of_each_sample_count(loss: Callable[..., Tensor]) -> None:
    """The mean runs over the contoured (sample, label) pairs: label 3 is absent in the second sample only."""
    logits, target, present = case(GRIDS[0])
    target[1][target[1] == 3] = 0
    present[1, 3] = False
    p = logits.softmax(1)
    first, second = (loss(p[i : i + 1], target[i : i + 1], present[i : i + 1]) for i in range(2))
    pairs = present.sum(1) if loss is tanimoto else present[:, 1:].sum(1)
    assert loss(p, target, present) == pytest.approx(
        float((pairs[0] * first + pairs[1] * second) / pairs.sum()), rel=1e-5
    )


@pytest.mark.parametrize("loss", [squared_dice, tversky, tanimoto, soft_dice, generalised_dice])
def test_empty_labels_have_a_value_and_a_finite_gradient(loss: Callable[..., Tensor]) -> None:
    """No foreground at all: 0 for a network that predicts none, more for a false alarm, finite slopes for
    both and with nothing contoured.
    """
    target = torch.zeros(1, 5, 6, dtype=torch.long)
    says_nothing = torch.zeros(1, 3, 5, 6)
    says_nothing[:, 0] = 1
    alarm = says_nothing.clone()
    alarm[:, :, 2, 3] = torch.tensor([0.0, 1.0, 0.0])
    for present in (torch.tensor([[True, True, True]]), torch.tensor([[True, False, False]])):
        values = []
        for p in (says_nothing.clone().requires_grad_(), alarm.clone().requires_grad_()):
            value = loss(p, target, present)
            torch.autograd.backward(value)
            assert p.grad is not None and torch.isfinite(p.grad).all()
            values.append(float(value.detach()))
        assert values[0] == pytest.approx(0, abs=1e-6)
        if not present[0, 1] or loss is soft_dice:  # soft_dice counts labels with voxels only
            assert values[1] == pytest.approx(0, abs=1e-6)
        else:
            assert values[1] > (0.01 if loss is generalised_dice else 0.05)


def test_a_false_alarm_for_an_empty_label_costs_what_the_docstring_says() -> None:
    p = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    empty = torch.zeros(1, 2, dtype=torch.long)
    assert squared_dice(p, empty, TWO_PRESENT) == pytest.approx(1)
    assert tversky(p, empty, TWO_PRESENT) == pytest.approx(1 - 1 / 1.3)
    assert tanimoto(p, empty, TWO_PRESENT) == pytest.approx((1 + 0.5) / 2, abs=1e-4)


@pytest.mark.parametrize("loss", [squared_dice, tversky, tanimoto, soft_dice, generalised_dice])
def test_overlap_gradients_are_those_of_finite_differences(loss: Callable[..., Tensor]) -> None:
    logits, target, present = case((2, 3, 4))
    target[1][target[1] == 1] = 0
    present[1, 1] = False
    assert torch.autograd.gradcheck(
        lambda x: loss(x.softmax(1), target, present), logits.double().requires_grad_()
    )


@pytest.mark.parametrize("combine", ["weights", "power"])
def test_tanimoto_cross_entropy_gradients_are_those_of_finite_differences(combine: str) -> None:
    logits, target, present = case((2, 3, 4))

    def loss(x: Tensor) -> Tensor:
        return tanimoto_cross_entropy(x, target, present, logits=True, combine=combine)  # type: ignore[arg-type]

    assert torch.autograd.gradcheck(loss, logits.double().requires_grad_())


@pytest.mark.parametrize("loss", [squared_dice, tversky, tanimoto, soft_dice, generalised_dice])
def test_overlap_losses_sum_bf16_in_float32(loss: Callable[..., Tensor]) -> None:
    """In bf16 itself a sum of 27,000 voxels would stop growing at 256."""
    source = torch.Generator().manual_seed(5)
    target = torch.randint(0, 2, (1, 25, 30, 36), generator=source)
    p = torch.rand(1, 2, 25, 30, 36, generator=source).softmax(1)
    present = torch.ones(1, 2, dtype=torch.bool)
    half = loss(p.bfloat16(), target, present)
    assert half.dtype == torch.float32
    assert half == pytest.approx(float(loss(p.bfloat16().double(), target, present)), rel=1e-5)
    assert half == pytest.approx(float(loss(p, target, present)), rel=0.01)
