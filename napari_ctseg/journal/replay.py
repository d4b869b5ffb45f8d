"""Restores an array, its labels and its history from the frames of a journal."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import CtsegError, FormatError
from ctseg_imaging.geometry import AxisView, Geometry
from ctseg_imaging.volume import Label, LabelMap, Labels
from napari_ctseg.journal.frames import FrameKind, frames, heads
from napari_ctseg.journal.history import Gesture, History
from napari_ctseg.journal.limits import UNDO
from napari_ctseg.journal.patches import Patch, merged, unpack, write

EDITS = (FrameKind.GESTURE, FrameKind.UNDO, FrameKind.REDO, FrameKind.REVIEW)
MOST_VOXELS = 2**36
_DAMAGED = (
    "{path}: the kept edits are damaged before the first whole copy of the mask and cannot be restored; "
    "discard them."
)


@dataclass(frozen=True, eq=False)
class Replayed:
    """A restored mask.

    shown : (z, y, x) as on screen. label_map : the same in stored order. edits : JSON, for the list of edits
    in an export. provenance : of the prediction that was corrected, as in LayerSource; empty for a mask made
    by the user. review : its review marks, JSON; None for none.
    """

    shown: NDArray[Any]
    label_map: LabelMap
    history: History
    edits: list[dict[str, Any]]
    provenance: dict[str, Any]
    review: Any = None


@dataclass(frozen=True)
class Summary:
    """The content of a journal without the voxels. steps : gestures, undos, redos and review marks,
    including those of earlier generations.
    """

    steps: int
    geometry: Geometry
    labels: Labels


def summary(path: Path) -> Summary:
    """The summary of a journal.

    Raises FormatError if it cannot be restored, because it is not a journal or has no complete copy of the
    mask; FileNotFoundError.
    """
    try:
        found = list(heads(path, {FrameKind.HEADER, FrameKind.LABELS}))
        if (
            not found
            or found[0][0] is not FrameKind.HEADER
            or all(kind is not FrameKind.BASE_END for kind, _ in found)
        ):
            raise FormatError(_DAMAGED.format(path=path))
        header = json.loads(found[0][1])
        geometry, _ = _place(header)
        names = next(
            (json.loads(payload) for kind, payload in reversed(found) if kind is FrameKind.LABELS),
            header["labels"],
        )
        steps = (
            int(header.get("before", 0))
            + sum(kind in EDITS for kind, _ in found)
            + (found[-1][0] is FrameKind.PART)
        )
        return Summary(steps, geometry, labels_from_json(names))
    except FileNotFoundError:  # gone, not damaged
        raise
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
        ArithmeticError,
        CtsegError,
    ) as error:
        raise FormatError(_DAMAGED.format(path=path)) from error


def replay(path: Path) -> Replayed:
    """The mask as of the journal's last complete frame. Raises FormatError if it cannot be restored."""
    try:
        return _Replay().run(path)
    except FileNotFoundError as error:
        raise FormatError(
            f"{path}: these edits are no longer kept; they were exported or discarded in another viewer."
        ) from error
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        RecursionError,
        ArithmeticError,
        zlib.error,
        MemoryError,
        CtsegError,
    ) as error:
        raise FormatError(_DAMAGED.format(path=path)) from error


def labels_to_json(labels: Labels) -> list[list[Any]]:
    """Value, name, colour, contoured, named and tags of each label."""
    return [
        [label.value, label.name, label.colour, label.contoured, label.named, label.tags] for label in labels
    ]


def labels_from_json(entries: list[list[Any]]) -> Labels:
    """The inverse of `labels_to_json`; journals of earlier versions end each label after `contoured`."""
    return Labels(tuple(_label(*entry) for entry in entries))


def _label(value: int, name: str, colour: str, contoured: bool, named: bool = True, tags: str = "") -> Label:
    return Label(int(value), str(name), str(colour), bool(contoured), bool(named), str(tags))


class _Replay:
    def __init__(self) -> None:
        self.history = History(UNDO.bytes)
        self.edits: list[dict[str, Any]] = []
        self.array: NDArray[Any] = np.zeros((0, 0, 0), np.uint8)
        self._parts: list[bytes] = []
        self._labels, self._review = Labels(), None

    def run(self, path: Path) -> Replayed:
        found = list(frames(path))
        if (
            not found
            or found[0][0] is not FrameKind.HEADER
            or all(kind is not FrameKind.BASE_END for kind, _ in found)
        ):
            raise ValueError("the base is missing")
        header = json.loads(found[0][1])
        geometry, view = _place(header)
        self.array = np.zeros(view.geometry(geometry).shape, np.dtype(header["dtype"]))
        self._labels = labels_from_json(header["labels"])
        self.edits, self._review = list(header["edits"]), header.get("review")
        # The base was written while edits went on: first the base, then every edit in order, makes each voxel
        # what it was last.
        for kind, payload in found:
            if kind is FrameKind.BASE:
                self._base(payload)
        for kind, payload in found:
            self._step(kind, payload)
        if self._parts:
            self._gesture({"operation": "unfinished stroke"})
        label_map = LabelMap(np.ascontiguousarray(view.invert(self.array)), geometry, self._labels)
        return Replayed(
            view.apply(label_map.array),
            label_map,
            self.history,
            self.edits,
            dict(header.get("provenance", {})),
            self._review,
        )

    def _base(self, payload: bytes) -> None:
        first, stop = (int(n) for n in np.frombuffer(payload, "<u4", 2))
        slab = self.array[first:stop]
        slab[...] = np.frombuffer(zlib.decompress(payload[8:]), self.array.dtype).reshape(slab.shape)

    def _step(self, kind: FrameKind, payload: bytes) -> None:
        match kind:
            case FrameKind.PAST:
                self.history.done.append(_stored_gesture(payload, self.array.shape))
            case FrameKind.FUTURE:
                self.history.undone.append(_stored_gesture(payload, self.array.shape))
            case FrameKind.PART:
                self._write(unpack(payload))
                self._parts.append(payload)
            case FrameKind.GESTURE:
                self._gesture(json.loads(payload))
            case FrameKind.ABORT:
                if self._parts:
                    self._write(merged([unpack(part) for part in self._parts]).inverse)
                self._parts = []
            case FrameKind.UNDO:
                self._write(unpack(payload))
                self.history.back()
                self.edits.append({"operation": "undo"})
            case FrameKind.REDO:
                self._write(unpack(payload))
                self.history.forth()
                self.edits.append({"operation": "redo"})
            case FrameKind.LABELS:
                self._labels = labels_from_json(json.loads(payload))
            case FrameKind.REVIEW:
                self._review = json.loads(payload)
            case FrameKind.HEADER | FrameKind.BASE | FrameKind.BASE_END:
                pass

    def _write(self, patch: Patch) -> None:
        if len(patch) and not 0 <= patch.index[0] <= patch.index[-1] < self.array.size:
            raise ValueError("a patch lies outside the array")
        write(self.array, patch)

    def _gesture(self, meta: dict[str, Any]) -> None:
        self.history.push(Gesture(self.array.shape, meta, self._parts))
        self.edits.append(meta)
        self._parts = []


def gesture_payload(gesture: Gesture) -> bytes:
    """A complete gesture as the payload of a PAST or FUTURE frame."""
    parts = gesture.packed
    head = json.dumps({"meta": gesture.meta, "sizes": [len(part) for part in parts]}).encode()
    return len(head).to_bytes(4, "little") + head + b"".join(parts)


def _stored_gesture(payload: bytes, shape: tuple[int, ...]) -> Gesture:
    start = 4 + int.from_bytes(payload[:4], "little")
    head = json.loads(payload[4:start])
    parts = []
    for size in head["sizes"]:
        parts.append(payload[start : start + size])
        start += size
    return Gesture(shape, head["meta"], parts)


def _place(header: dict[str, Any]) -> tuple[Geometry, AxisView]:
    shape = tuple(int(n) for n in header["shape"])
    if len(shape) != 3 or min(shape) < 1 or int(np.prod(shape, dtype=object)) > MOST_VOXELS:
        raise ValueError("no shape of a volume")
    z, y, x = header["order"]
    a, b, c = header["flips"]
    geometry = Geometry((shape[0], shape[1], shape[2]), np.array(header["affine_lps"], float))
    return geometry, AxisView((int(z), int(y), int(x)), (bool(a), bool(b), bool(c)))
