"""The figures of paper 5: parameters exactly, operations within 1 %, counted by torch."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from ctseg_imaging.errors import BundleError
from ctseg_models.inference.network.scn_slab_runner import scn_flops, unet_flops
from ctseg_models.networks.catalogue import build
from ctseg_models.networks.scn import SCN, SCNConfig
from ctseg_models.networks.unet import UNet, UNetConfig

LOCALISER, SEGMENTER = UNetConfig(), SCNConfig(outputs=5)


def counted(network: type[torch.nn.Module], config: object, shape: tuple[int, int, int]) -> int:
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:  # shapes only, nothing is computed
        network(config).eval()(torch.empty(1, 1, *shape))
    return counter.get_total_flops()


def parameters(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_localiser_has_the_papers_parameters() -> None:
    assert parameters(UNet(LOCALISER)) == 637_474


def test_the_scn_has_the_papers_parameters_part_by_part() -> None:
    network = SCN(SEGMENTER)
    assert parameters(network) == 1_270_090
    assert parameters(network.local) == 637_573
    assert [parameters(part) for part in network.spatial] == [126_849, *[126_417] * 4]


@pytest.mark.parametrize(
    ("shape", "printed"), [((32, 32, 32), 8_613_207_612), ((256, 80, 80), 430_660_377_660)]
)
def test_the_localisers_operations(shape: tuple[int, int, int], printed: int) -> None:
    assert counted(UNet, LOCALISER, shape) == pytest.approx(printed, rel=0.01)
    assert unet_flops(LOCALISER, shape) == pytest.approx(printed, rel=0.01)


@pytest.mark.parametrize(
    ("shape", "printed"), [((32, 32, 32), 8_797_627_020), ((160, 128, 160), 879_762_672_300)]
)
def test_the_scns_operations(shape: tuple[int, int, int], printed: int) -> None:
    assert counted(SCN, SEGMENTER, shape) == pytest.approx(printed, rel=0.01)
    assert scn_flops(SEGMENTER, shape) == pytest.approx(printed, rel=0.01)


@pytest.mark.parametrize("shape", [(32, 48, 16), (19, 34, 27)])
def test_our_count_is_torchs_to_the_last_operation(shape: tuple[int, int, int]) -> None:
    config = UNetConfig(outputs=3, levels=4, filters=8)
    assert unet_flops(config, shape) == counted(UNet, config, shape)


@pytest.mark.parametrize(
    ("kind", "config", "named"),
    [
        ("unet", {"levels": 65536, "filters": 2}, "levels"),
        ("nnunet", {"filters": [4] * 5000}, "filters"),
        ("nnunet", {"strides": [[1, 1, 1], [1, 8192, 1]]}, "strides"),
    ],
)
def test_a_network_that_takes_minutes_to_build_is_refused(
    kind: str, config: dict[str, object], named: str
) -> None:
    with pytest.raises(BundleError, match=f"cannot be built with {named} above 4096"):
        build(kind, config, in_channels=1, outputs=2)
