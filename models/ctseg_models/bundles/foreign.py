"""What TorchScript and ONNX files have in common: a side file, a network that nobody can look into, one stage."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ctseg_imaging.errors import BundleError
from ctseg_models.bundles.bundle import Bundle, Kind, LoadedStage, Model
from ctseg_models.bundles.hashes import sha256_of
from ctseg_models.bundles.side_file import SideFile, read_side_file, side_file_path

if TYPE_CHECKING:
    from torch import Tensor

    from ctseg_models.inference.stepwise import Arithmetic

T = TypeVar("T")
# A network in memory: (1, C, a, b, c) float32 to (1, K, a, b, c), in its own axes, in steps.
Forward = Callable[["Tensor"], "Generator[float, None, Tensor]"]


@dataclass(frozen=True, eq=False)
class ForeignBundle(Bundle):
    """A network file with its side file."""

    side: SideFile

    @abstractmethod
    def forward(self, device: str) -> Forward:
        """Load the network. Raises BundleError."""

    def verify(self) -> None:
        if not self.path.is_file():
            raise BundleError(f"{self.path}: the file is missing; get the bundle again.")
        if self.side.sha256 and sha256_of(self.path) != self.side.sha256.lower():
            raise BundleError(f"{self.path}: the hash is not the one in its side file, so the file was damaged or changed; "
                              "get the bundle again.")

    def load(self, device: str = "cpu") -> Model:
        from ctseg_models.inference.planned import laid_out, planned

        self.verify()
        forward, side, path = self.forward(device), self.side, self.path

        def steps(x: Tensor, _: Arithmetic) -> Generator[float, None, Tensor]:
            turned = side.turn.to_network(x)
            output = yield from forward(turned)
            return side.turn.back(_class_maps(output, turned, side, path))

        values = side.output.classes if side.output.exclusive else (0, *side.output.classes)
        plan = side.plan()
        stage = LoadedStage("segment", planned(plan), steps, values, lambda _: 0.0, laid_out(plan), spacing_mm=side.spacing_zyx_mm)
        return Model((stage,), self.labels, device)


def describe(path: Path, kind: Kind) -> dict[str, object]:
    """The fields of Bundle and `side` for a network file. Raises BundleError."""
    if not path.is_file():
        raise BundleError(f"{path}: does not exist; check the name.")
    side = read_side_file(path)
    both = hashlib.sha256((sha256_of(path) + sha256_of(side_file_path(path))).encode()).hexdigest()
    return {"name": side.name or path.name.split(".")[0], "path": path, "kind": kind, "labels": side.label_set(),
            "channels": tuple(channel.name for channel in side.channels), "modality": side.modality,
            "spacing_mm": side.spacing_zyx_mm, "card": side.card, "sha256": both, "version": side.version, "side": side}


def _class_maps(output: Tensor, given: Tensor, side: SideFile, path: Path) -> Tensor:
    """A network's output as (K, a, b, c) float32 probabilities. Raises BundleError when its shape is not what was promised."""
    import torch

    wanted = (1, len(side.output.classes), *given.shape[2:])
    if tuple(output.shape) != wanted:
        raise BundleError(f"{path}: the network gave an array of {tuple(output.shape)} where the side file promises {wanted}; "
                          "mend output.classes, patch or multiple_of in the side file.")
    maps = output[0].float()
    if side.output.kind == "logits":
        maps = maps.softmax(dim=0) if side.output.exclusive else maps.sigmoid()
    if not side.output.exclusive:
        maps = torch.cat([1 - maps.amax(dim=0, keepdim=True), maps])
    return maps


def in_background(call: Callable[[], T], stop: Callable[[], None] = lambda: None) -> Generator[float, None, T]:
    """Run `call` in a thread, yielding five times a second; closing the generator calls `stop` and does not wait."""
    from concurrent.futures import Future
    from concurrent.futures import TimeoutError as NotYet
    from threading import Thread

    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            future.set_exception(error)

    Thread(target=work, name="ctseg network", daemon=True).start()
    try:
        while True:
            try:
                return future.result(timeout=0.2)
            except NotYet:
                if future.done():
                    raise
                yield 0.0
    finally:
        if not future.done():
            stop()
