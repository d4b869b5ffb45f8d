"""The card of an nnU-Net folder: network, folds, normalisation, training data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ctseg_models.bundles.nnunet.plan import NNUNetPlan
from ctseg_models.bundles.nnunet.plans import Documents


def card_of(
    documents: Documents, plan: NNUNetPlan | None, folds: Sequence[Path], without: Sequence[str]
) -> str:
    """A card made from the files. without : folds that lack the checkpoint of the others."""
    known, heads = ", ".join(documents.plans.configurations), documents.heads()
    lines = [
        f"# {documents.plans.dataset_name}{'' if plan is None else f', {plan.configuration}'}",
        "",
        "A model trained with nnU-Net v2. Its folder describes neither its purpose nor its accuracy: ask "
        "whoever trained it.",
        "",
        _network_line(plan)
        if plan is not None
        else f"- configuration: one of {known}; its checkpoints tell which when it is loaded",
        f"- folds: {', '.join(path.parent.name.removeprefix('fold_') for path in folds)} "
        f"({folds[0].name}){', their logits averaged' if len(folds) > 1 else ''}",
        "- channels: "
        f"{', '.join(documents.channels if plan is None else _normalised(documents.channels, plan))}",
        f"- labels: {', '.join(f'{value} {name}' for value, name in heads.names.items())}",
    ]
    if without:
        lines.append(f"- left out: {', '.join(without)}, which has no {folds[0].name}")
    if heads.form == "regions":
        lines.append("- regions overlap: a label holds what later regions have not covered")
    if plan is not None and plan.previous is not None:
        lines.append(f"- second half of a cascade after {plan.previous}")
    return "\n".join(lines) + "\n"


def _network_line(plan: NNUNetPlan) -> str:
    spacing = " x ".join(f"{mm:g}" for mm in plan.spacing_mm)
    return (
        f"- network: {plan.network}, windows of {' x '.join(map(str, plan.patch))} voxels of {spacing} mm "
        "(axes as in the plans)"
    )


def _normalised(channels: Sequence[str], plan: NNUNetPlan) -> list[str]:
    return [f"{name} ({each.scheme})" for name, each in zip(channels, plan.normalisations, strict=True)]
