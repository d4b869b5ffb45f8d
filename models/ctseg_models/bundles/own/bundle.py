"""Bundles of this project: MONAI Bundle layout, safetensors, SHA256SUMS.

write_bundle(
    Path("out/headneck-ct-scn"),
    name="headneck-ct-scn",
    stages=[localise, segment],  # metadata.Stage, the localiser first
    weights={"localise": unet.state_dict(), "segment": scn.state_dict()},
    labels=Labels.from_names({1: "Brainstem", 2: "SpinalCord"}),  # of the network's outputs 1, 2, ...
    card="# What for ...",
    scores={"dice": {"Brainstem": 0.8}},
    training_data={"name": "headneck-ct", "cases": 100},
)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles.own.metadata import CtsegBlock, Metadata, Stage
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.stage import LoadedStage, Model
from ctseg_models.vetting.checkpoint import check_room
from ctseg_models.vetting.faults import first_fault
from ctseg_models.vetting.hashes import SUMS, check_sums, sha256_of
from ctseg_models.vetting.safe_tensors import read_safetensors

if TYPE_CHECKING:
    from torch import Tensor, nn


METADATA = "configs/metadata.json"
CARD = "docs/README.md"


@dataclass(frozen=True, eq=False, repr=False)
class OwnBundle(Bundle):
    """A folder in MONAI Bundle layout with this project's block in its metadata."""

    block: CtsegBlock

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages in the order in which they run."""
        return self.block.stages

    def verify(self) -> None:
        needed = (METADATA, *(weights_file(stage) for stage in self.stages))
        check_sums(self.path, needed=needed)

    def weights(self, stage_name: str) -> dict[str, Tensor]:
        """The state dict of a stage in float32, whatever the file holds. Raises BundleError."""
        return {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in self._tensors(stage_name).items()
        }

    def _tensors(self, stage_name: str) -> dict[str, Tensor]:
        """The tensors as stored in the file, mapped."""
        return read_safetensors(self.path / weights_file(self.stage(stage_name)))

    def stage(self, name: str) -> Stage:
        """The stage called `name`. Raises BundleError."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise BundleError(
            f'{self.path}: the bundle has no stage "{name}"; choose one that has, or compose it in.'
        )

    def network(self, stage_name: str) -> nn.Module:
        """The network of a stage with its weights, float32, on the CPU, in evaluation mode. Raises
        BundleError.
        """
        import torch

        stage, path = self.stage(stage_name), self.path / weights_file(self.stage(stage_name))
        try:
            with torch.device("meta"):
                outline = build_network(stage)
            check_room(outline, path)
            network = build_network(stage)
        except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, MemoryError) as error:
            raise BundleError(
                f"{self.path / METADATA}: the network of stage {stage.name} cannot be built as it is "
                "described; get the bundle again."
            ) from error
        try:
            network.load_state_dict(self._tensors(stage_name), strict=True)
        except RuntimeError as error:
            raise BundleError(
                f"{path}: the weights do not fit the network that the metadata describes; get the bundle "
                "again."
            ) from error
        return network.eval()

    def load(self, device: str = "cpu") -> Model:
        from ctseg_models.inference.input.planned import laid_out, planned
        from ctseg_models.inference.network.scn_slab_runner import steps_of

        self.verify()
        loaded = []
        for number, stage in enumerate(self.stages):
            network = self.network(stage.name).to(device)
            values = self.block.values if number == len(self.stages) - 1 else tuple(range(stage.outputs))
            way = steps_of(network)
            plan = stage.plan
            loaded.append(
                LoadedStage(
                    stage.name,
                    planned(plan),
                    way.steps,
                    values,
                    way.flops,
                    laid_out(plan),
                    edges=way.edges,
                    margin_mm=stage.margin_mm,
                    parameters=sum(p.numel() for p in network.parameters()),
                    spacing_mm=stage.spacing_mm,
                    key=sha256_of(self.path / weights_file(stage)),
                    mirror_axes=stage.mirror_axes,
                    temperature=stage.temperature,
                )
            )
        return Model(tuple(loaded), self.labels, device)


def weights_file(stage: Stage) -> str:
    """The weights file of a stage, relative to the bundle."""
    return f"models/{stage.name}.safetensors"


def build_network(stage: Stage) -> nn.Module:
    """The stage's network with fresh weights. Raises BundleError when its config has unknown entries."""
    from ctseg_models.networks.catalogue import build

    config = {key: value for key, value in stage.config.items() if key not in ("in_channels", "outputs")}
    return build(stage.network, config, in_channels=len(stage.channels), outputs=stage.outputs)


def read_own(folder: Path) -> OwnBundle:
    """The bundle in `folder`; weights are not read. Raises BundleError."""
    path = folder / METADATA
    try:
        metadata = Metadata.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BundleError(
            f"{folder}: not a bundle, because {METADATA} is missing; name a bundle's folder."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: cannot be read; get the bundle again.") from error
    except ValidationError as error:
        raise BundleError(
            f"{path}: {first_fault(error, Metadata)}; this is not a bundle that napari-ctseg knows."
        ) from error
    block = metadata.ctseg
    card, sums = folder / CARD, folder / SUMS
    return OwnBundle(
        name=metadata.name,
        path=folder,
        kind="ctseg",
        labels=block.label_set(),
        channels=block.channels,
        modality=block.modality,
        spacing_mm=block.stages[-1].spacing_mm,
        card=card.read_text(encoding="utf-8", errors="replace") if card.is_file() else "",
        sha256=sha256_of(sums) if sums.is_file() else "",
        version=metadata.version,
        block=block,
    )
