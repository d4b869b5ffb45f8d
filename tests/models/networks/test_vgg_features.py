"""VGG-19's first layers against torch's own chain, scipy, and the statistics of the normalised weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from safetensors.torch import load_file, save_file
from scipy.signal import correlate
from torch import Tensor, nn

from ctseg_imaging.errors import BundleError
from ctseg_models.networks.vgg_features import load_vgg_features

NORMALISED = "vgg19-features/vgg19_normalised_conv1_conv2.safetensors"


def torchvision_vgg19() -> nn.Sequential:
    """The beginning of torchvision's `vgg19().features`, random, with the indices it has there."""
    torch.manual_seed(3)
    widths = [(3, 64), (64, 64), None, (64, 128), (128, 128), None]
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.MaxPool2d(2, 2)] if width is None else [nn.Conv2d(*width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


def torchvision_state() -> dict[str, Tensor]:
    state = {f"features.{name}": tensor for name, tensor in torchvision_vgg19().state_dict().items()}
    return {
        **state,
        "features.10.weight": torch.zeros(256, 128, 3, 3),
        "classifier.6.bias": torch.zeros(1000),
    }


def picture(*sides: int) -> Tensor:
    return torch.rand(2, 3, *sides, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.save(torchvision_state(), tmp_path / "vgg19.pth")
    return tmp_path / "vgg19.pth"


def normalised(image: Tensor) -> Tensor:
    """As torchvision's page on the weights describes: subtract the mean, divide by the standard deviation."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (image - mean[:, None, None]) / std[:, None, None]


@pytest.mark.parametrize("form", ["pth", "pth of 2017", "safetensors", "float16"])
def test_torchvisions_layout(tmp_path: Path, form: str) -> None:
    path, state = (
        tmp_path / ("vgg19.safetensors" if form == "safetensors" else "vgg19.pth"),
        torchvision_state(),
    )
    if form == "safetensors":
        save_file(state, path)
    elif form == "float16":
        torch.save({name: tensor.half() for name, tensor in state.items()}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "pth")
    reference, image = torchvision_vgg19(), picture(22, 31)
    pool1, pool2 = load_vgg_features(path)(image)
    tolerance = 1e-2 if form == "float16" else 1e-5
    assert torch.allclose(pool1, reference[:5](normalised(image)), atol=tolerance)
    assert torch.allclose(pool2, reference(normalised(image)), atol=tolerance)


def test_the_papers_sizes(weights: Path) -> None:
    with torch.no_grad():
        pool1, pool2 = load_vgg_features(weights)(torch.rand(1, 3, 224, 224))
    assert pool1.shape == (1, 64, 112, 112) and pool2.shape == (1, 128, 56, 56)


def test_the_normalised_layout_is_what_scipy_makes_of_it(shared_file: Callable[[str], Path]) -> None:
    path = shared_file(NORMALISED)
    w = {name: tensor.double().numpy() for name, tensor in load_file(path).items()}
    image = picture(9, 10)[:1]

    def layer(maps: np.ndarray, name: str) -> np.ndarray:
        kernels, padded = w[f"{name}.weight"], np.pad(maps, ((0, 0), (1, 1), (1, 1)))
        out = np.stack([correlate(padded, kernel, mode="valid", method="direct")[0] for kernel in kernels])
        return np.maximum(out + w[f"{name}.bias"][:, None, None], 0)

    def pool(maps: np.ndarray) -> np.ndarray:
        c, y, x = maps.shape
        return maps[:, : y // 2 * 2, : x // 2 * 2].reshape(c, y // 2, 2, x // 2, 2).max((2, 4))

    bgr = 255 * image[0].double().numpy()[::-1] + w["rgb_to_bgr255.bias"][:, None, None]
    first = pool(layer(layer(bgr, "conv1_1"), "conv1_2"))
    second = pool(layer(layer(first, "conv2_1"), "conv2_2"))
    pool1, pool2 = load_vgg_features(path)(image)
    assert pool1[0].detach().numpy() == pytest.approx(first, abs=1e-4)
    assert pool2[0].detach().numpy() == pytest.approx(second, abs=1e-4)


def test_the_real_weights_see_photographs_as_they_promise(shared_file: Callable[[str], Path]) -> None:
    """The weights were scaled to a mean activation of 1 over ImageNet; without the colours' normalisation
    it would be 0.02.
    """
    features, means = load_vgg_features(shared_file(NORMALISED)), []
    for layer in (features.conv1_1, features.conv1_2, features.conv2_1, features.conv2_2):
        layer.register_forward_hook(lambda _, __, out: means.append(float(out.relu().mean())))
    for photograph in (skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee()):
        with torch.no_grad():
            features(torch.from_numpy(photograph[::2, ::2].astype(np.float32) / 255).movedim(-1, 0)[None])
    averages = np.reshape(means, (3, 4)).mean(0)
    assert averages.min() > 0.6 and averages.max() < 1.5


def test_trainable_is_a_choice_and_never_touches_the_colours(weights: Path) -> None:
    image = picture(12, 14).requires_grad_()
    frozen, trained = load_vgg_features(weights), load_vgg_features(weights, trainable=True)
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    frozen(image)[1].sum().backward()
    assert image.grad is not None and image.grad.any()  # frozen weights let the gradient through
    trained(image)[1].sum().backward()
    assert {name for name, p in trained.named_parameters() if p.grad is not None and p.grad.any()} == {
        f"conv{layer}.{kind}" for layer in ("1_1", "1_2", "2_1", "2_2") for kind in ("weight", "bias")
    }


def test_autocast_and_bf16_pictures_keep_the_digits(weights: Path) -> None:
    features, image = load_vgg_features(weights), picture(12, 14).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        pool1, pool2 = features(image)
    assert pool2.dtype == torch.float32
    assert torch.equal(pool1, features(image.float())[0])


def test_the_hash_is_checked(weights: Path) -> None:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    load_vgg_features(weights, sha256=digest.upper())
    with pytest.raises(BundleError, match="SHA-256"):
        load_vgg_features(weights, sha256="dcbb9e9d" + digest[8:])


def test_nothing_named_or_nothing_there_names_the_option(tmp_path: Path) -> None:
    for path in (None, tmp_path / "none.pth", tmp_path):
        with pytest.raises(BundleError, match=r"name VGG-19 weights with content\.features"):
            load_vgg_features(path)


class Code:
    """A pickle that would run something when it is opened."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return print, ("opened",)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"features.0.weight": torch.zeros(64, 3, 3, 3)}, "features.0.bias is missing"),
        (
            {**torchvision_state(), "features.7.weight": torch.zeros(256, 128, 3, 3)},
            "features.7.weight is missing or not of shape",
        ),
        ({"conv1_1.weight": torch.zeros(64, 3, 3, 3)}, "rgb_to_bgr255.weight is missing"),
        ([1, 2], "holds a list"),
        (Code(), "not a readable state dict"),
    ],
)
def test_other_contents_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: object, sentence: str
) -> None:
    torch.save(content, tmp_path / "vgg19.pth")
    with pytest.raises(BundleError, match=sentence):
        load_vgg_features(tmp_path / "vgg19.pth")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_cut_off_file_is_refused(weights: Path, ending: str, share: float) -> None:
    whole = weights.read_bytes()
    cut = weights.with_name(f"cut{ending}")
    cut.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BundleError, match="not a readable state dict"):
        load_vgg_features(cut)


def test_one_channel_is_refused(weights: Path) -> None:
    with pytest.raises(ValueError, match="repeat a single channel"):
        load_vgg_features(weights)(torch.rand(1, 1, 8, 9))
