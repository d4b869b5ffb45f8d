"""A whole MONAI pipeline run by MONAI: for transforms not supported here, and bundles with allowed code.

The volume is passed as an image that MONAI has just read, and the labels come back on its grid. Readers and
writers of files are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctseg_imaging.errors import BundleError, is_out_of_memory
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap, Labels
from ctseg_models.bundles.monai.building import _line, own_modules
from ctseg_models.contract.bundle import LARGEST_LABEL
from ctseg_models.contract.lattice import Lattice, ViewBox
from ctseg_models.contract.stage import BundleLabels, Prepared
from ctseg_models.vetting.private_copy import PrivateCopy

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ctseg_models.contract.arithmetic import Arithmetic
    from ctseg_models.contract.upright import Upright


MOST_LABELS = 1024


@dataclass(frozen=True)
class Pipeline:
    """What MONAI runs.

    image_key : the name under which its transforms look for the image. values : the label of each output
    channel. labels : those with names. folder : the bundle's, for messages. copy : where its modules are
    found; None if it has no code of its own that the user allowed.
    """

    before: Any
    inferer: Any
    after: Any
    network: nn.Module
    image_key: str
    values: tuple[int, ...]
    labels: tuple[int, ...]
    folder: Path
    exclusive: bool
    copy: PrivateCopy | None


def prepare_by(
    pipeline: Pipeline, device: str
) -> Callable[[Upright, ViewBox, bool], Generator[float, None, Prepared]]:
    """The voxels of the box as they are; MONAI does the rest in one step."""

    def prepare(upright: Upright, box: ViewBox, _whole: bool) -> Generator[float, None, Prepared]:
        import torch

        from ctseg_models.inference.network.interruptible import watched

        yield from ()
        start, stop = box.voxels(upright.geometry)
        stored = upright.stored_box("", box)
        geometry = upright.volume.geometry.crop(stored.start, stored.stop)
        view = upright.view.apply(upright.volume.array)
        part = (view if view.ndim == 4 else view[None])[
            (slice(None), *(slice(a, b) for a, b in zip(start, stop, strict=True)))
        ]
        z, y, x = (a * s for a, s in zip(start, upright.geometry.spacing_mm, strict=True))
        lattice = Lattice(
            (z, y, x), upright.geometry.spacing_mm, (part.shape[1], part.shape[2], part.shape[3])
        )

        def steps(x: Tensor, _: Arithmetic) -> Generator[float, None, Tensor]:
            return watched(lambda: _labels(pipeline, x[0], upright, geometry, device)[None])

        image = torch.from_numpy(np.array(part, dtype=np.float32))[None]
        return Prepared(
            image,
            lattice,
            interpolation=("nearest", "nearest", "nearest"),
            steps=steps,
            written=lambda labels: _written(labels, pipeline),
        )

    return prepare


def _labels(pipeline: Pipeline, x: Tensor, upright: Upright, geometry: Geometry, device: str) -> Tensor:
    """(C, z, y, x) of the view to (z, y, x) labels, int32.

    Negative where the bundle itself made one mask of its regions. Raises BundleError.
    """
    import torch

    from ctseg_imaging.resampling import resample_labels
    from ctseg_models.inference.labels.confidence import values_in

    stored = upright.view.invert(x.cpu().numpy())
    try:
        with nullcontext() if pipeline.copy is None else own_modules(pipeline.copy.path):
            result = _by_monai(
                pipeline, np.ascontiguousarray(stored.transpose(0, 3, 2, 1)), _ras(geometry), device
            )
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        if is_out_of_memory(error):
            raise
        raise BundleError(
            f"{pipeline.folder}: MONAI could not run the bundle on this volume ({_line(error)}); check that "
            "the volume is what the bundle was made for."
        ) from error
    channels = np.asarray(result.cpu().numpy())
    labels = LabelMap(
        _painted(channels, pipeline).transpose(2, 1, 0), _geometry_of(result, channels.shape[1:]), Labels()
    )
    onto = resample_labels(labels, geometry).array.astype(np.int32)
    low, high = int(onto.min()), int(onto.max())
    if low < 0 or high > LARGEST_LABEL or len(values_in(torch.from_numpy(onto))) > MOST_LABELS:
        raise BundleError(
            f"{pipeline.folder}: what its postprocessing gives ({low} to {high}) is not a mask of labels; "
            "look for a bundle that segments."
        )
    own = len(channels) == 1 and not pipeline.exclusive and len(pipeline.values) > 1
    return torch.from_numpy(np.ascontiguousarray(upright.view.apply(-onto if own else onto)))


def _by_monai(pipeline: Pipeline, image: Any, affine: Any, device: str) -> Any:
    import torch
    from monai.data import MetaTensor

    meta = {"original_channel_dim": 0, "filename_or_obj": "volume"}
    data = pipeline.before(
        {pipeline.image_key: MetaTensor(torch.from_numpy(image), affine=torch.from_numpy(affine), meta=meta)}
    )
    prepared = data[pipeline.image_key]
    network_input = torch.as_tensor(prepared)[None].to(device)
    network_input = network_input.as_tensor() if isinstance(network_input, MetaTensor) else network_input
    logits = pipeline.inferer(network_input, pipeline.network)
    if isinstance(logits, list | tuple):
        logits = logits[0]
    data["pred"] = (
        MetaTensor(logits[0].cpu(), affine=prepared.affine, meta=dict(prepared.meta))
        if isinstance(prepared, MetaTensor)
        else logits[0].cpu()
    )
    return pipeline.after(data)["pred"]


def _painted(channels: Any, pipeline: Pipeline) -> Any:
    """(a, b, c) labels from one channel of them, one channel a class, or one mask a region (later over
    earlier).
    """
    if len(channels) == 1:
        return np.rint(channels[0]).astype(np.int32)
    if pipeline.exclusive:
        return np.array(pipeline.values, dtype=np.int32)[channels.argmax(axis=0)]
    painted = np.zeros(channels.shape[1:], np.int32)
    for mask, value in zip(channels, pipeline.values[-len(channels) :], strict=True):
        painted[mask > 0.5] = value
    return painted


def _written(labels: Tensor, pipeline: Pipeline) -> BundleLabels:
    """The result of `_labels` as maps.

    Where it holds a label that the metadata does not name, or the bundle made one mask of its regions by
    itself (BraTS: 1, 2 and 4), only its author knows which number is what.
    """
    from ctseg_models.inference.labels.confidence import values_in
    from ctseg_models.inference.maps.stored import LabelMaps

    own = bool((labels < 0).any())
    labels = labels.abs()
    occurring = [value for value in values_in(labels) if value]
    named = not own and set(occurring) <= set(pipeline.labels)
    values = (0, *sorted({*pipeline.labels, *occurring})) if named else (0, *occurring)
    return BundleLabels(LabelMaps(labels, values), values, named)


def _ras(geometry: Geometry) -> Any:
    """4x4: NIfTI's (i, j, k) to RAS mm, as in nibabel for the stored array."""
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ geometry.affine_lps[:, [2, 1, 0, 3]]
    return np.ascontiguousarray(affine)


def _geometry_of(result: Any, shape: tuple[int, ...]) -> Geometry:
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(result.affine, np.float64)
    return Geometry((shape[2], shape[1], shape[0]), affine[:, [2, 1, 0, 3]])
