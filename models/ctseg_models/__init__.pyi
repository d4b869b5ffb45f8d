from .bundles.store import add, find, list_bundles
from .contract.bundle import Bundle
from .contract.prediction import Prediction
from .ensembles.ensemble import run_ensemble
from .inference import Estimate, InferenceSettings, Region, estimate, run

__version__: str
__all__ = [
    "Bundle",
    "Estimate",
    "InferenceSettings",
    "Prediction",
    "Region",
    "add",
    "estimate",
    "find",
    "list_bundles",
    "run",
    "run_ensemble",
]
