"""Builds transforms and inferers with MONAI: what may be built, and what is left out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ctseg_imaging.errors import BundleError, first_line
from ctseg_models.bundles.monai.config.arguments import NotHereError
from ctseg_models.bundles.monai.config.components import Component
from ctseg_models.bundles.monai.config.reader import Config
from ctseg_models.bundles.monai.interpreted.transforms import NOTHING, components

# MONAI's own transforms and inferers that compute with their arguments and nothing else: no files, no code
# passed as an argument.
HARMLESS = frozenset(
    (
        "Compose",
        "LoadImaged",
        "EnsureChannelFirstd",
        "EnsureTyped",
        "CastToTyped",
        "ToTensord",
        "Identityd",
        "DeleteItemsd",
        "SelectItemsd",
        "Orientationd",
        "Spacingd",
        "ScaleIntensityRanged",
        "ScaleIntensityd",
        "NormalizeIntensityd",
        "CropForegroundd",
        "ClipIntensityPercentilesd",
        "ScaleIntensityRangePercentilesd",
        "ThresholdIntensityd",
        "ShiftIntensityd",
        "AdjustContrastd",
        "GaussianSmoothd",
        "GaussianSharpend",
        "MedianSmoothd",
        "HistogramNormalized",
        "SavitzkyGolaySmoothd",
        "Resized",
        "Zoomd",
        "Rotate90d",
        "Flipd",
        "SpatialPadd",
        "BorderPadd",
        "DivisiblePadd",
        "CenterSpatialCropd",
        "SpatialCropd",
        "ResizeWithPadOrCropd",
        "RepeatChanneld",
        "SplitDimd",
        "SqueezeDimd",
        "Transposed",
        "ConcatItemsd",
        "CopyItemsd",
        "Activationsd",
        "AsDiscreted",
        "Invertd",
        "SaveImaged",
        "KeepLargestConnectedComponentd",
        "RemoveSmallObjectsd",
        "FillHolesd",
        "LabelFilterd",
        "MapLabelValued",
        "LabelToMaskd",
    )
)
INFERERS = frozenset(("SimpleInferer", "SlidingWindowInferer", "SlidingWindowInfererAdapt", "SliceInferer"))
LEFT_OUT = ("LoadImage", "LoadImaged", "SaveImage", "SaveImaged")
ELSEWHERE = ("ToDeviced",)  # the device is the user's choice
CHANNELS_FIRST = ("AddChanneld", "AsChannelFirstd")  # used by older bundles; MONAI itself has removed them
_OF_THE_MACHINE = ("device", "sw_device", "progress")


def is_harmless(component: Component) -> bool:
    """Whether MONAI may build it without a decision of the user."""
    return component.name in HARMLESS | INFERERS or component.name in ELSEWHERE


def already_done(before: Any) -> dict[int, Any]:
    """Transforms that would bring the channels of a file to the front become identities, as here they are in
    front.

    For `built`. Raises NotHereError for anything but a list of transforms.
    """
    made: dict[int, Any] = {}
    for one in components(before):
        if one.name in CHANNELS_FIRST:
            made[id(one)] = _identity(one)
        elif one.name not in NOTHING:
            break
    return made


def built(value: Any, made: dict[int, Any] | None = None) -> Any:
    """Components of plain arguments as MONAI's objects; a component that the config names repeatedly is one
    object.

    Raises NotHereError for what is not on the lists, BundleError when MONAI refuses the arguments.
    """
    known: dict[int, Any] = {} if made is None else made
    if isinstance(value, list):
        return [built(one, known) for one in value]
    if isinstance(value, tuple):
        return tuple(built(one, known) for one in value)
    if isinstance(value, dict):
        return {name: built(one, known) for name, one in value.items()}
    if not isinstance(value, Component):
        return value
    if id(value) not in known:
        known[id(value)] = _instance(value, known)
    return known[id(value)]


def _instance(component: Component, known: dict[int, Any]) -> Any:
    from monai import inferers
    from monai import transforms as of_monai

    if not is_harmless(component):
        raise NotHereError(component.target)
    if component.name in (*LEFT_OUT, *ELSEWHERE):
        return _identity(component)
    arguments = {
        name: built(one, known) for name, one in component.arguments.items() if name not in _OF_THE_MACHINE
    }
    place = inferers if component.name in INFERERS else of_monai
    return _made(component, lambda: getattr(place, component.name)(**arguments))


def _made(component: Component, make: Callable[[], Any]) -> Any:
    """MONAI's object for a component. Raises BundleError when it refuses its arguments."""
    try:
        return make()
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
        raise BundleError(
            f'"{component.where}" of the config: MONAI refuses its arguments ({_line(error)}); '
            "get the bundle again."
        ) from error


def _identity(component: Component) -> Any:
    from monai.transforms import Identityd

    return _made(
        component, lambda: Identityd(keys=component.arguments.get("keys", []), allow_missing_keys=True)
    )


def parsed_by_monai(config: Config, names: tuple[str, ...]) -> list[Any]:
    """The parts of a config built by MONAI's own parser from what was read and listed here: code of the
    bundle runs.

    Only after require_trust. Raises BundleError.
    """
    from monai.bundle import ConfigParser

    with own_modules(config.folder):
        try:
            parser = ConfigParser(config.for_monai(config.folder))
            return [_without_files(parser.get_parsed_content(name)) if name else None for name in names]
        except Exception as error:  # the bundle's code may raise anything
            raise BundleError(
                f"{config.path}: its own code failed ({_line(error)}); report it to its author."
            ) from error


def _without_files(made: Any) -> Any:
    """The same Compose without its readers and writers."""
    if hasattr(made, "transforms"):
        made.transforms = tuple(
            _without_files(one) for one in made.transforms if type(one).__name__ not in LEFT_OUT
        )
    return made


@contextmanager
def own_modules(folder: Path) -> Iterator[None]:
    """While this is open, `import scripts...` finds the bundle's modules.

    Afterwards none of them is left, nor a compiled file in the folder.
    """
    own = {path.stem for path in folder.iterdir() if path.is_dir() or path.suffix == ".py"} - set(
        sys.stdlib_module_names
    )
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in own}
    before, writes = set(sys.modules), sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = writes
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
        sys.modules.update(hidden)


def _line(error: BaseException) -> str:
    """The innermost cause in one line: MONAI wraps errors in errors."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)
