"""What the computing process keeps from one run to the next: the last model, and where localisers looked in
the last volume.
"""

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

    def loaded(self, bundle: Bundle, device: str) -> Bundle:
        """A bundle that belongs to the caller alone, whose `load` gives the networks that are in memory
        already, on `device`.

        The hash of its files says which they are. One that asks for trust is loaded each time, so it
        asks each time. Raises BundleError as `load` does, and when the device is not there.
        """
        from ctseg_models.inference.network.precision import check_device

        check_device(device)
        if not bundle.sha256 or bundle.needs_trust:
            self._model = None
            return bundle
        key = str(bundle.path), bundle.sha256, device
        if self._model is None or self._model[0] != key:
            self._model = None  # gone before the next one comes
            self._model = key, bundle.load(device)
        model, load = self._model[1], bundle.load
        # Another device is asked for when memory runs out on this one.
        object.__setattr__(bundle, "load", lambda wanted="cpu": model if wanted == device else load(wanted))
        return bundle

    def remembered(self, volume: Volume) -> LocaliserCache:
        """What was found in a volume of the same values on the same grid; empty for another one, which takes
        the place of the last.
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
