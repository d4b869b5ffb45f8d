"""Proximal parts and solvers of the geometrically constrained training of paper 1."""

from ctseg_training.proximal.admm import quadratic_term, start_at, u_update, update
from ctseg_training.proximal.douglas_rachford import DRResult, DRSettings, DRState
from ctseg_training.proximal.dual_store import DualStore
from ctseg_training.proximal.primal_dual import PDResult, PDSettings, PDState
from ctseg_training.proximal.problem import objective
from ctseg_training.proximal.total_variation import edge_weight, weighted_tv

__all__ = [
    "DRResult",
    "DRSettings",
    "DRState",
    "DualStore",
    "PDResult",
    "PDSettings",
    "PDState",
    "edge_weight",
    "objective",
    "quadratic_term",
    "start_at",
    "u_update",
    "update",
    "weighted_tv",
]
