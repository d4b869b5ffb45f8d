"""VGG-19 (Simonyan and Zisserman 2014, arXiv:1409.1556) up to its second pooling, for paper 4's loss."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ctseg_imaging.errors import BundleError
from ctseg_models.vetting.hashes import sha256_of

TORCHVISION_NAMES = {
    "conv1_1": "features.0",
    "conv1_2": "features.2",
    "conv2_1": "features.5",
    "conv2_2": "features.7",
}
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB in 0..1, as torchvision's weights expect it
IMAGENET_STD = (0.229, 0.224, 0.225)


class VGGFeatures(nn.Module):
    """(B, 3, Y, X) RGB in 0..1 to the maps after pool1 (B, 64, Y/2, X/2) and pool2 (B, 128, Y/4, X/4).

    Sizes are rounded down. The normalisation that the weights expect is part of forward: a fixed 3x3 matrix
    on the colours and an offset, torchvision's until other weights bring their own. It is never trained.
    Built directly the convolutions are random; `load_vgg_features` gives the trained ones. Computed in the
    precision of the weights also under autocast, since the content loss takes small differences of these
    maps.
    """

    colours: Tensor
    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        std = torch.tensor(IMAGENET_STD)
        self.register_buffer("colours", torch.diag(1 / std))
        self.register_buffer("offset", -torch.tensor(IMAGENET_MEAN) / std)
        self.conv1_1 = nn.Conv2d(3, 64, 3, padding=1)
        self.conv1_2 = nn.Conv2d(64, 64, 3, padding=1)
        self.conv2_1 = nn.Conv2d(64, 128, 3, padding=1)
        self.conv2_2 = nn.Conv2d(128, 128, 3, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        if image.ndim != 4 or image.shape[1] != 3:
            raise ValueError(
                f"The picture is {tuple(image.shape)}; VGG-19 takes (B, 3, Y, X), so repeat a single channel "
                "three times."
            )
        with torch.autocast(image.device.type, enabled=False):
            x = F.conv2d(image.to(self.colours.dtype), self.colours[:, :, None, None], self.offset)
            x = F.relu(self.conv1_2(F.relu(self.conv1_1(x))))
            pool1 = F.max_pool2d(x, 2)
            x = F.relu(self.conv2_2(F.relu(self.conv2_1(pool1))))
            return pool1, F.max_pool2d(x, 2)


def load_vgg_features(
    path: Path | None, *, sha256: str | None = None, trainable: bool = False
) -> VGGFeatures:
    """VGG-19's first four convolutions from a file that the user names; nothing is downloaded.

    path : torchvision's state dict (features.0.weight, ...; as .pth or .safetensors), or the layout with
    layers scaled to unit mean activation (conv1_1.weight, ..., rgb_to_bgr255.weight; .safetensors). sha256 :
    the file's hex digest, compared before the file is opened. trainable : whether the convolutions require a
    gradient (the min-max variant of paper 4, section 5). Raises BundleError if no file is named, or it is
    missing, has another hash or is not VGG-19.
    """
    if path is None:
        raise BundleError(
            "The content loss needs trained features; name VGG-19 weights with content.features "
            "(torchvision's vgg19 state dict, or the one with normalised layers)."
        )
    if not path.is_file():
        raise BundleError(f"{path}: does not exist; name VGG-19 weights with content.features.")
    if sha256 is not None and (found := sha256_of(path)) != sha256.lower():
        raise BundleError(
            f"{path}: its SHA-256 is {found} and not {sha256}; name the right VGG-19 weights or correct the "
            "hash."
        )
    features = VGGFeatures()
    features.load_state_dict(_own_names(_tensors(path), path, features.state_dict()))
    return features.requires_grad_(trainable)


def _tensors(path: Path) -> dict[str, Any]:
    """The file's state dict, read without running code from it."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (
        SafetensorError,
        OSError,
        RuntimeError,
        ValueError,
        EOFError,
        KeyError,
        pickle.UnpicklingError,
    ) as error:
        raise BundleError(
            f"{path}: this is not a readable state dict ({type(error).__name__}); get the VGG-19 weights "
            "again."
        ) from error
    if not isinstance(state, dict):
        raise BundleError(
            f"{path}: holds a {type(state).__name__} and not a state dict; save the network's state_dict() "
            "instead."
        )
    return state


def _own_names(state: dict[str, Any], path: Path, wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """Either layout as a state dict of VGGFeatures with the shapes of `wanted`. Raises BundleError."""
    torchvision = "features.0.weight" in state
    own = dict(wanted)
    for name, tensor in wanted.items():
        layer, _, kind = name.rpartition(".")
        if layer:
            source = f"{TORCHVISION_NAMES[layer] if torchvision else layer}.{kind}"
        elif torchvision:
            continue  # the normalisation that VGGFeatures begins with
        else:
            source = {"colours": "rgb_to_bgr255.weight", "offset": "rgb_to_bgr255.bias"}[name]
        found = state.get(source)
        if (
            not isinstance(found, Tensor)
            or found.numel() != tensor.numel()
            or found.shape[:2] != tensor.shape[:2]
        ):
            raise BundleError(
                f"{path}: {source} is missing or not of shape {tuple(tensor.shape)}, so these are not "
                "VGG-19's weights; name torchvision's vgg19 state dict or the one with normalised layers."
            )
        own[name] = found.float().reshape(tensor.shape)
    return own
