"""The edge and consistency losses of edge-gated networks (paper 2), and the Sobel filter that makes their
ground truth.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ctseg_training.losses.cross_entropy import SMALLEST_PROBABILITY
from ctseg_training.losses.dice import squared_dice_of_maps
from ctseg_training.losses.partial import as_columns, merge_absent, merge_absent_log, one_hot
from ctseg_training.losses.precision import widened


def sobel_magnitude(maps: Tensor) -> Tensor:
    """Length of the Sobel gradient of each channel, in the map's unit per voxel.

    maps : (B, C, Y, X) or (B, C, Z, Y, X). Returns the same shape, float32 or more. Per axis the difference
    (-1, 0, 1) / 2 along it and (1, 2, 1) / 4 along the others: paper 2 names no scale, and with this one a
    unit step is 0.5 in 2D and in 3D. Borders are replicated, so a constant map has no edges. Where the
    gradient is 0 the magnitude's own gradient is taken as 0.
    """
    maps = widened(maps)
    axes = range(2, maps.ndim)
    squares = torch.zeros_like(maps)
    for axis in axes:
        along = maps
        for other in axes:
            along = _difference(along, other) if other == axis else _smooth(along, other)
        squares = squares + along.square()
    steep = squares > 0
    return torch.where(steep, squares, 1.0).sqrt() * steep  # the square root of 0 would have the gradient nan


def _beside(maps: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The voxel before and the voxel after along `axis`, border replicated (no convolution: autocast would
    narrow it).
    """
    length = maps.shape[axis]
    before = torch.cat([maps.narrow(axis, 0, 1), maps.narrow(axis, 0, length - 1)], axis)
    after = torch.cat([maps.narrow(axis, 1, length - 1), maps.narrow(axis, length - 1, 1)], axis)
    return before, after


def _difference(maps: Tensor, axis: int) -> Tensor:
    before, after = _beside(maps, axis)
    return (after - before) / 2


def _smooth(maps: Tensor, axis: int) -> Tensor:
    before, after = _beside(maps, axis)
    return (before + 2 * maps + after) / 4


def edge_truth(target: Tensor, labels: int, *, shared: bool = False) -> Tensor:
    """Edge voxels of each foreground label: where the Sobel magnitude of its mask is above 0.

    target : (B, ...) int64, values below `labels`. Returns (B, labels - 1, ...) bool, or (B, 1, ...) with
    `shared`: an edge of any label. A flat boundary gives the voxel on either side of it. Source: paper 2,
    section 2.1.
    """
    edges = sobel_magnitude(one_hot(target, labels)[:, 1:]) > 0
    return edges.any(1, keepdim=True) if shared else edges


def balanced_cross_entropy(edge_logits: Tensor, edges: Tensor, present: Tensor) -> Tensor:
    """-beta sum over edges of log P(edge) - (1 - beta) sum over the rest of log P(no edge), beta the share of
    non-edge voxels.

    edge_logits : (B, E, ...). edges : (B, E, ...) bool. present : (B, K) bool, E is K - 1 or 1 (see
    `edge_truth`). beta is taken per sample over its contoured edge maps, the sums are divided by their
    voxels, the batch is averaged. A sample without edges has beta = 1 and costs 0. Source: paper 2, eq. 6,
    whose second sum misprints P(e = 1) for P(e = 0); Xie and Tu 2015, arXiv:1504.06375.
    """
    logits = widened(edge_logits)
    counted = (
        _contoured_edges(edge_logits, edges, present)
        .reshape(*edges.shape[:2], *[1] * (edges.ndim - 2))
        .expand_as(edges)
    )
    space = tuple(range(1, edges.ndim))
    voxels = counted.sum(space).clamp_min(1)
    beta = (counted & ~edges).sum(space) / voxels
    on_edges = (F.logsigmoid(logits) * (counted & edges)).sum(space)
    elsewhere = (F.logsigmoid(-logits) * (counted & ~edges)).sum(space)
    return (-(beta * on_edges + (1 - beta) * elsewhere) / voxels).mean()


def edge_dice(edge_logits: Tensor, edges: Tensor, present: Tensor, *, smooth: float = 1e-5) -> Tensor:
    """One minus the squared Dice of the sigmoid edge maps, mean over the contoured ones.

    Arguments as `balanced_cross_entropy`.

    Source: paper 2, eq. 4 and 5. `smooth` is in the numerator too, so no edges where there are none cost 0.
    """
    p = widened(edge_logits).sigmoid()
    return squared_dice_of_maps(p, edges, _contoured_edges(edge_logits, edges, present), smooth=smooth)


def edge_loss(
    edge_logits: Tensor,
    edges: Tensor,
    present: Tensor,
    *,
    dice_weight: float = 1.0,
    entropy_weight: float = 0.5,
) -> Tensor:
    """Weighted sum of `edge_dice` and `balanced_cross_entropy`.

    Source: paper 2, eq. 5, with the weights of its section 3.2.
    """
    return dice_weight * edge_dice(edge_logits, edges, present) + entropy_weight * balanced_cross_entropy(
        edge_logits, edges, present
    )


def _contoured_edges(edge_logits: Tensor, edges: Tensor, present: Tensor) -> Tensor:
    """Which edge maps are known, (B, E) bool. A shared map is known only where every label was contoured."""
    if edge_logits.shape != edges.shape:
        raise ValueError(
            f"The edge logits are {tuple(edge_logits.shape)}, the true edges {tuple(edges.shape)}; they must "
            "agree."
        )
    channels = edge_logits.shape[1]
    if channels == present.shape[1] - 1:
        return present[:, 1:].bool()
    if channels == 1:
        return present.bool().all(1, keepdim=True)
    raise ValueError(
        f"{channels} edge maps for {present.shape[1]} labels: give one for each foreground label, or a "
        "shared one."
    )


def consistency(
    maps: Tensor, target: Tensor, present: Tensor, *, logits: bool, noise: bool = True, tau: float = 1.0
) -> Tensor:
    """Mean over the true edge voxels of the difference between the Sobel magnitudes of predicted and true
    label, mean over the batch.

    maps : (B, K, ...) logits or probabilities that sum to 1 over K, background first. target : (B, ...)
    int64. present : (B, K) bool, absent labels are merged into the background. The predicted label is a
    straight-through Gumbel softmax at temperature `tau`: one-hot in the value, soft in the gradient. Its
    noise comes from torch's global generator (torch.manual_seed repeats it); `noise=False` is the plain
    argmax, for evaluation: it has no slope where the predicted label is flat, so a missed edge is drawn in by
    the noise alone. Every foreground label has its own edge voxels; a sample without any costs 0. Source:
    paper 2, eq. 7 and 8; Jang et al. 2017, arXiv:1611.01144.
    """
    if logits:
        log_p = merge_absent_log(torch.log_softmax(widened(maps), dim=1), present)
    else:
        p = merge_absent(widened(maps), present).clamp_min(SMALLEST_PROBABILITY)
        log_p = p.log().masked_fill(~as_columns(present, maps), -torch.inf)
    predicted = sobel_magnitude(_straight_through(log_p, noise=noise, tau=tau)[:, 1:])
    true = sobel_magnitude(one_hot(target, maps.shape[1])[:, 1:].to(predicted))
    edges = true > 0  # an absent label has no voxel, and so no edge
    space = tuple(range(1, edges.ndim))
    return (((predicted - true).abs() * edges).sum(space) / edges.sum(space).clamp_min(1)).mean()


def _straight_through(log_p: Tensor, *, noise: bool, tau: float) -> Tensor:
    """One-hot of the largest of log p plus Gumbel noise, with the gradient of its softmax at `tau`.

    log_p : (B, K, ...), -inf allowed.
    """
    # Gumbel noise is -log of an exponential draw; its smallest float keeps the logarithm finite.
    gumbel = (
        -torch.empty_like(log_p).exponential_().clamp_min(torch.finfo(log_p.dtype).tiny).log()
        if noise
        else 0.0
    )
    perturbed = (log_p + gumbel) / tau
    soft = perturbed.softmax(1)
    hard = torch.zeros_like(soft).scatter_(1, perturbed.argmax(1, keepdim=True), 1.0)
    return hard + (soft - soft.detach())  # the bracket is exactly 0: the value stays 0 or 1
