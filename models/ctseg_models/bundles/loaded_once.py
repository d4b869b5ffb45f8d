"""A bundle that keeps its networks in memory, to run on many images in one process."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from ctseg_imaging.volume import Volume
from ctseg_models.contract.bundle import Bundle
from ctseg_models.contract.run_warning import RunWarning
from ctseg_models.contract.stage import Model


@dataclass(frozen=True, eq=False, repr=False)
class LoadedOnce(Bundle):
    """Another bundle, whose weights are read at the first `load` on a device and kept as long as this lives.

    Files that change on disk afterwards do not matter to it. source : the other bundle.
    """

    source: Bundle
    _models: dict[str, Model] = field(default_factory=dict)  # by device

    @classmethod
    def of(cls, bundle: Bundle) -> LoadedOnce:
        """`bundle` itself if it is one already."""
        if isinstance(bundle, cls):
            return bundle
        return cls(**{one.name: getattr(bundle, one.name) for one in fields(Bundle)}, source=bundle)

    @property
    def needs_trust(self) -> tuple[str, ...]:
        return self.source.needs_trust

    def verify(self) -> None:
        self.source.verify()

    def load(self, device: str = "cpu") -> Model:
        if device not in self._models:
            self._models[device] = self.source.load(device)
        return self._models[device]

    def warnings_for(self, volume: Volume) -> tuple[RunWarning, ...]:
        return self.source.warnings_for(volume)
