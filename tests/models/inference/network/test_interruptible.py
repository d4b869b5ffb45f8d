"""Networks run interruptibly against the same networks run plainly; closing stops them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ctseg_imaging.progress import finish
from ctseg_models.inference.network.interruptible import counted, in_thread, watched
from ctseg_models.inference.network.slabs import LARGEST_SLAB, is_channels_last
from ctseg_models.networks.patched_layers import patch_layers
from tests.pace import at_most

LAST = torch.channels_last_3d


def layer(kind: Callable[..., nn.Module], *numbers: int, **options: object) -> nn.Module:
    torch.manual_seed(3)
    return kind(*numbers, **options).eval()


LAYERS = {
    "3d": layer(nn.Conv3d, 3, 5, 3, padding=1),
    "unpadded": layer(nn.Conv3d, 3, 5, 3),
    "same": layer(nn.Conv3d, 3, 4, (3, 1, 5), padding="same"),
    "strided": layer(nn.Conv3d, 3, 4, 3, stride=2, padding=1),
    "strided apart": layer(nn.Conv3d, 3, 4, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1), bias=False),
    "strided far": layer(nn.Conv3d, 3, 4, 2, stride=3),
    "even kernel": layer(nn.Conv3d, 3, 4, 4, padding=2),
    "dilated": layer(nn.Conv3d, 3, 4, 3, padding=4, dilation=4),
    "dilated more than the map": layer(nn.Conv3d, 3, 4, 3, padding=16, dilation=16),
    "grouped": layer(nn.Conv3d, 3, 6, 3, padding=1, groups=3),
    "pointwise": layer(nn.Conv3d, 3, 7, 1),
    "pointwise without bias": layer(nn.Conv3d, 3, 7, 1, bias=False),
    "pointwise strided": layer(nn.Conv3d, 3, 7, 1, stride=2),
    "transposed": layer(nn.ConvTranspose3d, 3, 4, 2, stride=2),
    "transposed without bias": layer(nn.ConvTranspose3d, 3, 4, (1, 2, 2), stride=(1, 2, 2), bias=False),
    "transposed, overlapping": layer(nn.ConvTranspose3d, 3, 4, 3, stride=2, padding=1, output_padding=1),
    "transposed, with gaps": layer(nn.ConvTranspose3d, 3, 4, 2, stride=3, padding=1, output_padding=2),
    "transposed, dilated": layer(nn.ConvTranspose3d, 3, 6, 3, stride=2, padding=2, dilation=2, groups=3),
}


def run(call: Callable[[], Tensor], step_flops: float | None = 2e4) -> Tensor:
    return finish(watched(call, step_flops=step_flops))


@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
@pytest.mark.parametrize("shape", [(1, 3, 12, 14, 16), (2, 3, 11, 13, 9)])
@pytest.mark.parametrize("name", LAYERS)
def test_a_convolution_in_slabs_is_the_convolution(
    name: str, shape: tuple[int, ...], layout: torch.memory_format
) -> None:
    module = LAYERS[name]
    x = torch.randn(shape).contiguous(memory_format=layout)
    expected = module(x).detach()
    got = run(lambda: module(x))
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    assert is_channels_last(got) == is_channels_last(x)
    torch.testing.assert_close(run(lambda: module(x), None), expected, atol=1e-5, rtol=1e-5)  # in one piece


@pytest.mark.parametrize(
    "module",
    [
        layer(nn.Conv2d, 3, 4, 3, padding=1),
        layer(nn.Conv2d, 3, 4, 3, stride=2, padding=2, dilation=2),
        layer(nn.ConvTranspose2d, 3, 4, 3, stride=2, padding=1, output_padding=1),
    ],
)
@pytest.mark.parametrize("batch", [1, 7])
def test_a_flat_convolution_too(module: nn.Module, batch: int) -> None:
    x = torch.randn(batch, 3, 31, 22)
    torch.testing.assert_close(run(lambda: module(x)), module(x).detach(), atol=1e-5, rtol=1e-5)


class Small(nn.Module):
    """A U-Net of one shortcut with other networks' layers: instance, group and batch norm, pooling,
    upsampling, softmax.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv3d(1, 6, 3, padding=1), nn.InstanceNorm3d(6, affine=True), nn.LeakyReLU(inplace=True)
        )
        self.down = nn.Sequential(nn.MaxPool3d(2), nn.Conv3d(6, 8, 3, padding=1), nn.BatchNorm3d(8), nn.ELU())
        self.up = nn.ConvTranspose3d(8, 6, 2, stride=2)
        self.last = nn.Sequential(
            nn.Conv3d(12, 6, 3, padding=1), nn.GroupNorm(2, 6), nn.PReLU(), nn.Conv3d(6, 3, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(torch.cat([x, self.up(self.down(x))], dim=1)).softmax(dim=1)


@pytest.fixture(scope="module")
def small() -> Small:
    torch.manual_seed(7)
    return Small().eval()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("way", ["eager", "channels last", "scripted", "traced"])
def test_a_network_under_watch_gives_the_same(
    small: Small, way: str, context: Callable[[], torch.no_grad]
) -> None:
    x = torch.randn(2, 1, 12, 14, 18)
    expected = small(x).detach()
    network: Callable[[Tensor], Tensor] = {
        "eager": lambda: small,
        "scripted": lambda: torch.jit.script(small),
        "traced": lambda: torch.jit.trace(small, x),
        "channels last": lambda: Small().eval().to(memory_format=LAST),
    }[way]()
    if way == "channels last":
        network.load_state_dict(small.state_dict())  # type: ignore[attr-defined]

    def call() -> Tensor:
        with context():
            return network(x)

    torch.testing.assert_close(run(call), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
@pytest.mark.parametrize("largest", [500, 1 << 25])
def test_the_instance_norm_of_a_large_map_is_taken_in_slabs(
    largest: int,
    layout: torch.memory_format,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(LARGEST_SLAB, "cpu", largest)
    norm = nn.InstanceNorm3d(6, affine=True)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = (torch.randn(2, 6, 11, 7, 8) * 20 + torch.arange(11).reshape(-1, 1, 1) * 40).contiguous(
        memory_format=layout
    )
    torch.testing.assert_close(run(lambda: norm(x)), norm(x).detach(), atol=1e-5, rtol=1e-5)
    assert is_channels_last(run(lambda: norm(x))) == is_channels_last(x)
    half = x.bfloat16()
    torch.testing.assert_close(
        run(lambda: patch_layers(norm)(half)).float(), norm(x).detach(), atol=0.05, rtol=0.05
    )


def test_the_work_is_counted() -> None:
    network = nn.Sequential(
        nn.Conv3d(2, 5, 3, padding=1), nn.Conv3d(5, 4, 1), nn.ConvTranspose3d(4, 3, 2, stride=2)
    )
    x = torch.randn(1, 2, 6, 7, 8)
    by_hand = 2 * 6 * 7 * 8 * (27 * 2 * 5 + 5 * 4 + 4 * 3 * 8)
    assert counted(lambda: network(x)) == by_hand
    assert counted(lambda: torch.jit.script(network)(x)) == by_hand
    assert counted(lambda: torch.randn(3, 5) @ torch.randn(5, 7)) == 2 * 3 * 5 * 7
    assert counted(lambda: nn.functional.linear(torch.randn(2, 3, 5), torch.randn(4, 5))) == 2 * 6 * 5 * 4


def test_the_shares_are_those_of_the_work() -> None:
    convolution = nn.Conv3d(8, 8, 3, padding=1)
    x = torch.randn(1, 8, 14, 14, 14)
    go_on = threading.Event()

    def call() -> Tensor:
        halfway = convolution(x)
        go_on.wait(30)
        return convolution(halfway)

    work = watched(call, flops=2 * counted(lambda: convolution(x)))
    done = next(work)
    while done < 0.1:
        done += next(work)
    assert done == pytest.approx(0.5)
    go_on.set()
    assert done + sum(work) == pytest.approx(1)


@pytest.mark.parametrize("scripted", [False, True])
def test_closing_ends_the_computing(scripted: bool) -> None:
    class Endless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv3d(4, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(1_000_000):
                x = self.conv(x)
            return x

    network = torch.jit.script(Endless()) if scripted else Endless()
    x = torch.zeros(1, 4, 24, 24, 24)
    work = watched(lambda: network(x))
    next(work)
    running = [thread for thread in threading.enumerate() if thread.name == "ctseg network"]
    assert len(running) == 1
    with at_most(1):
        work.close()
    assert not running[0].is_alive()


def test_closing_ends_a_single_large_convolution() -> None:
    convolution = nn.Conv3d(16, 16, 5, padding=2)  # some 10 s of work
    x = torch.zeros(1, 16, 128, 128, 128)
    work = watched(lambda: convolution(x), step_flops=5e9)
    next(work)
    running = [thread for thread in threading.enumerate() if thread.name == "ctseg network"]
    with at_most(1.5):
        work.close()
    assert running and not any(thread.is_alive() for thread in running)


def test_what_the_call_raises_comes_out() -> None:
    with pytest.raises(RuntimeError, match="expected input"):
        finish(watched(lambda: LAYERS["3d"](torch.zeros(1, 2, 4, 4, 4))))
    with pytest.raises(KeyError):
        finish(watched(lambda: {}["no"]))


def test_the_thread_computes_with_the_threads_and_without_the_gradients_of_its_caller() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert finish(watched(torch.get_num_threads)) == 2
    finally:
        torch.set_num_threads(before)
    assert finish(watched(torch.get_num_threads)) == before
    assert not finish(watched(torch.is_grad_enabled))


def test_another_kind_of_work_is_stopped_its_own_way() -> None:
    stop = threading.Event()
    ended = threading.Event()

    def call() -> int:
        stop.wait(30)
        ended.set()
        return 3

    work = in_thread(call, stop.set)
    next(work)
    work.close()
    assert ended.is_set()
    assert finish(in_thread(lambda: 4, stop.set)) == 4
