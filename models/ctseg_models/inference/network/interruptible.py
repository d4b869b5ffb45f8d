"""Runs any network unchanged and still stops soon after a cancel: torch reports every operation, and long
ones are cut.

    maps = yield from watched(lambda: network(x), flops=2e11)

Works for modules, TorchScript and anything else that calls torch in its own thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ctseg_models.inference.network.slabs import (
    LARGEST_SLAB,
    ConvolutionCall,
    convolve,
    is_channels_last,
    norm_of_one,
)
from ctseg_models.networks.patched_layers import instance_norm

T = TypeVar("T")
STEP_FLOPS = {"cpu": 1.5e10, "cuda": 2e12}
POLL_SECONDS = 0.2

aten = torch.ops.aten
_CONVOLUTIONS = {aten.convolution.default, aten._convolution.default, aten._convolution.deprecated}
# What torch passes on undivided in inference mode; its parts come back here.
_COMPOSED = {
    aten.conv1d.default,
    aten.conv2d.default,
    aten.conv3d.default,
    aten.conv1d.padding,
    aten.conv2d.padding,
    aten.conv3d.padding,
    aten.conv_transpose1d.default,
    aten.conv_transpose2d.input,
    aten.conv_transpose3d.input,
    aten.linear.default,
    aten.matmul.default,
}
_PRODUCTS = {aten.mm, aten.addmm, aten.bmm, aten.baddbmm}


def watched(
    call: Callable[[], T], *, flops: float = 0, step_flops: float | None = None
) -> Generator[float, None, T]:
    """Run `call` in a thread, without gradients; yields shares of the work and returns the call's value.

    flops : of the whole call, two per multiply-add (see `counted`); 0: not known, the shares are 0.
    step_flops : the largest step; None: 0.1 to 0.4 s. Yields about five times a second. Closing the generator
    returns when the computation has ended, one step later. Raises the call's errors.
    """
    watch = _Watch(step_flops)
    threads = torch.get_num_threads()

    def work() -> T:
        torch.set_num_threads(threads)  # OpenMP has this number for each thread
        with torch.no_grad(), watch, _Norms():
            return call()

    return (yield from in_thread(work, watch.stopped.set, lambda: watch.done / flops if flops else 0.0))


def in_thread(
    call: Callable[[], T], stop: Callable[[], None], done: Callable[[], float] = lambda: 0.0
) -> Generator[float, None, T]:
    """Run `call` in a thread; about five times a second, yields by how much `done()` (0 to 1) has grown.

    Closing the generator calls `stop` and returns when the call has ended. Raises the call's errors.
    """
    ended = threading.Event()
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            errors.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=work, name="ctseg network", daemon=True)
    thread.start()
    reported = 0.0
    try:
        while not ended.wait(POLL_SECONDS):
            share = max(reported, min(1.0, done()))
            yield share - reported
            reported = share
    finally:
        if not ended.is_set():
            stop()
        thread.join()
    if errors:
        raise errors.pop()
    yield 1.0 - reported
    return results.pop()


def counted(call: Callable[[], object]) -> float:
    """The operations of `call` in convolutions and matrix products, two per multiply-add, counted by running
    it.
    """
    watch = _Watch(None)
    with torch.no_grad(), watch, _Norms():
        call()
    return watch.done


class Stopped(Exception):
    """Raised inside a call whose generator was closed; it does not leave this module."""


class _Watch(TorchDispatchMode):
    """Sees every operation of its thread: counts the work, cuts convolutions into slabs, raises Stopped
    between operations.
    """

    def __init__(self, step_flops: float | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.step_flops = step_flops
        self.stopped = threading.Event()
        self.done = 0.0
        self._since_sync = 0.0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        self.check()
        given = kwargs or {}
        if func in _CONVOLUTIONS and not given:
            x = args[0]
            conv = ConvolutionCall.of(x, *args[1:9])
            step = self.step_flops or STEP_FLOPS.get(x.device.type, STEP_FLOPS["cuda"])
            return convolve(conv, x, step, lambda flops: self.add(flops, x.device, step))
        if func in _COMPOSED:
            with self:
                return func.decompose(*args, **given)
        if func is aten.native_batch_norm.default and _is_norm_of_one(*args):
            x, weight, bias, *_, eps = args
            return norm_of_one(x, weight, bias, eps, lambda flops: self.check())
        made = func(*args, **given)
        if func.overloadpacket in _PRODUCTS:
            step = self.step_flops or STEP_FLOPS.get(made.device.type, STEP_FLOPS["cuda"])
            self.add(
                float(flop_registry[func.overloadpacket](*args, **given, out_val=made)), made.device, step
            )
        return made

    def add(self, flops: float, device: torch.device, step: float) -> None:
        """Count work. A GPU runs behind the thread that queues its operations, so it is awaited each step."""
        self.done += flops
        if device.type == "cuda":
            self._since_sync += flops
            if self._since_sync >= step:
                torch.cuda.current_stream(device).synchronize()
                self._since_sync = 0.0
        self.check()

    def check(self) -> None:
        """Raises Stopped when the generator was closed."""
        if self.stopped.is_set():
            raise Stopped


def _is_norm_of_one(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> bool:
    """Whether a native_batch_norm takes its statistics from one sample on the processor, large enough to
    matter.
    """
    large = is_channels_last(x) or x.numel() > LARGEST_SLAB["cpu"]
    return (
        training
        and running_mean is None
        and x.shape[0] == 1
        and x.ndim in (4, 5)
        and x.device.type == "cpu"
        and large
    )


class _Norms(TorchFunctionMode):
    """Instance norms of channels-last maps, which torch would convert to the plain layout and leave there."""

    def __torch_function__(
        self,
        func: Any,
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return (self._instance_norm if func is F.instance_norm else func)(*args, **(kwargs or {}))

    def _instance_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None = None,
        running_var: Tensor | None = None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        use_input_stats: bool = True,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """F.instance_norm."""
        if (
            running_mean is None
            and use_input_stats
            and is_channels_last(x)
            and (weight is None or weight.dtype == x.dtype)
        ):
            return instance_norm(x, weight, bias, eps)
        return F.instance_norm(x, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
