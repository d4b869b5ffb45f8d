"""The Siamese content loss of paper 4 (Mac et al. 2020): pictures masked with truth and prediction, compared
by a network's features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Features = Callable[[Tensor], Sequence[Tensor]]


def content_loss(features: Features, image: Tensor, truth: Tensor, predicted: Tensor) -> Tensor:
    """Mean squared difference of each map of features(image * truth) and features(image * predicted), summed
    over the maps.

    features : (B, 3, Y, X) to one or more maps, f_c of the paper (pool1 and pool2 of VGG-19, whose own
    normalisation of the colours comes after the mask). image : (B, 3, Y, X) in 0..1. truth, predicted : (B,
    1, Y, X) in 0..1, the truth best softened (`soften`), the prediction after its sigmoid. The gradient
    reaches the prediction and, where they are trained, the features' weights: the network minimises this
    loss, features that are trained against it maximise it. Masks without foreground are allowed. Raises
    ValueError if the shapes do not fit. Source: paper 4, eq. 1.
    """
    expected = (image.shape[0], 1, *image.shape[2:])
    if truth.shape != expected or predicted.shape != expected:
        raise ValueError(
            f"The masks are {tuple(truth.shape)} and {tuple(predicted.shape)}, the picture "
            f"{tuple(image.shape)}; both masks have to be {expected}."
        )
    image = _at_least_float32(image)
    of_truth = features(image * _at_least_float32(truth))
    of_prediction = features(image * _at_least_float32(predicted))
    differences = zip(of_truth, of_prediction, strict=True)
    return torch.stack(
        [(_at_least_float32(a) - _at_least_float32(b)).square().mean() for a, b in differences]
    ).sum()


def soften(truth: Tensor, *, background: float = 0.1, foreground: float = 0.9) -> Tensor:
    """A mask of 0 and 1 as float with `background` and `foreground` in their place, so a sigmoid can reach
    them.

    Source: paper 4, section 3.2.2.
    """
    return background + (foreground - background) * _at_least_float32(truth)


def _at_least_float32(x: Tensor) -> Tensor:
    """Half precision, integers and bool as float32, because differences of features cancel."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
