from . import editing, formats, measurements, metrics, phantom
from .errors import (
    BundleError,
    ChoiceNeeded,
    CtsegError,
    FormatError,
    GeometryError,
    OnlyViewable,
    RecipeError,
    ShearedGrid,
    TrustNeeded,
)
from .formats import list_choices, read, read_labels, read_view_only, write
from .geometry import AxisView, Geometry, Match
from .metrics.lesions import LesionCounts, count_lesions
from .metrics.overlap import JointHistogram, joint_histogram
from .metrics.reports.case_report import CaseReport
from .metrics.reports.evaluation import evaluate_pair
from .metrics.surfaces import SurfaceDistances, surface_distances
from .progress import Progress, finish
from .resampling import resample, resample_labels, resample_to_spacing
from .volume import Label, LabelMap, Labels, ViewOnlyVolume, Volume, Window
from .windowing import PRESETS, default_window, preset, quantile_window, suggested_windows

__version__: str
__all__ = [
    "PRESETS",
    "AxisView",
    "BundleError",
    "CaseReport",
    "ChoiceNeeded",
    "CtsegError",
    "FormatError",
    "Geometry",
    "GeometryError",
    "JointHistogram",
    "Label",
    "LabelMap",
    "Labels",
    "LesionCounts",
    "Match",
    "OnlyViewable",
    "Progress",
    "RecipeError",
    "ShearedGrid",
    "SurfaceDistances",
    "TrustNeeded",
    "ViewOnlyVolume",
    "Volume",
    "Window",
    "count_lesions",
    "default_window",
    "editing",
    "evaluate_pair",
    "finish",
    "formats",
    "joint_histogram",
    "list_choices",
    "measurements",
    "metrics",
    "phantom",
    "preset",
    "quantile_window",
    "read",
    "read_labels",
    "read_view_only",
    "resample",
    "resample_labels",
    "resample_to_spacing",
    "suggested_windows",
    "surface_distances",
    "write",
]
