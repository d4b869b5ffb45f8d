"""`NAME.json` beside a TorchScript or ONNX file: what a bare network does not say about itself.

    {"labels": {"1": "white matter", "2": "grey matter"}, "modality": "MR",
     "channels": [{"name": "T1", "normalise": "minmax"}],
     "spacing": [1, 1, 1], "orientation": "LIA", "interpolation": "linear", "pad": 0,
     "output": {"kind": "logits", "classes": [0, 1, 2]}}

Triples run along the axes of the network's array, as `orientation` names them: letter i is where axis i runs to, so that "SPL" is
this project's (z, y, x) and "RAS" is nibabel's (x, y, z).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ctseg_imaging.errors import BundleError
from ctseg_imaging.volume import Labels
from ctseg_models.bundles.metadata import Intensity, Sizes, Triple
from ctseg_models.inference.lattice import StagePlan

T = TypeVar("T")
LARGEST_SIDE = 4096  # voxels; a limit that no volume reaches
_VIEW_AXES = {"S": (0, False), "I": (0, True), "P": (1, False), "A": (1, True), "L": (2, False), "R": (2, True)}
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Channel(_Strict):
    """One input channel: which channel of the volume, clipped to [low, high], then normalised.

    normalise : "none"; "range" (clip's ends go to `to`); "minmax" (the input's own ends go to 0..1); "zscore" (its own mean and
    deviation); "fixed" ((v - shift) / scale).
    """

    name: str = "CT"
    source: int = Field(0, ge=0)
    clip: tuple[float, float] | None = None
    normalise: Literal["none", "range", "minmax", "zscore", "fixed"] = "none"
    to: tuple[float, float] = (0.0, 1.0)
    shift: float = 0.0
    scale: Positive = 1.0

    @model_validator(mode="after")
    def _range_needs_ends(self) -> Channel:
        if self.clip is not None and self.clip[0] >= self.clip[1]:
            raise ValueError("clip needs its lower end first")
        if self.normalise == "range" and (self.clip is None or self.to[0] >= self.to[1]):
            raise ValueError("normalise \"range\" needs clip, and `to` with its lower end first")
        return self

    def intensity(self) -> Intensity:
        """The same as the bundles of this project say it."""
        low, high = self.clip if self.clip is not None else (None, None)
        shift, scale = 0.0, 1.0
        if self.normalise == "fixed":
            shift, scale = self.shift, self.scale
        elif self.normalise == "range" and low is not None and high is not None:
            scale = (high - low) / (self.to[1] - self.to[0])
            shift = low - self.to[0] * scale
        statistics = self.normalise if self.normalise in ("minmax", "zscore") else "none"
        return Intensity(source=self.source, clip_low=low, clip_high=high, shift=shift, scale=scale,
                         statistics=statistics)


class Output(_Strict):
    """kind : what the network gives. classes : the label value of every output map in order; a value twice merges, null is background.
    exclusive : classes exclude each other (softmax); false: one sigmoid each, the background is where all are below one half."""

    kind: Literal["logits", "probabilities"]
    classes: tuple[int | None, ...] = Field(min_length=1)
    exclusive: bool = True


class SideFile(_Strict):
    """A validated side file. Exactly one of `spacing` (mm) and `size` (resize the whole volume to this array) is given.

    multiple_of : what the sides of the array must be multiples of, padded with `pad`. patch : sliding window of this size.
    """

    labels: dict[int, str] = Field(min_length=1)
    channels: tuple[Channel, ...] = Field(min_length=1)
    output: Output
    spacing: tuple[Positive, Positive, Positive] | None = None
    size: tuple[Count, Count, Count] | None = None
    orientation: str = "SPL"
    interpolation: Literal["area", "linear", "nearest"] = "linear"
    multiple_of: Count | tuple[Count, Count, Count] = 1
    patch: tuple[Count, Count, Count] | None = None
    overlap: float = Field(0.5, ge=0.0, lt=1.0)
    pad: float = -1024.0
    name: str = ""
    modality: str = "CT"
    version: str = ""
    card: str = ""
    sha256: str = ""

    @field_validator("orientation")
    @classmethod
    def _axis_codes(cls, codes: str) -> str:
        if len(codes) != 3 or {_VIEW_AXES.get(letter, (9, False))[0] for letter in codes} != {0, 1, 2}:
            raise ValueError(f"\"{codes}\" does not name three different axes by L or R, A or P, I or S")
        return codes

    @model_validator(mode="after")
    def _complete(self) -> SideFile:
        if (self.spacing is None) == (self.size is None):
            raise ValueError("give either spacing or size")
        if self.size is not None and (self.patch is not None or self.multiple_of != 1):
            raise ValueError("a fixed size goes with neither patch nor multiple_of")
        unknown = sorted({value for value in self.output.classes if value} - set(self.labels))
        if unknown:
            raise ValueError(f"output.classes has the values {unknown}, which labels does not name")
        return self

    def label_set(self) -> Labels:
        """The labels as the viewer and the writers know them."""
        return Labels.from_names(self.labels)

    @property
    def turn(self) -> tuple[tuple[int, int, int], tuple[int, ...]]:
        """For the axes of the network's array: the view axis (0 z, 1 y, 2 x) of each, and which of them run backwards."""
        axes = [_VIEW_AXES[letter] for letter in self.orientation]
        order = (axes[0][0], axes[1][0], axes[2][0])
        return order, tuple(number for number, (_, flipped) in enumerate(axes) if flipped)

    @property
    def spacing_zyx_mm(self) -> Triple | None:
        """`spacing` along the view's (z, y, x)."""
        return None if self.spacing is None else self._zyx(self.spacing)

    def plan(self) -> StagePlan:
        """How a volume becomes the input, along the view's axes."""
        step = (self.multiple_of,) * 3 if isinstance(self.multiple_of, int) else self.multiple_of
        size = None if self.size is None else self._zyx(self.size)
        sizes = Sizes(min=self._zyx(step), max=(LARGEST_SIDE, LARGEST_SIDE, LARGEST_SIDE), step=self._zyx(step))
        return StagePlan("segment", tuple(channel.intensity() for channel in self.channels), self.spacing_zyx_mm, size, sizes,
                         patch=None if self.patch is None else self._zyx(self.patch), overlap=self.overlap, pad=self.pad,
                         interpolation=self.interpolation)

    def _zyx(self, triple: tuple[T, T, T]) -> tuple[T, T, T]:
        order, _ = self.turn
        z, y, x = (triple[order.index(axis)] for axis in range(3))
        return z, y, x


def side_file_path(network: Path) -> Path:
    """`NAME.json` for `NAME.onnx`, `NAME.ts`, `NAME.pt`."""
    return network.with_suffix(".json")


def read_side_file(network: Path) -> SideFile:
    """The side file of a network file. Raises BundleError when it is missing or says something impossible."""
    path = side_file_path(network)
    try:
        return SideFile.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise BundleError(f"{network}: its side file {path.name} is missing; write one that names labels, channels, spacing or size, "
                          "orientation and output.") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BundleError(f"{path}: cannot be read as JSON; mend it.") from error
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the file"
        raise BundleError(f"{path}: {where}: {fault['msg']}; mend the side file.") from error
