"""A MONAI bundle of supported parts: its transforms, windows and network along the upright view."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import BundleError, first_line
from ctseg_imaging.geometry import Shape
from ctseg_models.bundles.monai.facts import Facts
from ctseg_models.bundles.monai.interpreted.nearest import NearestMaps, Placement
from ctseg_models.bundles.monai.interpreted.output import Windows, output, windows
from ctseg_models.bundles.monai.interpreted.transforms import State, layout_of, transforms
from ctseg_models.contract.axis_order import AxisOrder
from ctseg_models.contract.lattice import Lattice, ViewBox
from ctseg_models.contract.stage import NetworkSteps, Prepared, RunSize

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ctseg_models.contract.arithmetic import Arithmetic
    from ctseg_models.contract.maps import Maps
    from ctseg_models.contract.upright import Upright


class Interpreted:
    """The parts of a config ready to run, with the network in memory.

    outline : the network without memory, for counting operations.
    """

    def __init__(
        self,
        name: str,
        before: Any,
        inferer: Any,
        after: Any,
        facts: Facts,
        network: nn.Module,
        outline: nn.Module | None,
    ) -> None:
        """before, inferer, after : resolved. Raises NotHereError for what is not supported here."""
        self._name, self._before, self._facts, self._network, self._outline = (
            name,
            before,
            facts,
            network,
            outline,
        )
        self._transforms = transforms(before)
        self._windows = windows(inferer)
        self.output = output(after)
        self._order = facts.painting if self.output.form == "regions" else tuple(range(len(facts.values)))
        self.values = tuple(facts.values[k] for k in self._order)
        self._per_voxel: float | None = None

    def prepare(self, upright: Upright, box: ViewBox, _whole: bool) -> Generator[float, None, Prepared]:
        """The transforms before the network, and the windows."""
        import numpy as np
        import torch

        state = State.of(upright, box)
        if len(state.array) != self._facts.channels:
            raise BundleError(
                f"{self._name} takes {self._facts.channels} channels "
                f"({', '.join(self._facts.channel_names)}) and the volume has {len(state.array)}; give one "
                "file per channel (CASE_0000, CASE_0001, ...)."
            )
        for transform in self._transforms:
            yield from transform(state)
        image = torch.from_numpy(np.ascontiguousarray(state.array, dtype=np.float32))[None]
        turned, (start, stop) = self._windows.padded(state.turn.to_network(image))
        a, b, c = turned.shape[2:]
        keep = (
            None
            if (start, stop) == ((0, 0, 0), (a, b, c))
            else _turned_box(start, stop, (a, b, c), state.turn)
        )
        how, placement = self.output.interpolation, state.placement
        own = None
        if how == "nearest" and placement is not None and placement.has_ties:
            own = partial(_at_own_voxels, placement, State.of(upright, box).lattice)
        return Prepared(
            state.turn.back(turned),
            state.lattice,
            self._windows.tiling((a, b, c), state.turn),
            keep,
            (how, how, how),
            "background" if state.cropped else "repeat",
            self.steps(state.turn),
            brought=own,
        )

    def steps(self, turn: AxisOrder) -> NetworkSteps:
        """The network along `turn`."""
        from ctseg_imaging.errors import is_out_of_memory
        from ctseg_models.inference.network.interruptible import watched

        def call(x: Tensor, arithmetic: Arithmetic) -> Tensor:
            import torch

            turned = turn.to_network(x)
            try:
                with torch.autocast(
                    x.device.type, dtype=arithmetic.dtype, enabled=arithmetic.dtype != torch.float32
                ):
                    given = self._network(turned)
            except (RuntimeError, ValueError) as error:
                if is_out_of_memory(error):
                    raise
                sides = " x ".join(str(n) for n in turned.shape[2:])
                sizes = "draw a region of a size that it takes, often a multiple of 16 or 32"
                todo = sizes if self._windows.roi is None else "look for a newer bundle"
                raise BundleError(
                    f"{self._name}: the network cannot compute an array of {sides} voxels along its own axes "
                    f"({first_line(error)}); {todo}."
                ) from error
            maps = given[0] if isinstance(given, list | tuple) else given
            wanted = (1, len(self.values))
            if not isinstance(maps, torch.Tensor) or tuple(maps.shape[:2]) != wanted:
                raise BundleError(
                    f"{self._name}: the network does not give the {wanted[1]} maps that the bundle's "
                    "metadata promises; get the bundle again."
                )
            if maps.shape[2:] != turned.shape[2:]:
                raise BundleError(
                    f"{self._name}: the network does not take an array of {tuple(x.shape[2:])} voxels (z, y, "
                    "x), as its maps have another size; choose another region."
                )
            ordered = (
                maps[0].float() if self.values == self._facts.values else maps[0][list(self._order)].float()
            )
            return turn.back(ordered)

        def steps(x: Tensor, arithmetic: Arithmetic) -> Generator[float, None, Tensor]:
            a, b, c = x.shape[2:]
            return watched(lambda: call(x, arithmetic), flops=self.flops((a, b, c)))

        return steps

    def flops(self, shape: Shape) -> float:
        """Operations for a window of `shape`, two per multiply-add; 0 where the network does not tell
        (TorchScript).
        """
        if self._per_voxel is None:
            outline = self._outline
            self._per_voxel = (
                0.0 if outline is None else _counted_per_voxel(outline, self._windows, self._facts.channels)
            )
        a, b, c = shape
        return self._per_voxel * a * b * c

    def layout(self, upright: Upright, box: ViewBox) -> RunSize:
        """The windows over the transformed box."""
        shape, turn = layout_of(self._before, upright, box)
        if self._windows.roi is None:
            return RunSize(shape, shape)
        own = _of_axes(shape, turn)
        a, b, c = (max(n, w) for n, w in zip(own, self._windows.window(own), strict=True))
        tiling = self._windows.tiling((a, b, c), turn)
        assert tiling is not None
        return RunSize(turn.zyx((a, b, c)), tiling.window, tiling.count)


def _at_own_voxels(placement: Placement, lattice: Lattice, maps: Maps) -> tuple[Maps, Lattice]:
    """The maps at the volume's own voxels."""
    return NearestMaps(maps, placement), lattice


def _turned_box(start: Shape, stop: Shape, size: Shape, turn: AxisOrder) -> tuple[Shape, Shape]:
    """A box of the network's array along the view's axes."""
    ends = [
        (size[axis] - stop[axis], size[axis] - start[axis])
        if axis in turn.flips
        else (start[axis], stop[axis])
        for axis in range(3)
    ]
    low, high = (ends[0][0], ends[1][0], ends[2][0]), (ends[0][1], ends[1][1], ends[2][1])
    return turn.zyx(low), turn.zyx(high)


def _of_axes(shape: Shape, turn: AxisOrder) -> Shape:
    """A (z, y, x) of the view along the network's axes."""
    a, b, c = (shape[axis] for axis in turn.order)
    return a, b, c


def _counted_per_voxel(outline: nn.Module, how: Windows, channels: int) -> float:
    """Operations per voxel of a network without memory, so counting takes no time; 0.0 where that is not
    possible.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    sides = [64 if side <= 0 else side for side in (how.roi or (64, 64, 64))]
    counter = FlopCounterMode(display=False)
    try:
        with counter, torch.no_grad():
            outline(torch.zeros(1, channels, *sides, device="meta"))
    except (RuntimeError, NotImplementedError, ValueError):
        return 0.0
    return float(counter.get_total_flops()) / (sides[0] * sides[1] * sides[2])
