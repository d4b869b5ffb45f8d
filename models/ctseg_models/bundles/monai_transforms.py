"""MONAI's transforms before the network, as far as they are plain geometry and arithmetic, along the axes of a volume's upright view.

Sources: MONAI 1.6.1, monai/transforms/spatial/array.py (Spacing), intensity/array.py, croppad/array.py.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Float, Shape, Triple
from ctseg_models.bundles.monai_nearest import Placement
from ctseg_models.bundles.monai_reader import Component
from ctseg_models.inference.lattice import Box, Lattice, Turn

if TYPE_CHECKING:
    from torch import Tensor

    from ctseg_models.inference.upright import Upright

Numbers = tuple[float, ...]
NEAR_ZERO = 1e-3
LARGEST_SIDE = 4096  # voxels
SAME_SPACING = 1e-3  # mm: closer than this MONAI leaves an axis as it is
# What changes nothing here: reading is done, channels lie first, numbers are float32.
NOTHING = ("LoadImaged", "EnsureChannelFirstd", "AddChanneld", "AsChannelFirstd", "EnsureTyped", "CastToTyped", "ToTensord", "ToDeviced",
           "Identityd", "DeleteItemsd", "SelectItemsd")


class NotHereError(ValueError):
    """A transform or an option that this file does not know; MONAI itself may."""


class Arguments:
    """The arguments of a component, taken one by one; what is left over in the end was not understood."""

    def __init__(self, component: Component, ignored: Iterable[str] = ()) -> None:
        self._left = {name: value for name, value in component.arguments.items() if name not in (*ignored, "keys", "allow_missing_keys")}
        self.component = component

    def take(self, name: str, default: Any, *kinds: type) -> Any:
        """The argument, of one of `kinds` or None. Raises NotHereError."""
        value = self._left.pop(name, default)
        if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            raise NotHereError(f"{self.component.target} with {name} {value!r:.60}")
        return value

    def numbers(self, name: str, default: float | None) -> Numbers | float | None:
        """A number, or one for each axis or channel."""
        value = self.take(name, default, int, float, list, tuple)
        if isinstance(value, list | tuple):
            if not value or not all(isinstance(one, int | float) for one in value):
                raise NotHereError(f"{self.component.target} with {name} {value!r:.60}")
            return tuple(float(one) for one in value)
        return value if value is None else float(value)

    def end(self) -> None:
        """Raises NotHereError for arguments that nobody took, unless they switch something off."""
        for name, value in self._left.items():
            if value not in (None, False):
                raise NotHereError(f"{self.component.target} with {name}")


@dataclass
class State:
    """An image on its way to the network. array : (C, z, y, x) in the view; low_mm : of its first voxel's outer face. axes : 3x3, column j
    the step in mm of view axis j. turn : the axes that the transforms speak of. cropped : whether it does not reach as far as the box any
    more. placement : how the box's own voxels lie among those they were resampled to."""

    array: Any
    low_mm: Triple
    axes: Float
    turn: Turn
    cropped: bool = False
    placement: Placement | None = None

    @property
    def spacing_mm(self) -> Triple:
        """(z, y, x) of the view."""
        z, y, x = (float(step) for step in np.linalg.norm(self.axes, axis=0))
        return z, y, x

    @property
    def lattice(self) -> Lattice:
        """Where the array lies."""
        z, y, x = self.array.shape[1:]
        return Lattice(self.low_mm, self.spacing_mm, (z, y, x))

    @classmethod
    def of(cls, upright: Upright, box: Box) -> State:
        """The voxels of the volume in `box`, as they are stored: no copy."""
        start, stop = box.voxels(upright.geometry)
        view = upright.view.apply(upright.volume.array)
        channels = view if view.ndim == 4 else view[None]
        part = channels[(slice(None), *(slice(a, b) for a, b in zip(start, stop, strict=True)))]
        z, y, x = (a * s for a, s in zip(start, upright.geometry.spacing_mm, strict=True))
        return cls(part, (z, y, x), upright.geometry.affine_lps[:3, :3], Turn.of_codes(upright.volume.geometry.axis_codes[::-1]))


Transform = Callable[[State], Generator[float, None, None]]


def transforms(component: object) -> list[Transform]:
    """What a config's Compose does to its only image. Raises NotHereError for what is not known here."""
    built = []
    for one in components(component):
        if one.name in NOTHING:
            if one.arguments.get("dtype") not in (None, "float32", "float"):
                raise NotHereError(f"{one.target} with dtype {one.arguments['dtype']!r:.40}")
            continue
        if one.name not in _KNOWN:
            raise NotHereError(one.target)
        built.append(_KNOWN[one.name](one))
    if any(one.name == "NormalizeIntensityd" and one.arguments.get("nonzero") for one in components(component)):
        built = [partial(_with_true_zeros, transform) for transform in built]
    return built


def _with_true_zeros(transform: Transform, state: State) -> Generator[float, None, None]:
    """The transform; what it interpolated to about 0 is computed again in float64, as a later one asks whether a voxel is exactly 0."""
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
    """The members of a Compose (or a list of them), nested ones in their place. Raises NotHereError for anything else."""
    if isinstance(component, list):
        return [one for member in component for one in components(member)]
    if not isinstance(component, Component):
        raise NotHereError("something that is no transform")
    if component.name == "Compose":
        return components(component.arguments.get("transforms", []))
    return [component]


def spacing_of(component: object) -> Triple | None:
    """The spacing that the transforms ask for, along the view's (z, y, x); None where that depends on the volume."""
    turn, wanted = None, None
    for one in components(component):
        if one.name == "Orientationd":
            turn = _turn(one)
        if one.name == "Spacingd":
            wanted = turn.zyx(_pixdim(one)) if turn is not None else None
    return wanted if wanted is not None and min(wanted) > 0 else None


def layout_of(component: object, upright: Upright, box: Box) -> tuple[Shape, Turn]:
    """The size (z, y, x) that the transforms make of a box of a volume, without a look at its voxels, and the axes they end in."""
    state = State.of(upright, box)
    shape, axes, turn = state.lattice.shape, state.axes, state.turn
    for one in components(component):
        if one.name == "Orientationd":
            turn = _turn(one)
        if one.name == "Spacingd":
            lattice, _ = resampled(shape, axes, turn, turn.zyx(_pixdim(one)))
            shape, axes = lattice.shape, axes / np.linalg.norm(axes, axis=0) * lattice.spacing_mm
    return shape, turn


def _turn(component: Component) -> Turn:
    arguments = Arguments(component, ignored=("labels", "as_closest_canonical"))
    codes = arguments.take("axcodes", None, str)
    arguments.end()
    try:
        return Turn.of_codes("RAS" if codes is None and component.arguments.get("as_closest_canonical") else codes or "")
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
    from ctseg_models.inference.preprocess import resample_box

    lattice, placement = resampled(state.lattice.shape, state.axes, state.turn, wanted)
    if lattice.spacing_mm == state.spacing_mm:
        return
    parts = []
    for channel in state.array:
        work = resample_box(channel, state.spacing_mm, lattice, interpolation=interpolation, repeat=True)
        while True:
            try:
                yield next(work) / len(state.array)
            except StopIteration as end:
                parts.append(end.value.numpy())
                break
    z, y, x = (a + b for a, b in zip(state.low_mm, lattice.low_mm, strict=True))
    state.array, state.low_mm = np.stack(parts), (z, y, x)
    state.axes = state.axes / np.linalg.norm(state.axes, axis=0) * lattice.spacing_mm
    state.placement = placement if state.array.shape[1:] == placement.to and not state.cropped else None


def resampled(shape: Shape, axes: Float, turn: Turn, wanted: Triple) -> tuple[Lattice, Placement]:
    """The lattice that Spacingd makes of an array, mm from the array's own first face. wanted : along the view's (z, y, x), 0: as it is.

    As many voxels as their centres fit between the first and the last one, rounded. The centre of the first voxel (as the transform
    counts) stays. Where the axes are at right angles only up to rounding, as in every oblique NIfTI file, MONAI takes another way:
    index n / 2 stays, which lies half a voxel behind the middle (monai/data/utils.py, compute_shape_offset). Raises BundleError for an
    absurd spacing.
    """
    backwards = np.isin(range(3), [turn.order[axis] for axis in turn.flips])
    order = list(turn.order)
    old = np.linalg.norm(axes, axis=0)
    new = np.array([want if want > 0 and abs(want - have) > SAME_SPACING else have for want, have in zip(wanted, old, strict=True)])
    n = np.array(shape)
    count = np.maximum(1, np.round((n - 1) * old / new + 1).astype(int))
    if count.max() > LARGEST_SIDE:
        raise BundleError(f"The bundle asks for voxels of {' x '.join(f'{s:.3g}' for s in new)} mm (z, y, x), which makes an array of "
                          f"{' x '.join(str(side) for side in count)}; choose a smaller region, or another bundle.")
    step = _steps((axes * np.where(backwards, -1, 1))[:, order], new[order])
    start = np.zeros(3) if _has_a_first_corner(n[order], step) else count[order] / 2 - step @ (n[order] / 2)
    first = np.zeros(3)  # where the first old voxel lies, in mm after the first new one
    first[order] = start * new[order]
    low = old / 2 - first - new / 2
    low = np.where(backwards, n * old - low - count * new, low)
    z, y, x = (float(one) for one in low)
    dz, dy, dx = (float(one) for one in new)
    to = (int(count[0]), int(count[1]), int(count[2]))
    return Lattice((z, y, x), (dz, dy, dx), to), Placement(step, start, shape, to, turn)


def _steps(have: Float, new: Float) -> Float:
    """3x3: old voxels in new ones, as MONAI computes it (data/utils.py, zoom_affine), with its rounding. have : columns in mm."""
    upper = np.linalg.cholesky(have.T @ have).T
    rotation = have @ np.linalg.inv(upper)
    return np.asarray(np.linalg.solve(rotation @ np.diag(np.sign(np.diag(upper)) * new), have), np.float64)


def _has_a_first_corner(n: NDArray[np.int64], step: Float) -> bool:
    """Whether MONAI finds a corner voxel that no other one lies before, seen along the new axes: to 1e-8 voxels, which rounding decides."""
    corners = step @ np.array(np.meshgrid(*((0.0, count - 1.0) for count in n), indexing="ij")).reshape(3, -1)
    return bool((np.abs((corners[:, None, :] - corners[:, :, None]).min(axis=2)) <= 1e-8).all(axis=0).any())


def _crop_foreground(component: Component) -> Transform:
    arguments = Arguments(component, ignored=("source_key", "start_coord_key", "end_coord_key", "mode", "allow_smaller"))
    for name in ("margin", "k_divisible"):
        if arguments.take(name, None, int, list, tuple) not in (None, 0 if name == "margin" else 1):
            raise NotHereError(f"{component.target} with {name}")
    arguments.end()

    def run(state: State) -> Generator[float, None, None]:
        yield from ()
        index = np.argwhere((state.array > 0).any(axis=0))
        if not len(index):
            raise BundleError("The image has no voxel above 0 after the model's preprocessing, so there is nothing to segment; "
                              "check the image.")
        start, stop = index.min(axis=0), index.max(axis=0) + 1
        if (start > 0).any() or (stop < np.array(state.array.shape[1:])).any():
            z, y, x = (float(a + b * s) for a, b, s in zip(state.low_mm, start, state.spacing_mm, strict=True))
            state.array = state.array[(slice(None), *(slice(a, b) for a, b in zip(start, stop, strict=True)))]
            state.low_mm, state.cropped = (z, y, x), True

    return run


Intensity = Callable[["Tensor"], "Tensor"]


def _of_values(build: Callable[[Component], Intensity]) -> Callable[[Component], Transform]:
    """A transform of the values alone. What comes before resampling needs a float copy of the volume."""

    def made(component: Component) -> Transform:
        change = build(component)

        def run(state: State) -> Generator[float, None, None]:
            import torch

            yield from ()
            state.array = change(torch.from_numpy(np.array(state.array, dtype=np.float32))).numpy()

        return run

    return made


def _scale_range(component: Component) -> Intensity:
    arguments = Arguments(component, ignored=("dtype",))
    low, high = arguments.take("a_min", None, int, float), arguments.take("a_max", None, int, float)
    to_low, to_high = arguments.take("b_min", None, int, float), arguments.take("b_max", None, int, float)
    clip = arguments.take("clip", False, bool)
    arguments.end()
    if low is None or high is None or low == high or (clip and to_low is None and to_high is None):
        raise NotHereError(f"{component.target} without a range")

    def change(x: Tensor) -> Tensor:
        x = x.sub_(low).div_(high - low)
        if to_low is not None and to_high is not None:
            x = x.mul_(to_high - to_low).add_(to_low)
        return x.clamp_(to_low, to_high) if clip else x

    return change


def _scale(component: Component) -> Intensity:
    arguments = Arguments(component, ignored=("dtype",))
    low, high = arguments.take("minv", 0.0, int, float), arguments.take("maxv", 1.0, int, float)
    channel_wise = arguments.take("channel_wise", False, bool)
    arguments.end()
    if low is None or high is None:
        raise NotHereError(f"{component.target} without minv and maxv")

    def change(x: Tensor) -> Tensor:
        for part in (x if channel_wise else (x,)):
            smallest, largest = float(part.min()), float(part.max())
            if smallest == largest:
                part.mul_(low)
            else:
                part.sub_(smallest).div_(largest - smallest).mul_(high - low).add_(low)
        return x

    return change


def _normalise(component: Component) -> Intensity:
    arguments = Arguments(component, ignored=("dtype",))
    mean, deviation = arguments.numbers("subtrahend", None), arguments.numbers("divisor", None)
    nonzero, channel_wise = arguments.take("nonzero", False, bool), arguments.take("channel_wise", False, bool)
    arguments.end()

    def one(values: Numbers | float | None, channel: int) -> float | None:
        return values[channel] if isinstance(values, tuple) else values

    def change(x: Tensor) -> Tensor:
        for channel, part in enumerate(x if channel_wise else (x,)):
            inside = part != 0 if nonzero else None
            values = part if inside is None else part[inside]
            if not values.numel():
                continue
            given, spread = one(mean, channel), one(deviation, channel)
            centre = float(values.double().mean()) if given is None else given
            scale = float(values.double().std(unbiased=False)) if spread is None else spread
            changed = (part - centre) / (scale or 1.0)
            part.copy_(changed if inside is None else changed.where(inside, part))
        return x

    return change


def _percentiles(component: Component) -> Intensity:
    """ClipIntensityPercentilesd, and ScaleIntensityRangePercentilesd, which then scales to b_min..b_max."""
    arguments = Arguments(component, ignored=("dtype",))
    lower, upper = arguments.take("lower", None, int, float), arguments.take("upper", None, int, float)
    scales = component.name == "ScaleIntensityRangePercentilesd"
    to_low, to_high = (arguments.take(name, None, int, float) if scales else None for name in ("b_min", "b_max"))
    clip = arguments.take("clip", False, bool) if scales else True
    channel_wise = arguments.take("channel_wise", False, bool)
    arguments.end()
    if lower is None or upper is None or (scales and (to_low is None or to_high is None)):
        raise NotHereError(f"{component.target} without both ends")

    def change(x: Tensor) -> Tensor:
        for part in (x if channel_wise else (x,)):
            low, high = (float(end) for end in np.percentile(part.numpy(), (lower, upper)))
            if not scales:
                part.clamp_(low, high)
                continue
            assert to_low is not None
            assert to_high is not None
            part.sub_(low).div_((high - low) or 1.0).mul_(to_high - to_low).add_(to_low)
            if clip:
                part.clamp_(to_low, to_high)
        return x

    return change


def _threshold(component: Component) -> Intensity:
    arguments = Arguments(component)
    threshold, above = arguments.take("threshold", None, int, float), arguments.take("above", True, bool)
    value = arguments.take("cval", 0.0, int, float)
    arguments.end()
    if threshold is None:
        raise NotHereError(f"{component.target} without threshold")
    return lambda x: x.where(x > threshold if above else x < threshold, x.new_tensor(value))


def _shift(component: Component) -> Intensity:
    arguments = Arguments(component)
    offset = arguments.take("offset", None, int, float)
    arguments.end()
    if offset is None:
        raise NotHereError(f"{component.target} without offset")
    return lambda x: x.add_(offset)


_KNOWN: dict[str, Callable[[Component], Transform]] = {
    "Orientationd": _orientation, "Spacingd": _spacing, "CropForegroundd": _crop_foreground,
    "ScaleIntensityRanged": _of_values(_scale_range), "ScaleIntensityd": _of_values(_scale), "NormalizeIntensityd": _of_values(_normalise),
    "ClipIntensityPercentilesd": _of_values(_percentiles), "ScaleIntensityRangePercentilesd": _of_values(_percentiles),
    "ThresholdIntensityd": _of_values(_threshold), "ShiftIntensityd": _of_values(_shift)}
