"""The public Python API, under semantic versioning: what `import napari_ctseg as ctseg` offers.

Nothing here imports torch, Qt or an image library before a function needs it.
"""

from ctseg_imaging.errors import (
    BundleError,
    ChoiceNeeded,
    CtsegError,
    FormatError,
    GeometryError,
    RecipeError,
)
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import Label, LabelMap, Labels, Volume, Window
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.lattice import Region
from ctseg_models.contract.prediction import Prediction, RoiBox
from napari_ctseg.api.arrays import as_labels, as_volume
from napari_ctseg.api.images import read, read_labels, write
from napari_ctseg.api.models import list_models, load_model, predict
from napari_ctseg.api.scores import Evaluation, evaluate
from napari_ctseg.api.training import TrainingResult, list_recipes, train
from napari_ctseg.api.windows import presets

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
