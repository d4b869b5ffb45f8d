"""Snap by a scripted user: Dice of a slice outlined with 4, 6, 8 and 12 clicks, next to the plain polygon.

   python benchmarks/snapping.py headneck-ct hippocampus-mr --data ../shared/data

Of every structure of the 20 held-out cases of benchmarks/correcting.py the slices at 1/4, 1/2 and 3/4 of its
height are outlined, each by its largest part. The clicks lie at equal distances on the border that is right,
on the nearest pixel inside. The polygon has straight lines between the same clicks.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import cc3d
import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon
from skimage.measure import find_contours

import napari_ctseg as ctseg
from benchmarks.correcting import held_out
from ctseg_imaging.editing.live_wire import LiveWire, Pixel, cost_of_gradient

CLICKS = (4, 6, 8, 12)
SHARES = (0.25, 0.5, 0.75)
MARGIN = 20  # pixels around the structure
Plane = NDArray[np.bool_]


def slices_of(mask: NDArray[np.bool_]) -> Iterator[tuple[int, Plane]]:
    """Slices of a structure with the largest part of it there."""
    filled = np.flatnonzero(mask.any(axis=(1, 2)))
    for k in sorted({int(filled[int(share * (len(filled) - 1))]) for share in SHARES}):
        parts = cc3d.connected_components(np.ascontiguousarray(mask[k]), connectivity=8)
        largest = np.bincount(parts.ravel())[1:].argmax() + 1
        if (parts == largest).sum() >= 12:
            yield k, parts == largest


def clicks(right: Plane, count: int) -> list[Pixel]:
    """Pixels inside of the border, at equal distances along it."""
    border = max(find_contours(np.pad(right, 1).astype(float), 0.5), key=len) - 1
    inside = np.argwhere(right)
    found: list[Pixel] = []
    for y, x in border[np.linspace(0, len(border) - 1, count + 1).astype(int)[:-1]]:
        row, column = inside[np.hypot(inside[:, 0] - y, inside[:, 1] - x).argmin()]
        if (pixel := (int(row), int(column))) not in found:
            found.append(pixel)
    return found


def plain(shape: tuple[int, ...], points: list[Pixel]) -> Plane:
    """The polygon through the points, with its border."""
    mask = np.zeros(shape, bool)
    rows, columns = np.array(points).T
    mask[polygon(rows, columns, shape)] = True
    mask[rows, columns] = True
    return mask


def dice(one: Plane, other: Plane) -> float:
    """Of two masks."""
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


def measured(image: NDArray[np.number], right: Plane, spacing_mm: tuple[float, float]) -> list[float]:
    """The Dice of polygon and Snap for each number of clicks."""
    rows, columns = (np.flatnonzero(right.any(axis=axis)) for axis in (1, 0))
    y, x = (slice(max(0, a[0] - MARGIN), a[-1] + MARGIN + 1) for a in (rows, columns))
    right, wire = right[y, x], LiveWire(cost_of_gradient(image[y, x], spacing_mm), spacing_mm)
    found = []
    for count in CLICKS:
        points = clicks(right, count)
        found += [dice(plain(right.shape, points), right), dice(wire.closed(points), right)]
    return found


def main() -> None:
    """Print a line for each data set and structure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_sets", nargs="+", choices=["headneck-ct", "hippocampus-mr"])
    parser.add_argument("--data", type=Path, default=os.environ.get("CTSEG_SHARED_DATA", "../shared/data"))
    chosen = parser.parse_args()
    for name in chosen.data_sets:
        root, rows = Path(chosen.data) / name, dict[str, list[list[float]]]()
        for case in held_out(root):
            volume, truth = ctseg.read(root / case["image"]), ctseg.read_labels(root / case["label"])
            spacing = volume.geometry.spacing_mm[1:]
            for label in truth.labels:
                if (mask := truth.array == label.value).any():
                    found = [measured(volume.array[k], plane, spacing) for k, plane in slices_of(mask)]
                    rows.setdefault(label.name, []).extend(found)
        every = [row for found in rows.values() for row in found]
        print(f"{name}: polygon, Snap with {CLICKS} clicks")
        for structure, found in {**rows, "all": every}.items():
            cells = " ".join(f"{value:.3f}" for value in np.mean(found, axis=0)) if found else "-"
            print(f"{structure:20} {len(found):4} slices  {cells}", flush=True)


if __name__ == "__main__":
    main()
