"""Fitting a bundle's temperature on cases with known truth, and storing it in the bundle.

found = finish(calibrate(bundle, cases))
bundle = with_calibration(bundle, found, {"name": "headneck-ct", "cases": 10})
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import Volume
from ctseg_models.bundles import store
from ctseg_models.bundles.own.bundle import OwnBundle, read_own
from ctseg_models.bundles.own.writing import rewrite
from ctseg_models.calibration.temperature import SMALLEST, Calibration, CalibrationSamples, fit
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.upright import Upright
from ctseg_models.inference.inference_settings import InferenceSettings
from ctseg_models.inference.labels.class_maps import ClassMaps
from ctseg_models.inference.network.precision import check_device, choose
from ctseg_models.inference.network.threads import thread_count
from ctseg_models.inference.segmentation import segment
from ctseg_models.inference.stage_run import materialised

VOXELS_PER_CASE = 100_000


@dataclass(frozen=True, eq=False)
class KnownCase:
    """A case with known labels.

    truth : (z, y, x) label values of the bundle, on the volume's grid and in its voxel order. absent : values
    that were not contoured.
    """

    volume: Volume
    truth: NDArray[Any]
    absent: tuple[int, ...] = ()


class CaseReader(Protocol):
    """A case that is read when it is needed."""

    def __call__(self) -> KnownCase:
        """Read it."""


def calibrate(
    bundle: OwnBundle, cases: Sequence[CaseReader], settings: InferenceSettings = InferenceSettings()
) -> Generator[Progress, None, Calibration]:
    """The temperature of the last stage's probabilities.

    Every case is run as a user would run it; up to about VOXELS_PER_CASE voxels of the network's own lattice,
    evenly spread over its part of the volume, are compared with the truth. Raises BundleError for a bundle
    that only localises, as labels give its box and no temperature changes those, and for a truth on another
    grid.
    """
    if bundle.stages[-1].name == "localise":
        raise BundleError(
            f"{bundle.path}: only localises, so its probabilities are not shown; calibrate a bundle that "
            "segments."
        )
    check_device(settings.device)
    gathered = []
    with thread_count(settings.threads):
        model = bundle.load(settings.device)
        arithmetic = choose(settings.precision, settings.device)
        for number, read in enumerate(cases):
            yield Progress("calibrate", number, len(cases), "Running validation cases")
            case = read()
            if case.truth.shape != case.volume.geometry.shape:
                raise BundleError(
                    f"The truth of case {number + 1} has {case.truth.shape} voxels and its image "
                    f"{case.volume.geometry.shape}; both must lie on one grid."
                )
            upright = Upright.of(case.volume)
            found = yield from segment(model, upright, None, arithmetic)
            gathered.append(case_samples((yield from materialised(found.maps)), upright, case))
    samples = CalibrationSamples.join(gathered)
    if not len(samples.truth):
        raise BundleError(f"{bundle.name}: the cases hold no voxel that the network sees; name other cases.")
    yield Progress("calibrate", len(cases), len(cases), "Fitting the temperature")
    return fit(samples)


def case_samples(
    maps: ClassMaps, upright: Upright, case: KnownCase, most: int = VOXELS_PER_CASE
) -> CalibrationSamples:
    """Logits and truth at the voxels of the maps' lattice whose centres lie in the volume.

    The truth is that of the volume's voxel that holds the centre. Voxels predicted as a label that was not
    contoured are left out, as it is not known whether they are right.
    """
    truth = upright.view.apply(case.truth)
    inside, voxel = [], []
    for n, low, step, size, spacing in zip(
        maps.lattice.shape,
        maps.lattice.low_mm,
        maps.lattice.spacing_mm,
        truth.shape,
        upright.geometry.spacing_mm,
        strict=True,
    ):
        index = np.floor((low + (np.arange(n) + 0.5) * step) / spacing).astype(int)
        inside.append(np.flatnonzero((index >= 0) & (index < size)))
        voxel.append(index)
    every = max(1, math.ceil((math.prod(len(axis) for axis in inside) / most) ** (1 / 3)))
    z, y, x = (axis[::every] for axis in inside)
    values = truth[np.ix_(voxel[0][z], voxel[1][y], voxel[2][x])].ravel()
    columns = [
        torch.stack([maps.maps.part(k, int(i), int(i) + 1)[0][np.ix_(y, x)] for i in z]).reshape(-1)
        if len(z)
        else torch.zeros(0)
        for k in range(len(maps.each))
    ]
    logits = torch.stack(columns, dim=1)
    if maps.form == "probabilities":
        logits = logits.clamp_min(SMALLEST).log()
    predicted = np.array(maps.each)[logits.argmax(dim=1).numpy()]
    known = np.isin(values, maps.each) & ~np.isin(predicted, case.absent)
    place = np.zeros(max((*maps.each, int(values.max(initial=0)))) + 1, np.int64)
    place[list(maps.each)] = np.arange(len(maps.each))
    return CalibrationSamples(
        logits[torch.from_numpy(known)], torch.from_numpy(place[values[known].astype(np.int64)])
    )


def with_calibration(bundle: OwnBundle, found: Calibration, data: Mapping[str, Any]) -> OwnBundle:
    """Store a temperature in the bundle's metadata, with its errors before and after; the weights do not
    change.

    data : what it was fitted on, plain JSON without names of cases. Raises BundleError when the bundle cannot
    be written.
    """
    record = {
        key: round(value, 5) if isinstance(value, float) else value for key, value in asdict(found).items()
    }
    last = bundle.stages[-1].model_copy(
        update={"temperature": record.pop("temperature"), "calibration": {**record, "data": dict(data)}}
    )
    block = bundle.block.model_copy(update={"stages": (*bundle.stages[:-1], last)})
    return rewrite(bundle, block)


def copied_with_calibration(
    bundle: OwnBundle, found: Calibration, data: Mapping[str, Any], *, overwrite: bool = False
) -> Bundle:
    """A copy in the user's folder of bundles with the temperature stored in it, whole or not at all.

    data : see with_calibration. Raises BundleExists when a bundle of this name exists, unless `overwrite`;
    else BundleError.
    """
    with tempfile.TemporaryDirectory(prefix="ctseg-calibrated-") as work:
        folder = Path(work) / bundle.path.name
        try:
            shutil.copytree(bundle.path, folder, copy_function=shutil.copyfile)
        except OSError as error:
            raise BundleError(
                f"{bundle.path}: cannot be copied ({error.strerror}); free some space in "
                f"{tempfile.gettempdir()}."
            ) from error
        return store.add(with_calibration(read_own(folder), found, data).path, overwrite=overwrite)
