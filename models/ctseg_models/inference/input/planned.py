"""A LoadedStage's `layout` and `prepare` from a StagePlan."""

from __future__ import annotations

from collections.abc import Callable, Generator

from ctseg_models.contract.lattice import ViewBox
from ctseg_models.contract.plan import StagePlan
from ctseg_models.contract.stage import Prepare, Prepared, RunSize
from ctseg_models.contract.tiling import Tiling
from ctseg_models.contract.upright import Upright
from ctseg_models.inference.input.preprocess import network_input


def laid_out(plan: StagePlan) -> Callable[[Upright, ViewBox], RunSize]:
    """The sizes of a run as `plan` sets them."""

    def layout(upright: Upright, box: ViewBox) -> RunSize:
        size = plan.lattice(box, divide_evenly=False).shape
        return (
            RunSize(size, size)
            if plan.patch is None
            else RunSize(size, plan.patch, Tiling.spread(size, plan.patch, plan.overlap).count)
        )

    return layout


def planned(plan: StagePlan) -> Prepare:
    """The preparation of the input as `plan` describes it."""

    def prepare(upright: Upright, box: ViewBox, whole: bool) -> Generator[float, None, Prepared]:
        lattice = plan.lattice(box, divide_evenly=whole)
        view = upright.view.apply(upright.volume.array)
        x = yield from network_input(view, upright.geometry.spacing_mm, lattice, plan)
        return Prepared(
            x, lattice, None if plan.patch is None else Tiling.spread(lattice.shape, plan.patch, plan.overlap)
        )

    return prepare
