"""A stack on disk: its members, its small network, its description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from ctseg_imaging.errors import BundleError
from ctseg_imaging.volume import Label, Labels
from ctseg_models.bundles import store
from ctseg_models.bundles.own.metadata import LabelEntry
from ctseg_models.bundles.own.writing import replaced_folder
from ctseg_models.contract.bundle import Bundle
from ctseg_models.vetting.faults import first_fault
from ctseg_models.vetting.hashes import sha256_of

DESCRIPTION, WEIGHTS = "stack.json", "stacker.safetensors"
REACH = 2  # voxels that the two 3x3x3 convolutions reach to either side


@dataclass(frozen=True)
class StackerConfig:
    """in_channels : the class maps of all members. outputs : labels with the background."""

    in_channels: int
    outputs: int
    filters: int = 16
    negative_slope: float = 0.01


class Stacker(nn.Module):
    """(B, in_channels, Z, Y, X) probabilities to (B, outputs, Z, Y, X) logits.

    Two convolutions 3x3x3 with leaky ReLU, then 1x1x1. Source: paper 3, "Architecture" (stacked CNN).
    """

    def __init__(self, config: StackerConfig) -> None:
        super().__init__()
        self.config = config
        self.conv0 = nn.Conv3d(config.in_channels, config.filters, 3, padding=1)
        self.conv1 = nn.Conv3d(config.filters, config.filters, 3, padding=1)
        self.head = nn.Conv3d(config.filters, config.outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        for conv in (self.conv0, self.conv1):
            x = F.leaky_relu(conv(x), self.config.negative_slope, inplace=True)
        return self.head(x)  # type: ignore[no-any-return]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Member(_Frozen):
    """A bundle of the stack.

    sha256 : the bundle's. values : of its class maps, 0 first; labels that it does not know have no map.
    """

    name: str
    path: str
    sha256: str
    values: tuple[int, ...]

    @classmethod
    def of(cls, bundle: Bundle) -> Member:
        """As the bundle is on disk now."""
        return cls(
            name=bundle.name,
            path=str(bundle.path.absolute()),
            sha256=bundle.sha256,
            values=(0, *bundle.labels.values),
        )

    def bundle(self) -> Bundle:
        """The bundle at its path, or one of its name if that is gone.

        Raises BundleError when it is not the one that the stack was trained with.
        """
        path = Path(self.path)
        found = store.read(path) if path.exists() else store.find(self.name)
        if found.sha256 != self.sha256:
            raise BundleError(
                f"{found.path}: is not the {self.name} that the stack was trained with; get that one, or "
                "train a new stack."
            )
        return found


class _Description(_Frozen):
    """The content of stack.json."""

    name: str
    members: tuple[Member, ...] = Field(min_length=1)
    labels: tuple[LabelEntry, ...] = Field(min_length=1)
    filters: int
    negative_slope: float
    weights_sha256: str
    training: dict[str, Any] = {}
    scores: dict[str, Any] = {}


@dataclass(frozen=True, eq=False)
class Stack:
    """A trained stack on disk.

    labels : of the network's outputs 1, 2, ... training, scores : plain JSON on how it was trained and
    measured.
    """

    name: str
    path: Path
    members: tuple[Member, ...]
    labels: Labels
    config: StackerConfig
    weights_sha256: str
    training: dict[str, Any]
    scores: dict[str, Any]

    def network(self) -> Stacker:
        """The network with its weights, in evaluation mode. Raises BundleError when they are damaged."""
        file = self.path / WEIGHTS
        try:
            if sha256_of(file) != self.weights_sha256:
                raise BundleError(
                    f"{file}: the hash is not the one in {DESCRIPTION}, so the file was damaged or changed; "
                    "get it again."
                )
            network = Stacker(self.config)
            network.load_state_dict(load_file(file))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise BundleError(
                f"{file}: cannot be read as this stack's weights; get the stack again."
            ) from error
        return network.eval()


def read_stack(folder: Path) -> Stack:
    """The stack in `folder`; neither weights nor members are read. Raises BundleError."""
    path = folder / DESCRIPTION
    try:
        description = _Description.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(
            f"{folder}: is not a stack, because {DESCRIPTION} cannot be read; name a stack's folder."
        ) from error
    except ValidationError as error:
        raise BundleError(
            f"{path}: {first_fault(error, _Description)}; this is not a stack that napari-ctseg knows."
        ) from error
    labels = Labels(tuple(Label(entry.value, entry.name, entry.colour) for entry in description.labels))
    config = StackerConfig(
        sum(len(member.values) for member in description.members),
        1 + len(labels),
        description.filters,
        description.negative_slope,
    )
    return Stack(
        description.name,
        folder,
        description.members,
        labels,
        config,
        description.weights_sha256,
        description.training,
        description.scores,
    )


def write_stack(
    folder: Path,
    network: Stacker,
    *,
    name: str,
    members: Sequence[Member],
    labels: Labels,
    training: Mapping[str, Any] | None = None,
    scores: Mapping[str, Any] | None = None,
) -> Stack:
    """Write a stack's folder, whole or not at all, and read it back.

    Raises BundleError when it exists or cannot be written.
    """
    if folder.exists():
        raise BundleError(f"{folder}: already exists; choose another name.")
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
    with replaced_folder(folder) as partial:
        save_file(tensors, partial / WEIGHTS)
        description = _Description(
            name=name,
            members=tuple(members),
            filters=network.config.filters,
            labels=tuple(
                LabelEntry(value=label.value, name=label.name, colour=label.colour) for label in labels
            ),
            negative_slope=network.config.negative_slope,
            weights_sha256=sha256_of(partial / WEIGHTS),
            training=dict(training or {}),
            scores=dict(scores or {}),
        )
        (partial / DESCRIPTION).write_text(f"{description.model_dump_json(indent=2)}\n", encoding="utf-8")
    return read_stack(folder)
