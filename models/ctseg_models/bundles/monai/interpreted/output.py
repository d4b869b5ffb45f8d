"""MONAI's inferers and its transforms after the network: windows, padding, and from logits to labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ctseg_imaging.geometry import Shape
from ctseg_models.bundles.monai.config.arguments import Arguments, NotHereError
from ctseg_models.bundles.monai.config.components import Component
from ctseg_models.bundles.monai.interpreted.transforms import components
from ctseg_models.contract.axis_order import AxisOrder
from ctseg_models.contract.stage import Form, Interpolation

if TYPE_CHECKING:
    from torch import Tensor

    from ctseg_models.contract.tiling import Tiling

Padding = Literal["constant", "replicate", "reflect", "circular"]
SMALLEST_WEIGHT = 1e-3
IGNORED = ("SaveImaged", "EnsureTyped", "ToTensord", "CastToTyped", "DeleteItemsd", "Identityd", "ToDeviced")


@dataclass(frozen=True)
class Windows:
    """How a network is run over an array, along the network's axes.

    roi : the window; None: the whole array at once; an entry of 0: the whole axis.
    """

    roi: Shape | None
    overlap: tuple[float, float, float] = (0.25, 0.25, 0.25)
    gaussian: bool = False
    sigma: tuple[float, float, float] = (0.125, 0.125, 0.125)
    padding: Padding = "constant"
    value: float = 0.0

    def window(self, size: Shape) -> Shape:
        """The window for an array of `size`; sides of the array may be shorter."""
        assert self.roi is not None
        a, b, c = (w if w > 0 else n for w, n in zip(self.roi, size, strict=True))
        return a, b, c

    def padded(self, x: Tensor) -> tuple[Tensor, tuple[Shape, Shape]]:
        """(1, C, a, b, c) padded to at least the window, and the [start, stop) of the original."""
        from torch.nn import functional

        a, b, c = x.shape[2:]
        if self.roi is None:
            return x, ((0, 0, 0), (a, b, c))
        more = [max(0, w - n) for w, n in zip(self.window((a, b, c)), (a, b, c), strict=True)]
        before = [n // 2 for n in more]
        start, stop = (before[0], before[1], before[2]), (before[0] + a, before[1] + b, before[2] + c)
        if not any(more):
            return x, (start, stop)
        ends = [
            end for low, n in zip(reversed(before), reversed(more), strict=True) for end in (low, n - low)
        ]
        filled = functional.pad(
            x, ends, mode=self.padding, value=self.value if self.padding == "constant" else None
        )
        return filled, (start, stop)

    def tiling(self, size: Shape, turn: AxisOrder) -> Tiling | None:
        """Windows over an array of `size` (network's axes, padded), along the view's axes; or None."""
        import torch

        from ctseg_models.contract.tiling import Tiling

        if self.roi is None:
            return None
        window = self.window(size)
        starts: list[tuple[int, ...]] = []
        weights = torch.ones(())
        for axis in range(3):
            n, w = size[axis], window[axis]
            step = w if n == w else max(1, int(w * (1 - self.overlap[axis])))
            counted = (*range(0, n - w, step), n - w)
            starts.append(
                tuple(sorted(n - w - start for start in counted)) if axis in turn.flips else counted
            )
            distance = torch.arange(w, dtype=torch.float32) - (w - 1) / 2
            weights = weights[..., None] * torch.exp(-0.5 * (distance / (self.sigma[axis] * w)) ** 2)
        if self.gaussian:
            weights = turn.back(weights.clamp_min(max(float(weights.min()), SMALLEST_WEIGHT)))
        first, second, third = starts
        return Tiling(turn.zyx(window), turn.zyx((first, second, third)), weights if self.gaussian else None)


def windows(component: object) -> Windows:
    """An inferer of a config. Raises NotHereError for those that are not supported here."""
    if not isinstance(component, Component):
        raise NotHereError("an inferer that is not a component")
    ignored = (
        "sw_batch_size",
        "device",
        "sw_device",
        "progress",
        "cache_roi_weight_map",
        "cpu_thresh",
        "buffer_steps",
        "buffer_dim",
    )
    arguments = Arguments(component, ignored)
    if component.name == "SimpleInferer":
        arguments.end()
        return Windows(None)
    if component.name not in ("SlidingWindowInferer", "SlidingWindowInfererAdapt"):
        raise NotHereError(component.target)
    roi = _three(arguments.numbers("roi_size", None), component, whole=True)
    overlap = _three(arguments.numbers("overlap", 0.25), component)
    sigma = _three(arguments.numbers("sigma_scale", 0.125), component)
    mode = arguments.take("mode", "constant", str)
    padding, value = arguments.take("padding_mode", "constant", str), arguments.take("cval", 0.0, int, float)
    arguments.end()
    if (
        mode not in ("constant", "gaussian")
        or padding not in ("constant", "replicate", "reflect", "circular")
        or not all(0 <= share < 1 for share in overlap)
        or not all(one > 0 for one in sigma)
    ):
        raise NotHereError(
            f"{component.target} with mode {mode!r:.20}, padding_mode {padding!r:.20} and overlap {overlap}"
        )
    a, b, c = (max(0, int(side)) for side in roi)
    return Windows((a, b, c), overlap, mode == "gaussian", sigma, padding, float(value))


def _three(
    value: tuple[float, ...] | float | None, component: Component, *, whole: bool = False
) -> tuple[float, float, float]:
    if value is None and whole:
        return 0.0, 0.0, 0.0
    listed = value if isinstance(value, tuple) else () if value is None else (value, value, value)
    if len(listed) != 3:
        raise NotHereError(f"{component.target} with {len(listed)} entries where an axis has one each")
    return listed[0], listed[1], listed[2]


@dataclass(frozen=True)
class LabelRule:
    """How the network's maps become labels. note : a sentence on what differs from the bundle's config, or
    "".
    """

    form: Form
    interpolation: Interpolation
    note: str = ""


def output(component: object) -> LabelRule:
    """What the transforms after the network do to its blended logits.

    Raises NotHereError for what is not supported here.
    """
    activation, invert, decision = "", "", ""
    for one in components(component):
        if one.name in IGNORED:
            continue
        if one.name == "Activationsd" and not activation and not decision:
            activation = _only(one, ("softmax", "sigmoid"))
            softened_first = not invert
        elif one.name == "Invertd" and not invert:
            arguments = Arguments(
                one,
                ignored=(
                    "transform",
                    "orig_keys",
                    "meta_keys",
                    "orig_meta_keys",
                    "meta_key_postfix",
                    "to_tensor",
                    "device",
                    "post_func",
                ),
            )
            nearest = arguments.take("nearest_interp", True, bool)
            arguments.end()
            if one.arguments.get("post_func") is not None:
                raise NotHereError(f"{one.target} with post_func")
            invert, decided_first = ("nearest" if nearest else "linear"), bool(decision)
        elif one.name == "AsDiscreted" and not decision:
            decision = _decision(one)
        else:
            raise NotHereError(one.target)
    if (activation, decision) not in (("", "argmax"), ("softmax", "argmax"), ("sigmoid", "threshold")):
        raise NotHereError(
            f"postprocessing with {activation or 'no activation'} and {decision or 'no decision'}"
        )
    if decision == "threshold":
        return LabelRule("regions", "linear" if invert == "linear" and not decided_first else "nearest")
    if invert == "linear" and decided_first:
        return LabelRule(
            "softmax logits",
            "nearest",
            "The bundle would interpolate label numbers linearly; the nearest label was taken.",
        )
    if invert != "linear":
        return LabelRule("softmax logits", "nearest")
    return LabelRule("averaged logits" if activation and softened_first else "softmax logits", "linear")


def _only(component: Component, names: tuple[str, ...]) -> str:
    arguments = Arguments(component)
    chosen = [name for name in names if arguments.take(name, False, bool)]
    arguments.end()
    if len(chosen) != 1:
        raise NotHereError(f"{component.target} with {chosen or 'nothing'} switched on")
    return chosen[0]


def _decision(component: Component) -> str:
    arguments = Arguments(component)
    argmax, threshold = arguments.take("argmax", False, bool), arguments.take("threshold", None, int, float)
    arguments.end()
    if argmax and threshold is None:
        return "argmax"
    if threshold == 0.5 and not argmax:
        return "threshold"
    raise NotHereError(f"{component.target} with argmax {argmax} and threshold {threshold}")
