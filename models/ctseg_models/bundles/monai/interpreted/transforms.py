"""MONAI's transforms before the network that are plain geometry and arithmetic, along the upright view's
axes.

Sources: MONAI 1.6.1, monai/transforms/spatial/array.py and croppad/array.py.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Float, Shape, Triple
from ctseg_imaging.progress import scaled
from ctseg_models.bundles.monai.config.arguments import Arguments, NotHereError
from ctseg_models.bundles.monai.config.components import Component
from ctseg_models.bundles.monai.interpreted.intensities import INTENSITIES, Intensity
from ctseg_models.bundles.monai.interpreted.nearest import Placement
from ctseg_models.bundles.monai.interpreted.spacing import resampled
from ctseg_models.contract.axis_order import AxisOrder
from ctseg_models.contract.lattice import Lattice, ViewBox

if TYPE_CHECKING:
    from ctseg_models.contract.upright import Upright

NEAR_ZERO = 1e-3  # of the image's own units
# What changes nothing here: the file is read, channels come first, numbers are float32.
NOTHING = (
    "LoadImaged",
    "EnsureChannelFirstd",
    "AddChanneld",
    "AsChannelFirstd",
    "EnsureTyped",
    "CastToTyped",
    "ToTensord",
    "ToDeviced",
    "Identityd",
    "DeleteItemsd",
    "SelectItemsd",
)


@dataclass
class State:
    """An image on its way to the network.

    array : (C, z, y, x) in the view. low_mm : of its first voxel's outer face. axes : 3x3, column j the step
    in mm of view axis j. turn : the axes that the transforms refer to. cropped : whether it no longer covers
    the box. placement : the position of the box's own voxels among those they were resampled to.
    """

    array: Any
    low_mm: Triple
    axes: Float
    turn: AxisOrder
    cropped: bool = False
    placement: Placement | None = None

    @property
    def spacing_mm(self) -> Triple:
        """(z, y, x) of the view."""
        z, y, x = (float(step) for step in np.linalg.norm(self.axes, axis=0))
        return z, y, x

    @property
    def lattice(self) -> Lattice:
        """The lattice of the array."""
        z, y, x = self.array.shape[1:]
        return Lattice(self.low_mm, self.spacing_mm, (z, y, x))

    @classmethod
    def of(cls, upright: Upright, box: ViewBox) -> State:
        """The voxels of the volume in `box`, as they are stored, without a copy."""
        start, stop = box.voxels(upright.geometry)
        view = upright.view.apply(upright.volume.array)
        channels = view if view.ndim == 4 else view[None]
        part = channels[(slice(None), *(slice(a, b) for a, b in zip(start, stop, strict=True)))]
        z, y, x = (a * s for a, s in zip(start, upright.geometry.spacing_mm, strict=True))
        return cls(
            part,
            (z, y, x),
            upright.geometry.affine_lps[:3, :3],
            AxisOrder.of_codes(upright.volume.geometry.axis_codes[::-1]),
        )


Transform = Callable[[State], Generator[float, None, None]]


def transforms(component: object) -> list[Transform]:
    """A config's Compose for its only image. Raises NotHereError for what is not supported here."""
    built = []
    for one in components(component):
        if one.name in NOTHING:
            if one.arguments.get("dtype") not in (None, "float32", "float"):
                raise NotHereError(f"{one.target} with dtype {one.arguments['dtype']!r:.40}")
            continue
        if one.name not in _KNOWN:
            raise NotHereError(one.target)
        built.append(_KNOWN[one.name](one))
    if any(
        one.name == "NormalizeIntensityd" and one.arguments.get("nonzero") for one in components(component)
    ):
        built = [partial(_with_true_zeros, transform) for transform in built]
    return built


def _with_true_zeros(transform: Transform, state: State) -> Generator[float, None, None]:
    """The transform; values that it interpolated to about 0 are computed again in float64.

    A later transform tests whether a voxel is exactly 0.
    """
    before = State(state.array, state.low_mm, state.axes, state.turn)
    yield from transform(state)
    if np.array_equal(before.axes, state.axes):
        return
    low, old, new = (np.array(one) for one in (before.low_mm, before.spacing_mm, state.spacing_mm))
    top = np.array(before.array.shape[1:]) - 1
    for source, out in zip(before.array, state.array, strict=True):
        for z, plane in enumerate(out):
            near = np.argwhere(np.abs(plane) < NEAR_ZERO)
            index = np.column_stack([np.full(len(near), z), near])
            place = np.clip((state.low_mm - low + (index + 0.5) * new) / old - 0.5, 0, top)
            first = np.minimum(place.astype(int), top)
            share, value = place - first, np.zeros(len(near))
            for corner in product((0, 1), repeat=3):
                weight = np.prod(np.where(corner, share, 1 - share), axis=1)
                value += weight * source[tuple(np.minimum(first + corner, top).T)]
            plane[tuple(near.T)] = value
        yield 0.0


def components(component: object) -> list[Component]:
    """The members of a Compose (or a list or tuple of them), nested ones in their place.

    Raises NotHereError for anything else.
    """
    if isinstance(component, list | tuple):
        return [one for member in component for one in components(member)]
    if not isinstance(component, Component):
        raise NotHereError("something that is not a transform")
    if component.name == "Compose":
        return components(component.arguments.get("transforms", []))
    return [component]


def spacing_of(component: object) -> Triple | None:
    """The spacing of the transforms along the view's (z, y, x); None where it depends on the volume."""
    turn, wanted = None, None
    for one in components(component):
        if one.name == "Orientationd":
            turn = _turn(one)
        if one.name == "Spacingd":
            wanted = turn.zyx(_pixdim(one)) if turn is not None else None
    return wanted if wanted is not None and min(wanted) > 0 else None


def layout_of(component: object, upright: Upright, box: ViewBox) -> tuple[Shape, AxisOrder]:
    """The size (z, y, x) that the transforms make of a box, and their final axes; no voxel is read."""
    state = State.of(upright, box)
    shape, axes, turn = state.lattice.shape, state.axes, state.turn
    for one in components(component):
        if one.name == "Orientationd":
            turn = _turn(one)
        if one.name == "Spacingd":
            lattice, _ = resampled(shape, axes, turn, turn.zyx(_pixdim(one)))
            shape, axes = lattice.shape, axes / np.linalg.norm(axes, axis=0) * lattice.spacing_mm
    return shape, turn


def _turn(component: Component) -> AxisOrder:
    arguments = Arguments(component, ignored=("labels", "as_closest_canonical"))
    codes = arguments.take("axcodes", None, str)
    arguments.end()
    try:
        return AxisOrder.of_codes(
            "RAS" if codes is None and component.arguments.get("as_closest_canonical") else codes or ""
        )
    except ValueError as error:
        raise NotHereError(f"{component.target} with axcodes {codes!r}") from error


def _orientation(component: Component) -> Transform:
    turn = _turn(component)

    def run(state: State) -> Generator[float, None, None]:
        yield from ()
        state.turn = turn

    return run


def _pixdim(component: Component) -> Triple:
    """Three spacings along the transform's axes; 0 or less: as it is."""
    given = Arguments(component).numbers("pixdim", None)
    if given is None:
        raise NotHereError(f"{component.target} without pixdim")
    listed = given if isinstance(given, tuple) else (given,)
    a, b, c = (*listed, listed[-1], listed[-1])[:3]
    return a, b, c


def _spacing(component: Component) -> Transform:
    wanted = _pixdim(component)
    arguments = Arguments(component, ignored=("pixdim", "dtype", "align_corners", "recompute_affine"))
    mode = arguments.take("mode", "bilinear", str, list, tuple)
    padding = arguments.take("padding_mode", "border", str, list, tuple)
    arguments.end()
    mode, padding = (one[0] if isinstance(one, list | tuple) and one else one for one in (mode, padding))
    if mode not in ("bilinear", "nearest") or padding != "border":
        raise NotHereError(f"{component.target} with mode {mode!r:.20} and padding_mode {padding!r:.20}")

    def run(state: State) -> Generator[float, None, None]:
        yield from _resample(state, state.turn.zyx(wanted), "linear" if mode == "bilinear" else "nearest")

    return run


def _resample(state: State, wanted: Triple, interpolation: Any) -> Generator[float, None, None]:
    """Spacingd; see `resampled`."""
    from ctseg_models.inference.input.preprocess import resample_box

    lattice, placement = resampled(state.lattice.shape, state.axes, state.turn, wanted)
    if lattice.spacing_mm == state.spacing_mm:
        return
    parts = []
    for channel in state.array:
        work = resample_box(channel, state.spacing_mm, lattice, interpolation=interpolation, repeat=True)
        parts.append((yield from scaled(work, 1 / len(state.array))).numpy())
    z, y, x = (a + b for a, b in zip(state.low_mm, lattice.low_mm, strict=True))
    state.array, state.low_mm = np.stack(parts), (z, y, x)
    state.axes = state.axes / np.linalg.norm(state.axes, axis=0) * lattice.spacing_mm
    state.placement = placement if state.array.shape[1:] == placement.to and not state.cropped else None


def _crop_foreground(component: Component) -> Transform:
    arguments = Arguments(
        component, ignored=("source_key", "start_coord_key", "end_coord_key", "mode", "allow_smaller")
    )
    for name in ("margin", "k_divisible"):
        if arguments.take(name, None, int, list, tuple) not in (None, 0 if name == "margin" else 1):
            raise NotHereError(f"{component.target} with {name}")
    arguments.end()

    def run(state: State) -> Generator[float, None, None]:
        yield from ()
        index = np.argwhere((state.array > 0).any(axis=0))
        if not len(index):
            raise BundleError(
                "The image has no voxel above 0 after the model's preprocessing, so there is nothing to "
                "segment; check the image."
            )
        start, stop = index.min(axis=0), index.max(axis=0) + 1
        if (start > 0).any() or (stop < np.array(state.array.shape[1:])).any():
            z, y, x = (
                float(a + b * s) for a, b, s in zip(state.low_mm, start, state.spacing_mm, strict=True)
            )
            state.array = state.array[(slice(None), *(slice(a, b) for a, b in zip(start, stop, strict=True)))]
            state.low_mm, state.cropped = (z, y, x), True

    return run


def _of_values(build: Callable[[Component], Intensity]) -> Callable[[Component], Transform]:
    """A transform of the values alone. Before resampling it needs a float copy of the volume."""

    def made(component: Component) -> Transform:
        change = build(component)

        def run(state: State) -> Generator[float, None, None]:
            import torch

            yield from ()
            state.array = change(torch.from_numpy(np.array(state.array, dtype=np.float32))).numpy()

        return run

    return made


_KNOWN: dict[str, Callable[[Component], Transform]] = {
    "Orientationd": _orientation,
    "Spacingd": _spacing,
    "CropForegroundd": _crop_foreground,
    **{name: _of_values(build) for name, build in INTENSITIES.items()},
}
