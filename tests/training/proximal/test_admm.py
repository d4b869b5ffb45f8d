"""The alternation: the quadratic term by hand and by gradcheck, the update against the u-problem it stands
for.
"""

from __future__ import annotations

import pytest
import torch

from ctseg_training.proximal import DRSettings, edge_weight, quadratic_term, u_update, update
from ctseg_training.proximal import douglas_rachford as dr

CLOSE = DRSettings(tolerance=1e-6, max_iterations=1000)


def sample(
    classes: int, shape: tuple[int, ...] = (9, 13), seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Probabilities s, the label map y that they roughly follow, and a w that sums to 0 over the classes."""
    made = torch.Generator().manual_seed(seed)
    y = (torch.linspace(0, classes - 0.01, shape[-1]).long()).expand(2, *shape).contiguous()
    truth = torch.nn.functional.one_hot(y, classes).movedim(-1, 1).float()
    s = (3 * truth + torch.randn(truth.shape, generator=made)).softmax(1)
    w = 0.1 * torch.randn(truth.shape, generator=made)
    return s, y, w - w.mean(1, keepdim=True)


def test_quadratic_term_by_hand() -> None:
    """Two voxels, three classes: differences of (0.5, 0) and (0.2, -0.1) in the foreground; the
    background's do not count.
    """
    s = torch.tensor([[[0.1, 0.3], [0.8, 0.3], [0.1, 0.4]]])
    u = torch.tensor([[[9.0, 9.0], [0.4, 0.1], [0.1, 0.6]]])
    w = torch.tensor([[[0.0, 5.0], [0.1, 0.0], [0.0, 0.1]]])
    assert float(quadratic_term(s, u, w, 0.5)) == pytest.approx(0.25 * (0.25 + 0.05) / 2)


def test_quadratic_term_has_the_gradient_of_its_definition() -> None:
    s, _, w = sample(3, (3, 4, 5))
    s.requires_grad_()
    quadratic_term(s, torch.zeros_like(w), w, 0.5).backward()
    expected = 0.5 * (s.detach() + w) / (2 * 60)
    expected[:, 0] = 0
    torch.testing.assert_close(s.grad, expected)


def test_two_classes_solved_as_one_map_are_the_two_maps_solved_together() -> None:
    s, y, w = sample(2)
    short = u_update(s, y, w, CLOSE)
    truth = torch.nn.functional.one_hot(y, 2).movedim(-1, 1).float()
    whole = dr.solve_multiclass(s + w, edge_weight(truth, (1, 1)), truth.sum((2, 3)), CLOSE)
    torch.testing.assert_close(short.u, whole.u, rtol=0, atol=2e-3)


@pytest.mark.parametrize(("classes", "shape"), [(2, (9, 13)), (4, (9, 13)), (3, (4, 5, 6))])
def test_update_keeps_areas_and_moves_w_by_what_s_and_u_differ(classes: int, shape: tuple[int, ...]) -> None:
    s, y, w = sample(classes, shape)
    u, following = update(s, y, torch.zeros_like(s), w, CLOSE)
    torch.testing.assert_close(u.sum(1), torch.ones_like(u[:, 0]))
    counted = torch.stack([torch.bincount(labels.flatten(), minlength=classes) for labels in y]).float()
    torch.testing.assert_close(u.flatten(2).sum(2), counted, rtol=0, atol=1e-2)
    torch.testing.assert_close(following, w + s - u)
    assert not s.requires_grad and u.dtype == torch.float32


def test_where_it_begins_does_not_change_where_it_ends() -> None:
    s, y, w = sample(3)
    from_nothing, _ = update(s, y, torch.zeros_like(s), w, CLOSE)
    from_an_end, _ = update(s, y, from_nothing, w, CLOSE)
    torch.testing.assert_close(from_an_end, from_nothing, rtol=0, atol=2e-3)
    first = u_update(s, y, w, CLOSE)
    assert u_update(s, y, w, CLOSE, first.state).iterations < first.iterations


def test_a_label_that_was_merged_away_stays_away() -> None:
    s, y, w = sample(3)
    y[y == 2] = 0
    s = torch.stack([s[:, 0] + s[:, 2], s[:, 1], torch.zeros_like(s[:, 0])], dim=1)
    u, _ = update(s, y, torch.zeros_like(s), torch.zeros_like(w), CLOSE)
    assert float(u[:, 2].max()) < 1e-3


def test_alternating_pulls_s_towards_the_areas() -> None:
    """s follows its own gradient on the quadratic term; after some rounds its sums are those of y, which
    they were far from.
    """
    s, y, w = sample(2)
    s = torch.stack([1 - 0.5 * s[:, 1], 0.5 * s[:, 1]], dim=1)
    area = (y == 1).flatten(1).sum(1)
    before = (s[:, 1].flatten(1).sum(1) - area).abs() / area
    u, w = torch.zeros_like(s), torch.zeros_like(w)
    for _ in range(8):
        u, w = update(s, y, u, w, CLOSE)
        foreground = (u - w)[:, 1].clamp(0, 1) * 0.7 + 0.3 * s[:, 1]
        s = torch.stack([1 - foreground, foreground], dim=1)
    after = (s[:, 1].flatten(1).sum(1) - area).abs() / area
    assert bool((before > 0.2).all()) and bool((after < before / 4).all())
