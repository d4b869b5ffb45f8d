"""How a slab of slices is augmented: the settings of `slab_augmentation`, as fields of a recipe.

Intensities are those of the network's input, after windowing and normalisation. Shares are of samples, drawn
one by one.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ctseg_training.recipes.settings import NonNegative, Share, StrictSettings

Degrees = Annotated[float, Field(ge=0, le=180)]


class CTCues(StrictSettings):
    """Differences between CT scanners and patients. Source: paper 3, "Image Augmentation" and "Training".

    share : of samples that are augmented; the paper's 0.8 is for 3D, its 2D networks have 0.9. noise :
    largest standard deviation of the Gaussian noise map. skip : the share of those samples that loses every
    second slice, as in a scan with twice the slice distance. interpolate : the share that gets a slice
    between every two, as in one with half of it. shift : largest number added to all intensities, either
    sign. shift_share : of all samples, at most `share`. rotation_deg : largest angle in plane, either sense.
    The paper gives shares and angle; noise, skip, interpolate and shift are ours.
    """

    kind: Literal["ct_cues"] = "ct_cues"
    share: Share = 0.8
    noise: NonNegative = 0.1
    skip: Share = 0.5
    interpolate: Share = 0.5
    shift: NonNegative = 0.2
    shift_share: Share = 0.2
    rotation_deg: Degrees = 16.0


class Generic(StrictSettings):
    """The multidimensional augmentation that paper 3 compares with: it is not specific to CT.

    share : of samples that are augmented. rotation_deg : largest angle in plane. scale : largest relative
    change of size, one factor for all axes. elastic_voxels : largest displacement in plane of the
    `elastic_grid` (z, y, x) control points of a cubic B-spline. gamma : the exponent lies between exp(-gamma)
    and exp(gamma).
    """

    kind: Literal["generic"] = "generic"
    share: Share = 0.8
    rotation_deg: Degrees = 16.0
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.15
    elastic_voxels: NonNegative = 4.0
    elastic_grid: tuple[
        Annotated[int, Field(ge=1)], Annotated[int, Field(ge=2)], Annotated[int, Field(ge=2)]
    ] = (3, 6, 6)
    gamma: NonNegative = 0.3


class InPlane(StrictSettings):
    """Rotation only.

    Source: paper 4, "+-30 degrees". share : of samples. rotation_deg : largest angle, either sense.
    """

    kind: Literal["in_plane"] = "in_plane"
    share: Share = 1.0
    rotation_deg: Degrees = 30.0
