"""What the computing process keeps between runs: the last model, and the last volume's localiser boxes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from ctseg_imaging.volume import Volume

if TYPE_CHECKING:
    from ctseg_models.contract.bundle import Bundle
    from ctseg_models.contract.stage import Model
    from ctseg_models.inference import LocaliserCache


class ModelCache:
    """One model and the boxes of one volume, so what is kept stays small."""

    def __init__(self) -> None:
        self._model: tuple[tuple[str, str, str], Model] | None = None
        self._boxes: tuple[bytes, LocaliserCache] | None = None

    def model(self, bundle: Bundle, device: str) -> Model | None:
        """The bundle's networks on `device`, loaded unless they are in memory; None if the caller has to load
        them.

        The hash of its files identifies a bundle. One that needs trust is not kept, so the user is asked each
        time. Raises BundleError as `load` does, and if the device cannot be used.
        """
        from ctseg_models.inference.network.precision import check_device

        check_device(device)
        if not bundle.sha256 or bundle.needs_trust:
            self._model = None
            return None
        key = str(bundle.path), bundle.sha256, device
        if self._model is None or self._model[0] != key:
            self._model = None  # freed before the next one is loaded
            self._model = key, bundle.load(device)
        return self._model[1]

    def remembered(self, volume: Volume) -> LocaliserCache:
        """The localiser boxes of a volume with the same values on the same grid; empty for another volume,
        which replaces the last.
        """
        from ctseg_models.inference import LocaliserCache

        key = identity(volume)
        if self._boxes is None or self._boxes[0] != key:
            self._boxes = key, LocaliserCache()
        return self._boxes[1]


def identity(volume: Volume) -> bytes:
    """A hash of a volume's values, their order in memory and its grid."""
    array = volume.array
    axes = np.argsort([-abs(stride) for stride in array.strides], kind="stable")
    found = hashlib.blake2b(
        repr((array.shape, array.dtype.str, axes.tolist())).encode() + volume.geometry.affine_lps.tobytes()
    )
    for part in array.transpose(axes):
        found.update(np.ascontiguousarray(part).data)
    return found.digest()
