"""`plans.json` and `dataset.json` as nnU-Net v2 writes them, validated as far as running needs it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

RESAMPLING = ("resample_data_or_seg_to_shape", "resample_torch_fornnunet")
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, le=4096)]
AxisNumber = Annotated[int, Field(ge=0, le=2)]


class _Loose(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Intensities(_Loose):
    """One channel's intensities inside the labels of the training cases."""

    mean: float
    std: float
    low: float = Field(validation_alias="percentile_00_5")
    high: float = Field(validation_alias="percentile_99_5")


class Configuration(_Loose):
    """One entry of `configurations`, with what it inherits."""

    patch_size: list[Count] = Field(min_length=2, max_length=3)
    spacing: list[Positive] = Field(min_length=2, max_length=3)
    normalization_schemes: list[str]
    use_mask_for_norm: list[bool]
    resampling_fn_data: str
    resampling_fn_data_kwargs: dict[str, Any]
    resampling_fn_seg: str = RESAMPLING[0]
    resampling_fn_seg_kwargs: dict[str, Any] = {}
    resampling_fn_probabilities: str
    resampling_fn_probabilities_kwargs: dict[str, Any]
    preprocessor_name: str = "DefaultPreprocessor"
    previous_stage: str | None = None
    architecture: dict[str, Any] | None = None


class Plans(_Loose):
    """The content of `plans.json`."""

    dataset_name: str
    plans_name: str
    image_reader_writer: str
    label_manager: str = "LabelManager"
    transpose_forward: tuple[AxisNumber, AxisNumber, AxisNumber]
    configurations: dict[str, dict[str, Any]] = Field(min_length=1)
    intensities: dict[str, Intensities] = Field(
        {},
        validation_alias=AliasChoices(
            "foreground_intensity_properties_per_channel", "foreground_intensity_properties_by_modality"
        ),
    )


class Dataset(_Loose):
    """The content of `dataset.json`."""

    channels: dict[str, str] = Field(validation_alias=AliasChoices("channel_names", "modality"), min_length=1)
    labels: dict[str, int | list[int]] = Field(min_length=2)
    regions_class_order: list[int] | None = None
