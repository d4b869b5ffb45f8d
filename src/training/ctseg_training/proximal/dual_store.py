"""u and w of every training sample, in half precision, in one memory-mapped file next to the checkpoints.

Training writes into the file at every step, so after a kill it matches no checkpoint. A run that is to
continue as if it had never stopped takes a `snapshot` before each checkpoint (such as `duals-00400.snapshot`;
the older one is deleted once the checkpoint is written), and begins with `restore` of the one with the
checkpoint's step.

The file: a header of one page, JSON padded with spaces, then float16 (samples, 2, K, [Z,] Y, X), u before w;
holes where nothing was put.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctseg_imaging.errors import RecipeError
from ctseg_imaging.formats.disk.atomic import atomic_path

NAME = "duals.f16"
HEADER_BYTES = 4096
VERSION = 1


class DualStore:
    """The file `folder`/duals.f16, opened if it is there and made, with u = w = 0, if not.

    shape_per_sample : (K, [Z,] Y, X), the same for all. samples : how many images in their augmented versions
    there are; a sample's number is the same in every epoch. step : of the checkpoint that the file matches;
    None once something was put. Raises RecipeError if the file is of another shape, or the disk has no room
    for the file and a snapshot.
    """

    def __init__(self, folder: Path, shape_per_sample: Sequence[int], samples: int) -> None:
        self.path = folder / NAME
        self.shape = (samples, 2, *(int(n) for n in shape_per_sample))
        if not self.path.exists():
            self._create()
        self._open()

    def get(self, indices: Sequence[int] | Tensor) -> tuple[Tensor, Tensor]:
        """u and w of these samples, (len(indices), K, [Z,] Y, X) float32 copies."""
        both = torch.from_numpy(self._map[_numbers(indices)].astype(np.float32))
        return both[:, 0], both[:, 1]

    def put(self, indices: Sequence[int] | Tensor, u: Tensor, w: Tensor) -> None:
        """Keep u and w of these samples, rounded to float16.

        Raises ValueError for numbers that float16 cannot hold.
        """
        both = torch.stack([u, w], dim=1).detach().to("cpu", torch.float16)
        if not bool(both.isfinite().all()):
            raise ValueError(
                "u or w is not finite in half precision; w grows without end where the network cannot meet "
                "its areas."
            )
        if self.step is not None:
            self._mark(None)  # before the first change reaches the disk
        self._map[_numbers(indices)] = both.numpy()

    def flush(self) -> None:
        """Flush the values that were put to the disk."""
        self._map.flush()

    def snapshot(self, path: Path, step: int) -> None:
        """Copy the file for the checkpoint after `step` steps, atomically, replacing an older copy."""
        self.flush()
        self._mark(step)
        with atomic_path(path, overwrite=True) as temporary:
            shutil.copyfile(self.path, temporary)

    def restore(self, path: Path, step: int) -> None:
        """Replace the file by a snapshot.

        Raises RecipeError if it is missing, of another shape or of another step; the file is then as it was.
        """
        if (found := _header(path)) != (expected := self._fields(step)):
            raise RecipeError(
                f"{path}: holds {found}, the run to continue needs {expected}; continue from the checkpoint "
                "it belongs to."
            )
        del self._map  # some systems do not replace a file that is mapped
        try:
            with atomic_path(self.path, overwrite=True) as temporary:
                shutil.copyfile(path, temporary)
        finally:
            self._open()

    def clear(self) -> None:
        """Set u = w = 0, for a run that starts over."""
        del self._map
        self._create()
        self._open()

    def _create(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        size = HEADER_BYTES + 2 * math.prod(self.shape)
        if shutil.disk_usage(self.path.parent).free < 3 * size:
            raise RecipeError(
                f"{self.path}: u and w of {self.shape[0]} samples take {size / 1e9:.1f} GB, with two "
                "snapshots thrice that; free some space, or train on smaller crops."
            )
        with atomic_path(self.path, overwrite=True) as temporary, temporary.open("wb") as file:
            file.write(_page(self._fields(0)))
            file.truncate(size)

    def _open(self) -> None:
        found = _header(self.path)
        self.step: int | None = found.get("step")
        if found != (expected := self._fields(self.step)):
            raise RecipeError(
                f"{self.path}: holds {found}, this run needs {expected}; start it in another folder."
            )
        self._map: np.memmap[Any, np.dtype[np.float16]] = np.memmap(
            self.path, "<f2", "r+", HEADER_BYTES, self.shape
        )

    def _mark(self, step: int | None) -> None:
        with self.path.open("r+b") as file:
            file.write(_page(self._fields(step)))
        self.step = step

    def _fields(self, step: int | None) -> dict[str, Any]:
        return {"version": VERSION, "shape": list(self.shape), "step": step}


def _numbers(indices: Sequence[int] | Tensor) -> list[int]:
    return [int(index) for index in indices]


def _page(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields).encode().ljust(HEADER_BYTES)


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            fields = json.loads(file.read(HEADER_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(
            f"{path}: is not a file of u and w that this version can read; start the run again in another "
            "folder."
        ) from error
    return dict(fields)
