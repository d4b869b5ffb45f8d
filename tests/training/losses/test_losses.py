"""Losses against MONAI, torch's own cross-entropies, and cases worked by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ctseg_models.networks.outputs import NetworkOutput
from ctseg_training.losses import (
    cross_entropy,
    generalised_dice,
    merge_absent,
    sigmoid_cross_entropy,
    soft_dice,
)
from ctseg_training.losses.objective import LossInput, Objective
from ctseg_training.recipes.loss_settings import LossTerm

SHAPE = (7, 8, 9)
LABELS = 4


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(2, LABELS, *SHAPE, generator=torch.Generator().manual_seed(3)) * 3


@pytest.fixture
def target() -> torch.Tensor:
    return torch.randint(0, LABELS, (2, *SHAPE), generator=torch.Generator().manual_seed(4))


EVERY = torch.ones(2, LABELS, dtype=torch.bool)


def test_generalised_dice_is_monais(logits: torch.Tensor, target: torch.Tensor) -> None:
    monai_losses = pytest.importorskip("monai.losses")
    target[1][target[1] == 2] = 0  # a label without a voxel in one sample
    p = logits.softmax(1)
    reference = monai_losses.GeneralizedDiceLoss(
        w_type="square", smooth_nr=1e-5, smooth_dr=1e-5, to_onehot_y=True
    )(p, target[:, None])
    assert generalised_dice(p, target, EVERY) == pytest.approx(float(reference), abs=1e-6)


def test_soft_dice_by_hand() -> None:
    """Label 1: overlap 0.5, sums 0.75 and 1, so 1 - (1 + 1) / (1.75 + 1); label 2 does not occur and does
    not count.
    """
    p = torch.tensor([[[0.5, 0.5], [0.5, 0.25], [0.0, 0.25]]])
    assert soft_dice(p, torch.tensor([[1, 0]]), torch.ones(1, 3, dtype=torch.bool)) == pytest.approx(
        1 - 2 / 2.75
    )


def test_cross_entropy_is_torchs(logits: torch.Tensor, target: torch.Tensor) -> None:
    assert cross_entropy(logits, target, EVERY, logits=True) == pytest.approx(
        float(F.cross_entropy(logits, target)), rel=1e-5
    )
    mild = logits / 3  # no probability under the floor of 1e-7
    assert cross_entropy(mild.softmax(1), target, EVERY, logits=False) == pytest.approx(
        float(F.cross_entropy(mild, target)), rel=1e-5
    )


def test_sigmoid_cross_entropy_is_torchs(logits: torch.Tensor, target: torch.Tensor) -> None:
    reference = F.binary_cross_entropy_with_logits(logits, F.one_hot(target, LABELS).movedim(-1, 1).float())
    assert sigmoid_cross_entropy(logits, target, EVERY) == pytest.approx(float(reference), rel=1e-5)


def test_absent_label_is_background_in_the_softmax_losses(logits: torch.Tensor, target: torch.Tensor) -> None:
    """Marginalised losses equal the plain ones of a network that has the absent label's probability in its
    background.
    """
    target[target == 2] = 0
    present = EVERY.clone()
    present[:, 2] = False
    p = logits.softmax(1)
    merged = torch.stack([p[:, 0] + p[:, 2], p[:, 1], p[:, 3]], 1)
    renamed = torch.where(target == 3, 2, target)
    three = EVERY[:, :3]
    assert generalised_dice(p, target, present) == pytest.approx(
        float(generalised_dice(merged, renamed, three)), abs=1e-6
    )
    assert soft_dice(p, target, present) == pytest.approx(float(soft_dice(merged, renamed, three)), abs=1e-6)
    reference = float(F.nll_loss(merged.log(), renamed))
    assert cross_entropy(logits, target, present, logits=True) == pytest.approx(reference, rel=1e-5)


def test_predicting_an_absent_label_on_background_costs_nothing() -> None:
    """Every voxel is predicted as label 2, which was not contoured, and the case has background there: the
    losses are those of a perfect answer.
    """
    target = torch.zeros(1, *SHAPE, dtype=torch.long)
    logits = torch.full((1, 3, *SHAPE), -20.0)
    logits[:, 2] = 20.0
    present = torch.tensor([[True, True, False]])
    assert cross_entropy(logits, target, present, logits=True) < 1e-6
    assert sigmoid_cross_entropy(logits, target, present) < 1e-6
    assert (
        sigmoid_cross_entropy(logits, target, torch.ones(1, 3, dtype=torch.bool)) > 5
    )  # contoured: a false alarm
    assert generalised_dice(logits.softmax(1), target, present) < 1e-3


def test_sigmoid_background_with_absent_label_is_noisy_or(logits: torch.Tensor, target: torch.Tensor) -> None:
    target[target == 2] = 0
    present = EVERY.clone()
    present[:, 2] = False
    s = logits.double().sigmoid()
    background = 1 - (1 - s[:, 0]) * (1 - s[:, 2])
    terms = [F.binary_cross_entropy(background, (target == 0).double())]
    terms += [F.binary_cross_entropy(s[:, k], (target == k).double()) for k in (1, 3)]
    assert sigmoid_cross_entropy(logits, target, present) == pytest.approx(
        float(torch.stack(terms).mean()), rel=1e-4
    )


def test_each_sample_of_a_batch_has_its_own_labels(logits: torch.Tensor, target: torch.Tensor) -> None:
    target[1][target[1] == 3] = 0
    present = EVERY.clone()
    present[1, 3] = False
    for loss in (generalised_dice, sigmoid_cross_entropy):
        maps = logits.softmax(1) if loss is generalised_dice else logits
        alone = [loss(maps[i : i + 1], target[i : i + 1], present[i : i + 1]) for i in range(2)]
        assert loss(maps, target, present) == pytest.approx(float(sum(alone)) / 2, rel=1e-5)


def test_merging_keeps_the_sum(logits: torch.Tensor) -> None:
    present = torch.tensor([[True, False, True, False], [True, True, True, True]])
    merged = merge_absent(logits.softmax(1), present)
    assert torch.allclose(merged.sum(1), torch.ones(2, *SHAPE), atol=1e-6)
    assert merged[0, 1].abs().max() == 0 and merged[0, 3].abs().max() == 0


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_losses_and_gradients_are_finite_in_bf16_and_without_foreground(scale: float) -> None:
    logits = (torch.randn(1, LABELS, *SHAPE) * scale).bfloat16().requires_grad_()
    target = torch.zeros(1, *SHAPE, dtype=torch.long)
    present = torch.tensor([[True, False, True, True]])
    p = logits.float().softmax(1)
    total = (
        generalised_dice(p, target, present)
        + soft_dice(p, target, present)
        + sigmoid_cross_entropy(logits, target, present)
    )
    total = (
        total
        + cross_entropy(logits, target, present, logits=True)
        + cross_entropy(p, target, present, logits=False)
    )
    torch.autograd.backward(total)
    assert torch.isfinite(total) and logits.grad is not None and torch.isfinite(logits.grad).all()


def test_cross_entropy_gradients_are_those_of_finite_differences(
    logits: torch.Tensor, target: torch.Tensor
) -> None:
    """Maps in float64 stay in it, with an absent label in the second sample."""
    corner, small = target[:, :2, :3, :4].clone(), logits[:, :, :2, :3, :4].double().requires_grad_()
    corner[1][corner[1] == 2] = 0
    present = EVERY.clone()
    present[1, 2] = False
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, corner, present, logits=True), small)
    assert torch.autograd.gradcheck(
        lambda x: cross_entropy(x.softmax(1), corner, present, logits=False), small
    )
    assert torch.autograd.gradcheck(lambda x: sigmoid_cross_entropy(x, corner, present), small)


def test_a_voxel_of_an_absent_label_is_refused(logits: torch.Tensor, target: torch.Tensor) -> None:
    present = EVERY.clone()
    present[0, 1] = False
    with pytest.raises(ValueError, match="not contoured"):
        sigmoid_cross_entropy(logits, target, present)
    with pytest.raises(ValueError, match="background"):
        merge_absent(logits, torch.zeros(2, LABELS, dtype=torch.bool))
    with pytest.raises(ValueError, match="from 0 to 9"):
        generalised_dice(logits.softmax(1), torch.where(target == 1, 9, 0), EVERY)


def test_objective_sums_its_terms(logits: torch.Tensor, target: torch.Tensor) -> None:
    """Deep supervision of the SCN: three outputs, each with its own term."""
    outputs = {
        "merged": NetworkOutput(logits.softmax(1), "probabilities"),
        "local": NetworkOutput(logits, "sigmoid logits"),
        "spatial": NetworkOutput(-logits, "sigmoid logits"),
    }
    terms = [
        LossTerm(kind="generalised_dice", output="merged"),
        LossTerm(kind="sigmoid_cross_entropy", output="local"),
        LossTerm(kind="sigmoid_cross_entropy", output="spatial", weight=0.5),
    ]
    seen = LossInput(torch.zeros(2, 1, *SHAPE), target, EVERY)
    total, values = Objective(tuple(terms))(outputs, seen)
    assert list(values) == [
        "generalised_dice(merged)",
        "sigmoid_cross_entropy(local)",
        "sigmoid_cross_entropy(spatial)",
    ]
    expected = (
        generalised_dice(logits.softmax(1), target, EVERY)
        + sigmoid_cross_entropy(logits, target, EVERY)
        + 0.5 * sigmoid_cross_entropy(-logits, target, EVERY)
    )
    assert total == pytest.approx(float(expected), rel=1e-6)
