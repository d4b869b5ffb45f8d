"""Partially labelled cases: a label that was not contoured is background in that case, though it may be in
the image.

Its map is therefore merged into the background before a loss is taken: where the case has background, the
network may predict background or any label that was not contoured, and the label itself is neither rewarded
nor punished there.
"""

from __future__ import annotations

import torch
from torch import Tensor


def as_columns(present: Tensor, maps: Tensor) -> Tensor:
    """`present` (B, K) as bool (B, K, 1, ..., 1) next to `maps` (B, K, ...).

    Raises ValueError if it does not fit or lacks background.
    """
    if present.shape != maps.shape[:2]:
        raise ValueError(
            f"`present` is {tuple(present.shape)} and the maps have {tuple(maps.shape[:2])} (batch, labels); "
            "they must agree."
        )
    if not bool(present[:, 0].all()):
        raise ValueError("The background (label 0) is always present; set the first column of `present`.")
    return present.bool().reshape(*maps.shape[:2], *[1] * (maps.ndim - 2))


def merge_absent(probabilities: Tensor, present: Tensor) -> Tensor:
    """Absent labels added to the background and set to 0.

    probabilities : (B, K, ...), summing to 1 over K, background first. present : (B, K) bool. The sum over K
    stays.
    """
    keep = as_columns(present, probabilities)
    kept = probabilities * keep
    background = kept[:, :1] + (probabilities * ~keep).sum(dim=1, keepdim=True)
    return torch.cat([background, kept[:, 1:]], dim=1)


def merge_absent_log(log_probabilities: Tensor, present: Tensor) -> Tensor:
    """`merge_absent` for logarithms: absent labels become -inf, the background the logarithm of the sum."""
    keep = as_columns(present, log_probabilities)
    own = keep.clone()  # labels that keep their own map and do not add to the background
    own[:, 0] = False
    background = log_probabilities.masked_fill(own, -torch.inf).logsumexp(dim=1, keepdim=True)
    return torch.cat([background, log_probabilities[:, 1:].masked_fill(~keep[:, 1:], -torch.inf)], dim=1)


def one_hot(target: Tensor, labels: int, *, softness: float = 0.0) -> Tensor:
    """(B, ...) int64 label map to (B, labels, ...) float32.

    Raises ValueError for a value outside 0..labels - 1.

    softness : the truth is `softness` instead of 0, and 1 - softness instead of 1 (paper 4 trains on 0.1 and
    0.9).
    """
    if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < labels:
        raise ValueError(
            f"The label map has values from {int(target.min())} to {int(target.max())}; the network knows 0 "
            f"to {labels - 1}."
        )
    hot = torch.full((target.shape[0], labels, *target.shape[1:]), softness, device=target.device)
    return hot.scatter_(1, target.unsqueeze(1), 1.0 - softness)


def mean_where(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of the values (B, K) that count (B, K, bool), over the whole batch; 0, with a gradient of 0, if
    none does.
    """
    return (values * counted).sum() / counted.sum().clamp_min(1)
