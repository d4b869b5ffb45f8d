"""CT and MR segmentation in napari, and from Python: `import napari_ctseg as ctseg`.

The names below are the public API (`napari_ctseg.api`). They are loaded when they are first used, so that
importing this package costs a few milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_ctseg.api import (
        Bundle,
        BundleError,
        ChoiceNeeded,
        CtsegError,
        Evaluation,
        FormatError,
        Geometry,
        GeometryError,
        Label,
        LabelMap,
        Labels,
        Prediction,
        Progress,
        RecipeError,
        Region,
        RoiBox,
        TrainingResult,
        Volume,
        Window,
        as_labels,
        as_volume,
        evaluate,
        list_models,
        list_recipes,
        load_model,
        predict,
        presets,
        read,
        read_labels,
        train,
        write,
    )

    __version__: str

__all__ = [
    "Bundle",
    "BundleError",
    "ChoiceNeeded",
    "CtsegError",
    "Evaluation",
    "FormatError",
    "Geometry",
    "GeometryError",
    "Label",
    "LabelMap",
    "Labels",
    "Prediction",
    "Progress",
    "RecipeError",
    "Region",
    "RoiBox",
    "TrainingResult",
    "Volume",
    "Window",
    "__version__",
    "as_labels",
    "as_volume",
    "evaluate",
    "list_models",
    "list_recipes",
    "load_model",
    "predict",
    "presets",
    "read",
    "read_labels",
    "train",
    "write",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used (PEP 562)."""
    if name == "__version__":
        return version("napari-ctseg")
    if name in __all__:
        return getattr(import_module("napari_ctseg.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
