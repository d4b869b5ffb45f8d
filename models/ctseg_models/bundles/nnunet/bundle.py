"""A results folder of nnU-Net v2 as a bundle, run without nnU-Net.

Read from `plans.json`, `dataset.json` and `fold_N/checkpoint_final.pth`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Shape, Triple
from ctseg_models.bundles.nnunet.card import card_of
from ctseg_models.bundles.nnunet.folds import Fold, folds_mean
from ctseg_models.bundles.nnunet.plan import NNUNetPlan
from ctseg_models.bundles.nnunet.plans import DATASET, PLANS, Documents
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.stage import LoadedStage, Model
from ctseg_models.vetting.checkpoint import check_contents, contents_hash, load_checkpoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from ctseg_models.bundles.nnunet.input import PreviousLabels
    from ctseg_models.contract.upright import Upright


CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
MR_CHANNELS = {"mr", "mri", "t1", "t1w", "t1c", "t1ce", "t1gd", "t2", "t2w", "flair", "adc", "dwi", "pd"}


@dataclass(frozen=True, eq=False, repr=False)
class NNUNetBundle(Bundle):
    """A results folder of nnU-Net v2.

    plan : the trained configuration, by the folder's name; None: only the checkpoints tell. folds : a
    checkpoint each. previous : the first half of a cascade. sha256 : of plans.json, dataset.json and the
    tables of contents of the checkpoints, which hold a checksum of every weight.
    """

    plan: NNUNetPlan | None
    folds: tuple[Path, ...]
    previous: NNUNetBundle | None = None

    def verify(self) -> None:
        for path in self.folds:
            check_contents(path)
        previous = self.settled().previous
        if previous is not None:
            previous.verify()

    def settled(self) -> NNUNetBundle:
        """With the configuration that the first checkpoint names, where the folder's name does not.

        Raises BundleError.
        """
        if self.plan is not None:
            return self
        documents = Documents.read(self.path)
        start = load_checkpoint(self.folds[0]).get("init_args")
        configuration = start.get("configuration") if isinstance(start, dict) else None
        if not isinstance(configuration, str):
            known = ", ".join(documents.plans.configurations)
            raise BundleError(
                f"{self.path}: neither its name nor its weights tell which of {known} it is; give the folder "
                "the name that nnU-Net gave it."
            )
        return _described(documents, documents.plan(configuration))

    def load(self, device: str = "cpu") -> Model:
        return Model((self.stage(device),), self.labels, device)

    def stage(self, device: str) -> LoadedStage:
        """All folds as one network. Raises BundleError when a checkpoint is refused or does not fit the
        plans.
        """
        from ctseg_models.bundles.nnunet.input import nnunet_input, nnunet_layout
        from ctseg_models.bundles.nnunet.network import empty_network, network_flops, network_with

        plan = self.plan
        if plan is None:
            return self.settled().stage(device)
        networks: list[nn.Module] = []
        axes: tuple[int, ...] = ()
        for path in self.folds:
            fold = Fold.read(path, plan)
            if not networks:
                axes = fold.mirror_axes
            networks.append(network_with(fold.weights, plan, device, path=path, trainer=fold.trainer))
        per_voxel = network_flops(empty_network(plan), plan) / prod(plan.patch) * len(networks)

        def flops(shape: Shape) -> float:
            return per_voxel * prod(shape)

        steps = folds_mean(networks, plan, flops)
        earlier = None if self.previous is None else labels_of(self.previous.stage(device), device)
        return LoadedStage(
            "segment",
            nnunet_input(plan, steps, axes, earlier),
            steps,
            plan.heads.values,
            flops,
            nnunet_layout(plan),
            plan.heads.form,
            parameters=sum(p.numel() for network in networks for p in network.parameters()),
            mirror_axes=axes,
            key=self.sha256,
        )


def labels_of(stage: LoadedStage, device: str) -> PreviousLabels:
    """The labels of a cascade's first half, on the volume's grid along the view's axes.

    In float32, without mirroring.
    """
    import numpy as np

    from ctseg_models.contract.arithmetic import Arithmetic
    from ctseg_models.contract.lattice import ViewBox
    from ctseg_models.inference.labels.class_maps import ClassMaps, Target
    from ctseg_models.inference.labels.paint import paint
    from ctseg_models.inference.maps.stored import CutMaps
    from ctseg_models.inference.maps.windowed import WindowedMaps

    def labels(upright: Upright) -> Generator[float, None, NDArray[np.integer[Any]]]:
        geometry = upright.geometry
        preparing = stage.prepare(upright, ViewBox.whole(geometry), True)
        while True:
            try:
                next(preparing)
                yield 0.0
            except StopIteration as end:
                prepared = end.value
                break
        assert prepared.tiling is not None and prepared.keep is not None  # nnU-Net always works in windows
        windows = WindowedMaps(
            prepared.steps, prepared.x.to(device), prepared.tiling, len(stage.values), Arithmetic()
        )
        maps = ClassMaps.of(
            CutMaps(windows, *prepared.keep),
            prepared.lattice,
            stage.values,
            stage.form,
            prepared.interpolation,
        )
        out = np.zeros(geometry.shape, np.uint16)
        for _ in paint(maps, Target(geometry.spacing_mm, (0, 0, 0), geometry.shape), out):
            yield 0.0
        return out

    return labels


def looks_like_nnunet(folder: Path) -> bool:
    """Whether it is a results folder of nnU-Net, version 1 included, which has an error of its own."""
    return ((folder / PLANS).is_file() and (folder / DATASET).is_file()) or (folder / "plans.pkl").is_file()


def read_nnunet(folder: Path) -> NNUNetBundle:
    """The bundle in a results folder (`TRAINER__PLANS__CONFIGURATION`); weights are not read.

    Raises BundleError for a model that cannot be run.
    """
    documents = Documents.read(folder)
    configuration = _configuration(documents)
    return _described(documents, None if configuration is None else documents.plan(configuration))


def _described(documents: Documents, plan: NNUNetPlan | None) -> NNUNetBundle:
    """The bundle of a results folder. plan : None when only the checkpoints tell its configuration."""
    folder, channels, heads = documents.folder, documents.channels, documents.heads()
    folds, without = _folds(folder)
    previous = None if plan is None or plan.previous is None else _first_half(folder, plan)
    names = {name.lower() for name in channels}
    modality = "CT" if names == {"ct"} else "MR" if names <= MR_CHANNELS else ""
    parts = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (PLANS, DATASET)]
    parts += [f"{path.parent.name} {contents_hash(path)}" for path in folds]
    parts += [] if previous is None else [previous.sha256]
    return NNUNetBundle(
        name=_name(documents, folder),
        path=folder,
        kind="nnunet",
        labels=heads.labels,
        channels=channels,
        modality=modality,
        spacing_mm=None if plan is None else _stored_spacing(plan),
        card=card_of(documents, plan, folds, without),
        sha256=hashlib.sha256("\n".join(parts).encode()).hexdigest(),
        version="",
        plan=plan,
        folds=folds,
        previous=previous,
    )


def _folds(folder: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The final checkpoints of all folds, else the best ones, and the folds without one.

    `fold_all`, trained on every case, if there is no other.
    """
    numbered = sorted(
        (path for path in folder.glob("fold_*") if path.name[5:].isdecimal()),
        key=lambda path: int(path.name[5:]),
    )
    for folds in (numbered, [folder / "fold_all"]):
        for name in CHECKPOINTS:
            if found := tuple(path / name for path in folds if (path / name).is_file()):
                return found, tuple(path.name for path in numbered if not (path / name).is_file())
    raise BundleError(
        f"{folder}: has no fold_0/{CHECKPOINTS[0]} or another fold's; copy the trained folds into it."
    )


def _configuration(documents: Documents) -> str | None:
    """The configuration, by the folder's name or because there is only one.

    None: only the checkpoints tell, which a list of bundles does not read.
    """
    known = documents.plans.configurations
    named = documents.folder.name.rpartition("__")[2]
    if named in known:
        return named
    return next(iter(known)) if len(known) == 1 else None


def _first_half(folder: Path, plan: NNUNetPlan) -> NNUNetBundle:
    """The results folder of the configuration that a cascade starts with.

    Raises BundleError when it is not next to this one.
    """
    before, marked, _ = folder.name.rpartition("__")
    sibling = folder.parent / f"{before}__{plan.previous}"
    if not marked or sibling == folder or not looks_like_nnunet(sibling):
        raise BundleError(
            f"{folder}: is the second half of a cascade and needs the results folder of {plan.previous} next "
            f"to it ({sibling.name}); copy that there too."
        )
    first = read_nnunet(sibling)
    heads = None if first.plan is None or first.previous is not None else first.plan.heads
    if heads is None or heads.form == "regions" or heads.foreground != plan.heads.foreground:
        raise BundleError(
            f"{sibling}: is not the first half of {folder.name}: its labels are others; get both from one "
            "training."
        )
    return first


def _stored_spacing(plan: NNUNetPlan) -> Triple | None:
    """The spacing along the stored axes (z, y, x), which are the view's for an image stored upright.

    None: it depends on the image.
    """
    if plan.flat:
        return None
    z, y, x = (plan.spacing_mm[plan.transpose.index(stored)] for stored in range(3))
    return z, y, x


def _name(documents: Documents, folder: Path) -> str:
    """Data set and configuration, with trainer and plans where those are not nnU-Net's defaults."""
    trainer, *rest = folder.name.split("__")
    if len(rest) != 2:
        return folder.name
    plans, configuration = rest
    unusual = [name for name, usual in ((trainer, "nnUNetTrainer"), (plans, "nnUNetPlans")) if name != usual]
    return "-".join([documents.plans.dataset_name, configuration, *unusual])
