"""The metadata of this project's bundles, `configs/metadata.json`, validated."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ctseg_imaging.geometry import Triple
from ctseg_imaging.volume import Label, Labels
from ctseg_models.contract.bundle import LARGEST_LABEL
from ctseg_models.contract.plan import AllowedSizes, FrozenModel, Growth, Intensity, Sizes3, StagePlan
from ctseg_models.networks.catalogue import NetworkName

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)


class Stage(FrozenModel):
    """One network of a bundle and its input; triples are (z, y, x) of the LPS-upright view."""

    name: Literal["localise", "segment"]  # of "localise", output > 0 is the region of interest
    network: NetworkName
    config: dict[str, Any]  # the network's frozen dataclass
    spacing_mm: Triple
    sizes: AllowedSizes
    spacing_growth: Growth = Growth()
    intensity: Intensity
    more_channels: tuple[Intensity, ...] = ()
    smoothing_sigma_mm: float = Field(0.0, ge=0.0)  # of a Gaussian before resampling
    margin_mm: float = Field(0.0, ge=0.0)  # of a localiser, on every side of its foreground
    # One array of an allowed size, or windows of `patch` with `overlap` and Gaussian weights.
    inferer: Literal["whole", "sliding_window"] = "whole"
    patch: Sizes3 | None = None
    overlap: float = Field(0.5, ge=0.0, lt=1.0)
    outputs: int = Field(ge=2)  # classes with the background
    pad_hu: float = -1024.0  # the value outside the volume
    # The view's axes (0 is z) along which the input may be mirrored; () unless it was trained with mirroring,
    # which left and right organs forbid.
    mirror_axes: tuple[Annotated[int, Field(ge=0, le=2)], ...] = ()
    temperature: float = Field(1.0, gt=0)  # logits are divided by it for probabilities
    calibration: dict[str, Any] = Field(default_factory=dict)  # how the temperature was fitted

    @model_validator(mode="after")
    def _consistent(self) -> Stage:
        if self.inferer == "sliding_window" and self.patch is None:
            raise ValueError(f"stage {self.name}: inferer sliding_window needs a patch (z, y, x)")
        if self.config.get("outputs", self.outputs) != self.outputs:
            raise ValueError(
                f"stage {self.name}: config has {self.config['outputs']} outputs and the stage {self.outputs}"
            )
        return self

    @property
    def channels(self) -> tuple[Intensity, ...]:
        """The intensity of each input channel of the network."""
        return (self.intensity, *self.more_channels)

    @property
    def plan(self) -> StagePlan:
        """How a box of a volume becomes this network's input."""
        return StagePlan(
            self.name,
            self.channels,
            self.spacing_mm,
            None,
            self.sizes,
            self.spacing_growth,
            self.smoothing_sigma_mm,
            self.margin_mm,
            self.patch if self.inferer == "sliding_window" else None,
            self.overlap,
            self.pad_hu,
        )


class LabelEntry(FrozenModel):
    """One foreground label; class index i of the network is the i-th entry (background is index 0)."""

    value: int = Field(ge=1, le=LARGEST_LABEL)
    name: str
    colour: str = ""


class CtsegBlock(FrozenModel):
    """The `ctseg` block of metadata.json."""

    format_version: Literal[1] = 1
    stages: tuple[Stage, ...] = Field(min_length=1, max_length=2)
    labels: tuple[LabelEntry, ...] = Field(min_length=1)
    channels: tuple[str, ...] = ("CT",)
    modality: str = "CT"
    training_data: dict[str, Any] = Field(default_factory=dict)
    scores: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _stages_fit(self) -> CtsegBlock:
        names = [stage.name for stage in self.stages]
        if names not in (["localise"], ["segment"], ["localise", "segment"]):
            raise ValueError(f"stages are localise, segment, or both in this order, not {names}")
        if self.stages[-1].outputs != len(self.labels) + 1:
            raise ValueError(
                f"the last stage has {self.stages[-1].outputs} outputs for {len(self.labels)} labels and the "
                "background"
            )
        return self

    def label_set(self) -> Labels:
        """The labels as the viewer and the writers use them."""
        return Labels(tuple(Label(entry.value, entry.name, entry.colour) for entry in self.labels))

    @property
    def values(self) -> tuple[int, ...]:
        """The label value of each class index of the last stage; 0 first."""
        return 0, *(entry.value for entry in self.labels)


class Metadata(BaseModel):
    """The content of metadata.json: MONAI's keys, which other programs may extend, and the `ctseg` block."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    version: str
    ctseg: CtsegBlock


def monai_metadata(
    name: str, version: str, description: str, block: CtsegBlock, versions: dict[str, str]
) -> dict[str, Any]:
    """All of metadata.json by MONAI's schema, with `network_data_format` of the last stage."""
    stage = block.stages[-1]
    divisor = list(stage.sizes.step)
    inputs = {
        "type": "image",
        "format": "hounsfield" if block.modality == "CT" else "magnitude",
        "modality": block.modality,
        "num_channels": len(stage.channels),
        "spatial_shape": [f"{n}*n" for n in divisor],
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": stage.inferer == "sliding_window",
        "channel_def": {str(i): block.channels[c.source] for i, c in enumerate(stage.channels)},
    }
    classes = {"0": "background", **{str(i): entry.name for i, entry in enumerate(block.labels, 1)}}
    outputs = {
        "type": "probabilities",
        "format": "segmentation",
        "num_channels": stage.outputs,
        "spatial_shape": [f"{n}*n" for n in divisor],
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": stage.inferer == "sliding_window",
        "channel_def": classes,
    }
    return {
        "schema": SCHEMA,
        "name": name,
        "version": version,
        "changelog": {version: "as trained"},
        "monai_version": versions.get("monai", "1.6.1"),
        "pytorch_version": versions["torch"],
        "numpy_version": versions["numpy"],
        "required_packages_version": {"safetensors": versions["safetensors"]},
        "task": f"{block.modality} segmentation",
        "description": description,
        "authors": "the napari-ctseg project",
        "copyright": "the napari-ctseg project",
        "network_data_format": {"inputs": {"image": inputs}, "outputs": {"pred": outputs}},
        "ctseg": block.model_dump(mode="json"),
    }
