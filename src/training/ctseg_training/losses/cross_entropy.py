"""Cross-entropies that handle labels that were not contoured. All sums run in float32 or more."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ctseg_training.losses.partial import as_columns, merge_absent, merge_absent_log, one_hot
from ctseg_training.losses.precision import widened

SMALLEST_PROBABILITY = 1e-7


def cross_entropy(maps: Tensor, target: Tensor, present: Tensor, *, logits: bool) -> Tensor:
    """Mean over voxels of -log p(true label), absent labels merged into the background.

    maps : (B, K, ...) logits (softmax is taken here, stably) or probabilities that sum to 1 over K. target :
    (B, ...) int64. present : (B, K) bool. A voxel whose true label is absent contradicts `present`:
    ValueError.
    """
    _refuse_absent_voxels(target, present)
    if logits:
        log_p = merge_absent_log(torch.log_softmax(widened(maps), dim=1), present)
    else:
        log_p = merge_absent(widened(maps), present).clamp_min(SMALLEST_PROBABILITY).log()
    return -log_p.gather(1, target.unsqueeze(1)).mean()


def sigmoid_cross_entropy(logits: Tensor, target: Tensor, present: Tensor) -> Tensor:
    """Binary cross-entropy of each label's own sigmoid, mean over voxels and over the labels present; mean
    over the batch.

    logits : (B, K, ...). target : (B, ...) int64. present : (B, K) bool. Absent labels have no term of their
    own. The background's term then asks for "background or a label that nobody contoured", p = 1 - prod(1 -
    sigmoid) over those; with every label present it is the plain sigmoid of the background. Source: L_CE of
    paper 5, eq. 2, in its authors' sigmoid form.
    """
    _refuse_absent_voxels(target, present)
    logits = widened(logits)
    keep = as_columns(present, logits)
    truth = one_hot(target, logits.shape[1]).to(logits)
    merged = keep.clone()
    merged[:, 1:] = ~keep[:, 1:]  # the background and the absent labels
    log_none = -(F.softplus(logits) * merged).sum(1)  # log of the probability that the voxel is none of them
    background = torch.where(truth[:, 0] > 0, -_log_one_minus_exp(log_none), -log_none)
    complete = present.bool().all(1)
    plain = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    background = torch.where(complete.reshape(-1, *[1] * (target.ndim - 1)), plain[:, 0], background)
    terms = torch.cat([background[:, None], plain[:, 1:] * keep[:, 1:]], dim=1)
    return (terms.flatten(2).mean(2).sum(1) / present.sum(1)).mean()


def _log_one_minus_exp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x < 0 without cancellation (Maechler 2012); x at 0 is held a little below it."""
    x = x.clamp_max(-SMALLEST_PROBABILITY)
    near = x > -0.6931
    # Both branches get a safe argument, or the gradient of the one not taken would be nan.
    return torch.where(
        near,
        torch.log(-torch.expm1(torch.where(near, x, -0.5))),
        torch.log1p(-torch.exp(torch.where(near, -1.0, x))),
    )


def _refuse_absent_voxels(target: Tensor, present: Tensor) -> None:
    allowed = present.bool().gather(1, target.flatten(1).clamp(0, present.shape[1] - 1))
    if not bool(allowed.all()):
        raise ValueError(
            "A voxel has a label that `present` lists as not contoured; correct labels_present or the label "
            "map."
        )
