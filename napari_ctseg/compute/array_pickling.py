"""Objects sent between processes over a private pipe: a pickle, and each large array in shared memory.

An array is written once to an anonymous file in memory and mapped by the receiver, which needs no copy. Such
a file has no name: it disappears with its last holder, even if both processes are killed.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import socket
import sys
import tempfile
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

LARGE = 1 << 16  # bytes; smaller arrays travel inside the pickle
CHUNK = 8 << 20  # bytes written at once
Entry = tuple[
    int, "np.dtype[Any]", tuple[int, ...], tuple[int, ...]
]  # which file, dtype, shape as written, axes as written


class PickledMessage:
    """What `send` has sent. The sender keeps it until the receiver has answered; until then no one else may
    hold the files.
    """

    def __init__(self, content: object) -> None:
        """Raises OSError if there is too little space for the arrays, pickle.PicklingError for objects that
        cannot be sent.
        """
        self.files: list[BinaryIO] = []
        stream = io.BytesIO()
        try:
            _Packer(stream, self.files).dump(content)
        except BaseException:
            self.close()
            raise
        self.pickled = stream.getbuffer()

    def send(self, connection: Connection, receiver: int) -> None:
        """Send it to the process `receiver`. Raises OSError if that is gone."""
        connection.send(len(self.files))
        for file in self.files:
            _send_file(connection, file, receiver)
        connection.send_bytes(self.pickled)

    def close(self) -> None:
        """Release the arrays; what the receiver has mapped stays valid."""
        for file in self.files:
            file.close()


def receive(connection: Connection) -> Any:
    """Wait for a message and unpack it; its large arrays are writable and belong to this process. Raises
    EOFError if the sender is gone.
    """
    files: list[BinaryIO] = []
    try:
        for _ in range(connection.recv()):
            files.append(_receive_file(connection))
        return _Unpacker(io.BytesIO(connection.recv_bytes()), files).load()
    finally:
        for file in files:
            file.close()


class _Packer(pickle.Pickler):
    def __init__(self, stream: io.BytesIO, files: list[BinaryIO]) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self._files = files
        self._written: dict[
            int, tuple[NDArray[Any], Entry]
        ] = {}  # by id, which is an array's own only while it is held

    def persistent_id(self, content: Any) -> Entry | None:
        if type(content) not in (np.ndarray, np.memmap) or content.nbytes < LARGE or content.dtype.hasobject:
            return None
        if id(content) not in self._written:
            axes = tuple(
                int(axis) for axis in np.argsort([-abs(stride) for stride in content.strides], kind="stable")
            )
            as_stored = content.transpose(axes)
            file = _memory_file()
            self._files.append(file)
            _write(file, as_stored)
            self._written[id(content)] = content, (len(self._files) - 1, content.dtype, as_stored.shape, axes)
        return self._written[id(content)][1]


class _Unpacker(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, files: list[BinaryIO]) -> None:
        super().__init__(stream)
        self._files = files
        self._mapped: dict[int, NDArray[Any]] = {}

    def persistent_load(self, entry: Entry) -> NDArray[Any]:
        number, dtype, shape, axes = entry
        if number not in self._mapped:
            memory = mmap.mmap(self._files[number].fileno(), 0)
            self._mapped[number] = np.frombuffer(memory, dtype).reshape(shape).transpose(np.argsort(axes))
        return self._mapped[number]


def _write(file: BinaryIO, array: NDArray[Any]) -> None:
    """Write in chunks along the first axis: an array with gaps or flipped axes is never copied as a whole,
    and writing releases the GIL. Unlike a store to a mapping, a write fails with an OSError if there is too
    little space.
    """
    step = max(1, CHUNK * len(array) // array.nbytes)
    for start in range(0, len(array), step):
        part = np.ascontiguousarray(array[start : start + step])
        left = part.reshape(-1).view(np.uint8).data
        while left:
            left = left[file.write(left) :]


def _memory_file() -> BinaryIO:
    """A file without a name: in memory on Linux, otherwise in the folder for temporary files."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("napari-ctseg"), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


def _send_file(connection: Connection, file: BinaryIO, receiver: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        reduction.send_handle(connection, msvcrt.get_osfhandle(file.fileno()), receiver)
        return
    with socket.socket(fileno=os.dup(connection.fileno())) as pipe:
        pipe.setblocking(True)  # another plugin may have set another default
        socket.send_fds(pipe, [b"f"], [file.fileno()])


def _receive_file(connection: Connection) -> BinaryIO:
    if sys.platform == "win32":
        import msvcrt

        return os.fdopen(
            msvcrt.open_osfhandle(reduction.recv_handle(connection), os.O_RDWR), "r+b", buffering=0
        )
    with socket.socket(fileno=os.dup(connection.fileno())) as pipe:
        pipe.setblocking(True)
        _, (descriptor,), _, _ = socket.recv_fds(pipe, 1, 1)
    return os.fdopen(descriptor, "r+b", buffering=0)
