"""Finds a MONAI config's network, transforms and inferer, and the code that they would run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles.monai.building import is_harmless
from ctseg_models.bundles.monai.config.arguments import NotHereError
from ctseg_models.bundles.monai.config.components import Code, Component, parts_of
from ctseg_models.bundles.monai.config.reader import Config
from ctseg_models.bundles.monai.interpreted.output import IGNORED, output, windows
from ctseg_models.bundles.monai.interpreted.transforms import NOTHING, transforms
from ctseg_models.bundles.monai.listing import imports, listed
from ctseg_models.bundles.monai.networks import NETWORKS, check_network

CONFIGS = tuple(f"configs/inference.{ending}" for ending in ("json", "yaml", "yml"))
BEFORE = ("preprocessing", "pre_transforms", "preprocessing_transforms", "val_transforms")
AFTER = ("postprocessing", "post_transforms", "postprocessing_transforms")
NETWORK = ("network_def", "network", "net", "model")
RunMode = Literal["interpreted", "by MONAI", "by its own code"]


@dataclass(frozen=True)
class Parts:
    """The parts of a config that matter, resolved, and their names in it. after : None where nothing follows
    the network.
    """

    names: tuple[str, str, str, str]
    before: Any
    inferer: Any
    after: Any
    network: Any


def parts_in(config: Config) -> Parts:
    found = [
        next((name for name in names if name in config), None)
        for names in (BEFORE, ("inferer",), AFTER, NETWORK)
    ]
    missing = [
        what
        for what, name in zip(("preprocessing", "inferer", "", ""), found, strict=True)
        if name is None and what
    ]
    if missing:
        raise BundleError(
            f'{config.path}: has no "{missing[0]}", so it is not a config for inference that can be run '
            "here; "
            "look for a newer version of the bundle."
        )
    before, inferer, after, network = (None if name is None else config.resolve(name) for name in found)
    a, b, c, d = (name or "" for name in found)
    return Parts((a, b, c, d), before, inferer, after, network)


def reasons_for_code(config: Config, parts: Parts, scripted: Path | None) -> list[str]:
    """The code among the needed parts, a phrase each."""
    found: dict[str, str] = {}
    for part in (parts.before, parts.inferer, parts.after):
        for one in parts_of(part, without=(*NOTHING, *IGNORED)):
            if isinstance(one, Code):
                found[one.where] = (
                    f'the expression {one.text[:100]} at "{one.where}" of {config.path.name} ({one.why})'
                )
            elif not is_harmless(one):
                found[one.where] = (
                    f'{one.target}, which is not MONAI\'s plain arithmetic, at "{one.where}" of '
                    f"{config.path.name}"
                )
    try:
        check_network(parts.network)
    except NotHereError as error:
        if scripted is None:
            found[parts.names[3]] = f'the network {error} at "{parts.names[3]}" of {config.path.name}'
    if found:
        found |= {
            where: reason
            for where, reason in listed(config, parts.names, NETWORKS).items()
            if where not in found
        }
        found |= {text: f'"{text[1:].strip()}" of {config.path.name}' for text in imports(config.content)}
    return list(found.values())


def run_mode(parts: Parts, reasons: tuple[str, ...]) -> RunMode:
    if reasons:
        return "by its own code"
    try:
        transforms(parts.before)
        windows(parts.inferer)
        output(parts.after if parts.after is not None else [])
    except NotHereError:
        return "by MONAI"
    return "interpreted"


def renumbered(names: dict[int, str], after: Any) -> dict[int, str]:
    """The names of the values that a MapLabelValued after the argmax writes; those merged into one value
    share it.
    """
    mapping: dict[int, int] = {}
    for one in parts_of(after):
        if isinstance(one, Component) and one.name == "MapLabelValued":
            old, new = (one.arguments.get(name) or [] for name in ("orig_labels", "target_labels"))
            plain = all(
                isinstance(side, list) and all(type(value) is int for value in side) for side in (old, new)
            )
            if mapping or not plain or len(old) != len(new):
                return names
            mapping = dict(zip(old, new, strict=True))
    found: dict[int, str] = {}
    for value, name in names.items():
        if (written := mapping.get(value, value)) > 0:
            found[written] = f"{found[written]}, {name}" if written in found else name
    return found


def classes_overlap(after: Any) -> bool:
    """Whether classes may overlap: one sigmoid each, or a threshold on the network's own probabilities."""
    switched = {
        (one.name, name)
        for one in parts_of(after)
        if isinstance(one, Component)
        for name, value in one.arguments.items()
        if value is not None and value is not False
    }
    if ("Activationsd", "sigmoid") in switched:
        return True
    return ("AsDiscreted", "threshold") in switched and not switched & {
        ("Activationsd", "softmax"),
        ("AsDiscreted", "argmax"),
    }
