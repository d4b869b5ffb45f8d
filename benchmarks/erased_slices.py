"""Fill between slices next to itk-morphologicalcontourinterpolation: how well erased slices come back."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.editing import fill_between
from ctseg_imaging.geometry import Triple

Mask = NDArray[np.bool_]


def filled(truth: Mask, spacing_mm: Triple, gap: int, python: str) -> dict[str, Any]:
    """Dice of the erased slices, every `gap`-th kept, by ours and by ITK; CPU seconds of both.

    Empty where nothing was erased, `failed` where ITK's process died.
    """
    inside = np.flatnonzero(truth.any(axis=(1, 2)))
    kept = np.zeros_like(truth)
    kept[inside[::gap]] = truth[inside[::gap]]
    erased = [k for k in range(inside[0], inside[::gap][-1]) if k not in inside[::gap]]
    if not erased:
        return {}
    begun = time.process_time()
    ours = fill_between(kept, spacing_mm[1:])
    seconds = time.process_time() - begun
    try:
        theirs, itk_seconds = by_itk(kept, python)
    except subprocess.CalledProcessError:  # some structures make it end with a signal
        return {"failed": True}
    both = [2 * (m & truth)[erased].sum() / (m[erased].sum() + truth[erased].sum()) for m in (ours, theirs)]
    return {"dice": [float(d) for d in both], "seconds": [seconds, itk_seconds]}


ITK = """
import itk, numpy, sys, time
image = itk.image_from_array(numpy.load(sys.argv[1]).astype(numpy.uint8))
begun = time.process_time()
filled = itk.morphological_contour_interpolator(image, axis=2)
seconds = time.process_time() - begun
numpy.savez(sys.argv[2], mask=itk.array_from_image(filled) > 0, seconds=seconds)
"""


def by_itk(kept: Mask, python: str) -> tuple[Mask, float]:
    """The same by itk-morphologicalcontourinterpolation in another Python."""
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "kept.npy"), Path(folder, "filled.npz")
        np.save(source, kept)
        clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        subprocess.run([python, "-c", ITK, str(source), str(result)], check=True, env=clean)
        with np.load(result) as answer:
            return answer["mask"], float(answer["seconds"])
