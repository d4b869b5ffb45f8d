"""What TorchScript and ONNX files have in common: a side file, an opaque network, one stage."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ctseg_imaging.errors import BundleError
from ctseg_imaging.geometry import Shape
from ctseg_imaging.progress import scaled
from ctseg_models.bundles.single_file.input import laid_out, prepared
from ctseg_models.bundles.single_file.side_fields import OutputEntry, SideFile
from ctseg_models.bundles.single_file.side_file import read_side_file, side_file_path
from ctseg_models.contract.bundle import Bundle, BundleFormat
from ctseg_models.contract.stage import LoadedStage, Model
from ctseg_models.vetting.hashes import sha256_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ctseg_models.contract.arithmetic import Arithmetic

# A network in memory: its input array to its output array, both in the file's layout, in steps.
Forward = Callable[["Tensor"], "Generator[float, None, Tensor]"]


@dataclass(frozen=True, eq=False)
class Network:
    """forward : see Forward. flops : two per multiply-add for an input of (z, y, x); 0: not known. parameters
    : how many; 0: not known.
    """

    forward: Forward
    flops: Callable[[Shape], float] = lambda _: 0.0
    parameters: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class _WithSideFile(Bundle):
    """sha256 : computed by SingleFileBundle when it is not given."""

    side: SideFile
    sha256: str = field(init=False, repr=False)


class SingleFileBundle(_WithSideFile):
    """A network file with its side file; the network's bytes are read only when they are needed.

    So a list of bundles is fast. The sha256 of a side file is that of the network's file followed by its
    arrays, as of `cat NAME.onnx NAME.onnx.data`.
    """

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the hashes of the network's file, its side file and its arrays.

        Raises BundleError when one is missing.
        """
        files = self._files()
        return hashlib.sha256(
            "".join(_hash(file) for file in (files[0], side_file_path(self.path), *files[1:])).encode()
        ).hexdigest()

    @property
    def arrays(self) -> tuple[Path, ...]:
        """Files next to it that hold some of its weights.

        Raises BundleError when there may be some and the file is refused.
        """
        return ()

    @abstractmethod
    def network(self, device: str) -> Network:
        """Check the file and load it. Raises BundleError."""

    def _files(self) -> tuple[Path, ...]:
        """The network's file and its arrays. Raises BundleError when one is missing."""
        if not self.path.is_file():
            raise BundleError(f"{self.path}: the file is missing; get the bundle again.")
        for path in self.arrays:
            if not path.is_file():
                raise BundleError(
                    f"{path}: the arrays of {self.path.name} are missing; put this file next to it."
                )
        return self.path, *self.arrays

    def verify(self) -> None:
        files = self._files()
        if self.side.sha256 and sha256_of(*files) != self.side.sha256.lower():
            raise BundleError(
                f"{self.path}: the hash is not the one in its side file, so the file was damaged or changed; "
                "get the bundle again."
            )

    def load(self, device: str = "cpu") -> Model:
        self.verify()
        network, side, path = self.network(device), self.side, self.path

        def steps(x: Tensor, _: Arithmetic) -> Generator[float, None, Tensor]:
            maps = yield from _run(network.forward, side.turn.to_network(x), side, path)
            yield 0.0
            return side.turn.back(maps)

        stage = LoadedStage(
            "segment",
            prepared(side),
            steps,
            values_of(side.output),
            network.flops,
            laid_out(side),
            parameters=network.parameters,
            spacing_mm=side.spacing_zyx_mm,
            key=self.sha256,
            half=False,
        )
        return Model((stage,), self.labels, device)


def describe(path: Path, kind: BundleFormat) -> dict[str, object]:
    """The fields of SingleFileBundle for a network file, which is not read. Raises BundleError."""
    if not path.is_file():
        raise BundleError(f"{path}: does not exist; check the name.")
    side = read_side_file(path)
    return {
        "name": side.name or path.name.split(".")[0],
        "path": path,
        "kind": kind,
        "labels": side.label_set(),
        "channels": side.images,
        "modality": side.modality,
        "spacing_mm": side.spacing_zyx_mm,
        "card": side.card,
        "version": side.version,
        "side": side,
    }


def _hash(path: Path) -> str:
    about = path.stat()
    return _hash_of(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=256)
def _hash_of(path: Path, size: int, changed_ns: int) -> str:
    """The SHA-256 of a file of this size, changed at this time: cached. `verify` always reads the file."""
    return sha256_of(path)


def values_of(output: OutputEntry) -> tuple[int, ...]:
    """The label value of each map of `_run`: ascending, the background (0) first."""
    return tuple(sorted({0, *(value or 0 for value in output.classes)}))


def _run(forward: Forward, x: Tensor, side: SideFile, path: Path) -> Generator[float, None, Tensor]:
    """x : (1, C, a, b, c) along the network's axes. Returns (values, a, b, c) float32 probabilities."""
    import torch

    if side.layout not in ("NCHW", "NHWC"):
        output = yield from forward(_arranged(x, side.layout))
        return _class_maps(output, (x.shape[2], x.shape[3], x.shape[4]), side, path)
    parts = []
    for start in range(0, x.shape[2], side.batch):
        slices = x[0, :, start : start + side.batch].movedim(1, 0)
        count = len(slices)
        if count < side.batch:  # the last slices are padded to a batch, as a file may take one size only
            slices = torch.cat([slices, slices[-1:].expand(side.batch - count, -1, -1, -1)])
        work = forward(slices.movedim(1, -1).contiguous() if side.layout == "NHWC" else slices.contiguous())
        output = yield from scaled(work, side.batch / x.shape[2])
        parts.append(_class_maps(output, (side.batch, x.shape[3], x.shape[4]), side, path)[:, :count])
    return torch.cat(parts, dim=1)


def _arranged(x: Tensor, layout: str) -> Tensor:
    """(1, C, a, b, c) in the layout of the network."""
    arranged = {
        "NCDHW": x,
        "NDHWC": x.movedim(1, -1),
        "CDHW": x[0],
        "DHWC": x[0].movedim(0, -1),
        "DHW": x[0, 0],
    }[layout]
    return arranged.contiguous()


def _class_maps(output: Tensor, space: Shape, side: SideFile, path: Path) -> Tensor:
    """A network's output as (values, a, b, c) float32 probabilities. Raises BundleError for another shape."""
    maps = _channels_first(output, space, side, path)
    wanted, classes = side.output, len(side.output.classes)
    if wanted.kind == "labels":
        return _votes(maps[0], wanted, path)
    maps = maps.float()
    if wanted.kind == "logits":
        maps = maps.softmax(dim=0) if wanted.exclusive else maps.sigmoid()
    values = values_of(wanted)
    if wanted.exclusive and values == tuple(value or 0 for value in wanted.classes):
        return maps
    merged = maps.new_zeros(len(values), *space)
    for number in range(classes):
        one = merged[values.index(wanted.classes[number] or 0)]
        if wanted.merge == "sum" and wanted.exclusive:
            one += maps[number]
        else:
            one.copy_(one.maximum(maps[number]))
    if not wanted.exclusive:
        merged[0] = 1 - maps.amax(dim=0)
    elif wanted.merge == "strongest" and len(values) < classes:
        merged /= merged.sum(dim=0)
    return merged


def _channels_first(output: Tensor, space: Shape, side: SideFile, path: Path) -> Tensor:
    """(K, a, b, c), K = 1 for labels. Raises BundleError."""
    count = 1 if side.output.kind == "labels" else len(side.output.classes)
    sliced, last = side.layout in ("NCHW", "NHWC"), side.layout in ("NDHWC", "DHWC", "NHWC")
    shapes: list[tuple[int, ...]] = []
    if sliced:
        shapes = [(space[0], *space[1:], count) if last else (space[0], count, *space[1:])]
    else:
        plain = (*space, count) if last else (count, *space)
        shapes = [(1, *plain), plain]
    if count == 1:
        shapes += [space, (1, *space)]
    if tuple(output.shape) not in shapes:
        raise BundleError(
            f"{path}: the network gave an array of {tuple(output.shape)} where the side file promises "
            f"{shapes[0]}; fix output (classes, index, kind), layout, patch or multiple_of in the side file."
        )
    if tuple(output.shape) == space or count == 1:
        return output.reshape(1, *space)
    plain_output = output if sliced else output.reshape(shapes[1])
    if last:
        return plain_output.movedim(-1, 0)
    return plain_output.movedim(1, 0) if sliced else plain_output


def _votes(numbers: Tensor, wanted: OutputEntry, path: Path) -> Tensor:
    """Class numbers (a, b, c) as one map of 0 and 1 for each label value.

    Raises BundleError for a number that is not a class.
    """
    import torch

    classes = numbers.round().long() if numbers.is_floating_point() else numbers.long()
    if classes.numel() and (int(classes.min()) < 0 or int(classes.max()) >= len(wanted.classes)):
        raise BundleError(
            f"{path}: the network gave the class numbers {int(classes.min())} to {int(classes.max())} where "
            f"the side file has {len(wanted.classes)} classes; fix output.classes in the side file."
        )
    values = values_of(wanted)
    place = torch.tensor([values.index(value or 0) for value in wanted.classes], device=classes.device)
    return torch.stack([(place[classes] == number).float() for number in range(len(values))])


def cast(x: Tensor, kind: torch.dtype) -> Tensor:
    """As the network's number type: integers by rounding, within the type's range."""
    import torch

    if kind.is_floating_point:
        return x.to(kind)
    limits = torch.iinfo(kind)
    return x.double().round().clamp(limits.min, limits.max).to(kind)
