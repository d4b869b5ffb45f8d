"""A TorchScript file as a bundle, run by torch after `scan_torchscript` has checked it: it is a program."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import BundleError, is_out_of_memory
from ctseg_imaging.geometry import Shape
from ctseg_imaging.progress import finish, scaled
from ctseg_models.bundles.single_file.bundle import Network, SingleFileBundle, cast, describe
from ctseg_models.bundles.single_file.side_fields import SideFile

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SUFFIXES = (".ts", ".pt", ".pth", ".torchscript")
PROBE = 32  # voxels a side, for counting the operations of a network that takes any size

# What torch's parser raises for damaged files; MemoryError for an impossible size.
_PARSER_FAULTS = (RuntimeError, ValueError, LookupError, TypeError, AttributeError, EOFError, MemoryError)


class TorchScriptBundle(SingleFileBundle):
    """`NAME.ts` with `NAME.json`."""

    def network(self, device: str) -> Network:
        import torch

        from ctseg_models.inference.network.interruptible import watched
        from ctseg_models.vetting.scan_torchscript import checked_archive

        checked = io.BytesIO(checked_archive(self.path))
        try:
            module: Any = torch.jit.load(checked, map_location=device)  # type: ignore[no-untyped-call]
        except _PARSER_FAULTS as error:
            raise BundleError(
                f"{self.path}: not a readable TorchScript file; export the network with torch.jit again."
            ) from error
        module.eval()
        side, path = self.side, self.path
        kind = next(
            (parameter.dtype for parameter in module.parameters() if parameter.is_floating_point()),
            torch.float32,
        )
        kinds = [
            kind,
            torch.int64,
            torch.int32,
            torch.int16,
            torch.uint8,
        ]  # the first that works is used, as a file does not name its number type

        def call(x: Tensor) -> Tensor:
            errors: list[Exception] = []
            for kind in kinds:
                try:
                    # Otherwise the first runs are spent on compiling.
                    with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
                        output = module(cast(x, kind))
                except (RuntimeError, torch.jit.Error) as error:
                    if is_out_of_memory(error):
                        raise
                    errors.append(error)
                else:
                    kinds[:] = [kind]
                    return _chosen(output, side, path)
            raise BundleError(
                f"{path}: the network does not take an array of {tuple(x.shape)} of {_names(kinds)}; fix "
                "channels, layout, patch or multiple_of in the side file."
            ) from errors[0]

        work = _Work(call, side, device)

        def forward(x: Tensor) -> Generator[float, None, Tensor]:
            flops = yield from work.counting(_spatial(x, side))
            return (yield from watched(lambda: call(x), flops=flops))

        return Network(forward, work, sum(parameter.numel() for parameter in module.parameters()))


def read_torchscript(path: Path) -> TorchScriptBundle:
    """The bundle of a TorchScript file, which is not loaded. Raises BundleError."""
    return TorchScriptBundle(**describe(path, "torchscript"))  # type: ignore[arg-type]


def _names(kinds: Sequence[torch.dtype]) -> str:
    return " or ".join(str(kind).removeprefix("torch.") for kind in kinds)


def _chosen(output: Any, side: SideFile, path: Path) -> Tensor:
    """The output that the side file names. Raises BundleError."""
    from torch import Tensor

    wanted = side.output
    found = output
    if isinstance(output, dict) and wanted.name:
        found = output.get(wanted.name)
    elif isinstance(output, tuple | list):
        found = output[wanted.index] if wanted.index < len(output) else None
    if not isinstance(found, Tensor):
        raise BundleError(
            f"{path}: the network gives no array where the side file looks for it; fix output.index or "
            "output.name."
        )
    return found


def _spatial(x: Tensor, side: SideFile) -> Shape:
    """(slices, rows, columns) of an input array, whatever its layout."""
    start = {"NCDHW": 2, "NDHWC": 1, "CDHW": 1, "DHWC": 0, "DHW": 0, "NCHW": 2, "NHWC": 1}[side.layout]
    if side.layout in ("NCHW", "NHWC"):
        return x.shape[0], x.shape[start], x.shape[start + 1]
    return x.shape[start], x.shape[start + 1], x.shape[start + 2]


class _Work:
    """Operations for an input shape, scaled up from a small one that is counted at first use.

    0 where the network takes one size only. Counted in a thread of its own: an interrupt that reaches Python
    within TorchScript's interpreter becomes a RuntimeError without a message.
    """

    def __init__(self, call: Callable[[Tensor], Tensor], side: SideFile, device: str) -> None:
        self._count: Callable[[], float] = lambda: _per_voxel(call, side, device)
        self._known: float | None = None

    def __call__(self, shape: Shape) -> float:
        return finish(self.counting(shape))

    def counting(self, shape: Shape) -> Generator[float, None, float]:
        """The same as a generator, whose shares are 0; closing it waits for the counting to end."""
        import torch

        from ctseg_models.inference.network.interruptible import in_thread

        if self._known is None:
            threads = torch.get_num_threads()

            def count() -> float:
                torch.set_num_threads(threads)  # OpenMP has this number for each thread
                return self._count()

            self._known = yield from scaled(in_thread(count, lambda: None), 0.0)
        return self._known * prod(shape)


def _per_voxel(call: Callable[[Tensor], Tensor], side: SideFile, device: str) -> float:
    import torch

    from ctseg_models.inference.network.interruptible import counted

    if side.size is not None or side.patch is not None or side.layout != "NCDHW":
        return 0.0
    multiple = (side.multiple_of,) * 3 if isinstance(side.multiple_of, int) else side.multiple_of
    shape = [-(-PROBE // step) * step for step in multiple]
    x = torch.zeros(1, len(side.channels), *shape, device=device)
    try:
        return counted(lambda: call(x)) / prod(shape)
    except BundleError:  # it does not take so small an array; the run itself reports when it takes none
        return 0.0
