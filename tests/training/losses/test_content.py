"""The content loss of paper 4: by hand, by its gradient, and whether it teaches a network with real VGG-19
features.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ctseg_models.networks.dense_unet import DenseUNet, DenseUNetConfig
from ctseg_models.networks.vgg_features import VGGFeatures, load_vgg_features
from ctseg_training.losses.content import content_loss, soften

VGG = "vgg19-features/vgg19_normalised_conv1_conv2.safetensors"


def drawn(*shape: int, seed: int = 2) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_two_maps_by_hand() -> None:
    """One red pixel of 1.0 and one of 0.5. Masked by (1, 0) and (0.5, 0.5): (1, 0) and (0.5, 0.25),
    differences 0.5 and -0.25.

    First map, the picture itself: (0.25 + 0.0625) / 6 elements. Second map, twice the sum over it: (2 *
    0.25)^2 / 1.
    """
    image = torch.zeros(1, 3, 1, 2)
    image[0, 0, 0] = torch.tensor([1.0, 0.5])
    truth, predicted = torch.tensor([[[[1.0, 0.0]]]]), torch.tensor([[[[0.5, 0.5]]]])
    loss = content_loss(lambda x: (x, 2 * x.sum((1, 2, 3), keepdim=True)), image, truth, predicted)
    assert float(loss) == pytest.approx(0.3125 / 6 + 0.25)


def test_the_batch_is_a_mean() -> None:
    torch.manual_seed(0)
    features, image, truth, predicted = (
        VGGFeatures(),
        drawn(2, 3, 8, 9),
        drawn(2, 1, 8, 9, seed=3),
        drawn(2, 1, 8, 9, seed=4),
    )
    alone = [
        content_loss(features, image[i : i + 1], truth[i : i + 1], predicted[i : i + 1]).item()
        for i in range(2)
    ]
    assert alone[0] != pytest.approx(alone[1], rel=0.01)
    assert content_loss(features, image, truth, predicted).item() == pytest.approx(sum(alone) / 2, rel=1e-4)


def test_gradient() -> None:
    """By finite differences, of the prediction, of the truth and of the features' weights."""
    kernel = drawn(2, 3, 3, 3).double().requires_grad_()
    truth, predicted = (drawn(2, 1, 4, 5, seed=seed).double().requires_grad_() for seed in (3, 4))
    image = drawn(2, 3, 4, 5).double()

    def loss(kernel: Tensor, truth: Tensor, predicted: Tensor) -> Tensor:
        return content_loss(lambda x: (x.square(), torch.tanh(F.conv2d(x, kernel))), image, truth, predicted)

    assert torch.autograd.gradcheck(loss, (kernel, truth, predicted))


def test_min_max() -> None:
    """A step of the prediction down the gradient lowers the loss, a step of trained features up the
    gradient raises it.
    """
    torch.manual_seed(0)
    features, image, truth = (
        VGGFeatures(),
        drawn(1, 3, 12, 14),
        soften((drawn(1, 1, 12, 14, seed=3) > 0.8).float()),
    )
    predicted = torch.full_like(truth, 0.5).requires_grad_()
    before = content_loss(features, image, truth, predicted)
    before.backward()
    assert predicted.grad is not None
    assert (
        content_loss(features, image, truth, predicted - predicted.grad / predicted.grad.norm() * 0.1)
        < before
    )
    with torch.no_grad():
        for weight in features.parameters():
            assert weight.grad is not None and weight.grad.any()
            weight += 1e-2 * weight.grad / weight.grad.norm()
    assert content_loss(features, image, truth, predicted) > before


def test_where_the_picture_is_black_the_mask_does_not_matter() -> None:
    """Also shows that the colours are normalised after the mask: before it, black would not stay 0."""
    torch.manual_seed(0)
    features, image, truth = VGGFeatures(), drawn(1, 3, 12, 14), drawn(1, 1, 12, 14, seed=3)
    image[..., :5] = 0
    predicted = drawn(1, 1, 12, 14, seed=4).requires_grad_()
    content_loss(features, image, truth, predicted).backward()
    assert predicted.grad is not None
    assert not predicted.grad[..., :5].any() and predicted.grad[..., 5:].any()


def test_empty_masks() -> None:
    torch.manual_seed(0)
    features, image, empty = VGGFeatures(), drawn(1, 3, 8, 9), torch.zeros(1, 1, 8, 9)
    assert content_loss(features, image, empty, empty).item() == 0
    some = torch.full_like(empty, 0.3).requires_grad_()
    loss = content_loss(features, image, empty, some)
    loss.backward()
    assert loss > 0 and some.grad is not None and some.grad.isfinite().all()


def test_bf16_pictures_and_bool_truth_are_summed_in_float32() -> None:
    torch.manual_seed(0)
    features, image, predicted = (
        VGGFeatures(),
        drawn(1, 3, 24, 20).bfloat16(),
        drawn(1, 1, 24, 20, seed=4).bfloat16(),
    )
    truth = drawn(1, 1, 24, 20, seed=3) > 0.5
    half = content_loss(features, image, truth, predicted)
    assert half.dtype == torch.float32
    full = content_loss(features.double(), image.double(), truth.double(), predicted.double())
    assert full.dtype == torch.float64
    assert half.item() == pytest.approx(full.item(), rel=1e-5)


def test_soften() -> None:
    for truth in (torch.tensor([0.0, 1.0]), torch.tensor([0, 1]), torch.tensor([False, True])):
        assert soften(truth).tolist() == pytest.approx([0.1, 0.9])
    assert soften(torch.tensor([0.0, 1.0]), background=0.0, foreground=0.8).tolist() == pytest.approx(
        [0.0, 0.8]
    )


def test_other_shapes_are_refused() -> None:
    image, mask = drawn(2, 3, 8, 9), drawn(2, 1, 8, 9)
    for truth, predicted in ((mask[:, 0], mask), (mask, mask[:1]), (mask, mask.expand(2, 2, 8, 9))):
        with pytest.raises(ValueError, match="both masks"):
            content_loss(lambda x: (x,), image, truth, predicted)


def test_it_teaches_a_network(shared_file: Callable[[str], Path]) -> None:
    """Bright spots in a noisy picture; the only teacher is the content loss with real features, no loss
    compares the masks.
    """
    torch.manual_seed(0)
    features, network = load_vgg_features(shared_file(VGG)), DenseUNet(DenseUNetConfig(filters=8, poolings=1))
    mask = torch.zeros(2, 1, 26, 30)
    mask[0, 0, 8:14, 9:17] = mask[0, 0, 19:22, 22:25] = mask[1, 0, 11:18, 20:25] = 1
    image = (0.3 + 0.4 * mask + 0.05 * torch.randn(2, 1, 26, 30)).expand(-1, 3, -1, -1).clamp(0, 1)
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-2)
    losses = []
    for _ in range(40):
        loss = content_loss(features, image, soften(mask), torch.sigmoid(network(image)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    found = torch.sigmoid(network.eval()(image)) > 0.5
    dice = 2 * (found & (mask > 0)).sum() / (found.sum() + mask.sum())
    assert losses[-1] < 0.1 * losses[0]
    assert dice > 0.9
