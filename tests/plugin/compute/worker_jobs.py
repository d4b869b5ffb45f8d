"""Work for the computing process in tests: both processes import this file by its name."""

import os
import re
import signal
import warnings

import numpy as np

from ctseg_imaging.errors import BundleError
from ctseg_imaging.progress import Progress


class NeedsTwo(BundleError):
    """An exception that pickling cannot rebuild."""

    def __init__(self, name, reason):
        super().__init__(f"{name}: {reason}")


class Foreign(ValueError):
    """An exception of a module that the viewer does not load."""


def thresholded(array, above):
    """Progress, then the array's properties and a mask."""
    yield Progress("segment", 1, 2, "half")
    yield Progress("assemble", 2, 2, "all")
    return {
        "strides": array.strides,
        "writable": array.flags.writeable,
        "sum": int(array.sum(dtype=np.int64)),
        "mask": array > above,
    }


def process():
    """The number of the process, and what it has loaded."""
    import sys

    yield Progress("look")
    return os.getpid(), "torch" in sys.modules, "napari" in sys.modules or "qtpy" in sys.modules


def raising(name):
    """Raises one of several kinds."""
    warnings.warn("Doe^John", stacklevel=1)
    print("Doe^John")
    yield Progress("start")
    errors = {
        "ours": BundleError("toy: is damaged; get it again."),
        "two": NeedsTwo("toy", "is damaged"),
        "foreign": Foreign("seven"),
        "python": KeyError("seven"),
        "memory": MemoryError("8 GB"),
        "answer": None,
    }
    if errors[name] is not None:
        raise errors[name]
    return lambda: "cannot be pickled"


def dying(number):
    """Ends its own process with a signal; 0: with an exit code."""
    yield Progress("segment", 1, 2)
    print("last words", flush=True)
    if number:
        os.kill(os.getpid(), number)
        signal.pause()
    os._exit(7)


def endless(closed):
    """Steps without an end; writes to a file when it was closed."""
    try:
        while True:
            yield Progress("segment")
    finally:
        closed.write_text("closed")


def deaf():
    """A call that holds the interpreter and never returns."""
    yield Progress("segment")
    re.match("(a+)+$", "a" * 60 + "b")
    yield Progress("never")


def hungry(megabytes):
    """Takes more memory than the process may have."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    yield Progress("segment")
    return np.ones((1 << 40,), np.uint8)


def resident(array):
    """Memory in MB while a copy of the array lives."""
    import psutil

    held = array.astype(np.float64)
    yield Progress("segment")
    return psutil.Process().memory_info().rss / 1e6, float(held[0, 0, 0])


def network(seconds):
    """A real convolution in torch, over and over, as a network is run."""
    import time

    import torch

    x, kernel = torch.zeros(1, 8, 24, 64, 64), torch.zeros(8, 8, 3, 3, 3)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        x = torch.nn.functional.conv3d(x, kernel, padding=1)
        yield Progress("segment", 1, 2, "convolving")
