"""Decoding DICOM pixels and turning them into real values, slice by slice."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.dicom_slices import Slice
from ctseg_imaging.formats.scaling import smallest_integer

_UNREADABLE = (ValueError, AttributeError, RuntimeError, NotImplementedError, EOFError, KeyError, IndexError, TypeError)


class Pixels:
    """Stored numbers of slices; the last file is kept, so that the frames of one file are decoded once. path : named in errors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Path | None = None
        self._frames: NDArray[Any] = np.empty(0)

    def __getitem__(self, one: Slice) -> NDArray[Any]:
        """(rows, columns) stored numbers. Raises FormatError if they are cut off or compressed in an unknown way."""
        if self._file != one.path:
            self._frames = self._decode(one)
            self._file = one.path
        plane: NDArray[Any] = self._frames if one.frame < 0 else self._frames.reshape(-1, *one.shape)[one.frame]
        return plane

    def identical(self, a: Slice, b: Slice) -> bool:
        """Whether two slices mean the same values in every pixel."""
        return (a.slope, a.intercept) == (b.slope, b.intercept) and np.array_equal(self[a].copy(), self[b])

    def _decode(self, one: Slice) -> NDArray[Any]:
        name = one.path.name if one.path != self.path else "it"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings may quote values
            try:
                dataset = pydicom.dcmread(one.path, force=True)
                if not any(word in dataset for word in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
                    raise FormatError(f"{self.path}: {name} holds no pixels; copy or export the series again.")
                syntax = UID(str(dataset.file_meta.get("TransferSyntaxUID", "")))
                if syntax.is_encapsulated and not _has_decoder(syntax):
                    return decode_with_itk(one)
                pixels: NDArray[Any] = dataset.pixel_array
            except _UNREADABLE as error:
                raise FormatError(f"{self.path}: the pixels of {name} cannot be read: they are cut off, damaged or compressed in an "
                                  "unknown way; copy the series again or export it uncompressed.") from error
        return pixels


def decode_with_itk(one: Slice) -> NDArray[Any]:
    """The stored numbers of one file by SimpleITK (its GDCM knows JPEG, JPEG-LS, JPEG 2000 and RLE), where pydicom lacks the plugin.

    SimpleITK applies the rescale of the file; it is taken back. Raises RuntimeError if it cannot read the file either.
    """
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(one.path), imageIO="GDCMImageIO"))
    values = values if one.frame >= 0 else values[0]
    stored: NDArray[Any] = np.rint((values.astype(np.float64) - one.intercept) / one.slope).astype(np.int32)
    return stored


def _has_decoder(syntax: UID) -> bool:
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def real_volume(slices: Sequence[Slice], pixels: Pixels) -> NDArray[Any]:
    """(z, y, x) real values: int16 where all fit (int32 if larger) when every slope and intercept is whole, else float32."""
    if all(one.slope.is_integer() and one.intercept.is_integer() for one in slices):
        return _whole_volume(slices, pixels)
    volume = np.empty((len(slices), *slices[0].shape), np.float32)
    for out, one in zip(volume, slices, strict=True):
        out[...] = pixels[one].astype(np.float64) * one.slope + one.intercept
    return volume


def _whole_volume(slices: Sequence[Slice], pixels: Pixels) -> NDArray[Any]:
    volume: NDArray[Any] = np.empty((len(slices), *slices[0].shape), np.int16)
    for k, one in enumerate(slices):
        stored = pixels[one]
        if stored.dtype.kind == "f":
            if volume.dtype.kind != "f":
                volume = volume.astype(np.float32)
            volume[k] = stored * one.slope + one.intercept
            continue
        values = stored.astype(np.int64) * int(one.slope) + int(one.intercept)
        needed = smallest_integer(int(values.min()), int(values.max()))
        if volume.dtype.kind == "i" and needed.itemsize > volume.dtype.itemsize:
            volume = volume.astype(needed)
        volume[k] = values
    return volume
