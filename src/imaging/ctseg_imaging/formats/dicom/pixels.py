"""Decoding DICOM pixels and turning them into real values, slice by slice."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from ctseg_imaging.errors import FormatError
from ctseg_imaging.formats.dicom.stacking.slices import Slice
from ctseg_imaging.formats.dicom.tags import UNREADABLE
from ctseg_imaging.formats.scaling import smallest_integer
from ctseg_imaging.progress import Progress
from ctseg_imaging.volume import slice_number

_END_OF_IMAGE, _PADDED = b"\xff\xd9", 8  # bytes at the end of a frame that hold the marker
_ENDS_WITH_MARKER = (
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)


class StoredPixels:
    """The stored numbers of slices.

    The last file is cached, so the frames of one file are decoded once. path : named in errors.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Path | None = None
        self._frames: NDArray[Any] = np.empty(0)

    def __getitem__(self, one: Slice) -> NDArray[Any]:
        """(rows, columns) stored numbers.

        Raises FormatError if they are cut off or compressed in an unknown way.
        """
        if self._file != one.path:
            self._frames = self._decode(one)
            self._file = one.path
        plane: NDArray[Any] = (
            self._frames if one.frame < 0 else self._frames.reshape(-1, *one.shape)[one.frame]
        )
        return plane

    def identical(self, a: Slice, b: Slice) -> bool:
        """Whether two slices mean the same values in every pixel."""
        return a.rescale.line == b.rescale.line and np.array_equal(self[a].copy(), self[b])

    def _decode(self, one: Slice) -> NDArray[Any]:
        name = one.path.name if one.path != self.path else "it"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's warnings may quote values
            try:
                dataset = pydicom.dcmread(one.path, force=True)
                if not any(
                    word in dataset for word in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
                ):
                    raise FormatError(
                        f"{self.path}: {name} holds no pixels; copy or export the series again."
                    )
                syntax = _transfer_syntax(dataset)
                self._check_whole(dataset, syntax, name)
                if syntax.is_encapsulated and not _has_decoder(syntax):
                    return _decode_without_plugin(self.path, name, one, syntax)
                pixels: NDArray[Any] = dataset.pixel_array
            except (*UNREADABLE, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                raise FormatError(
                    f"{self.path}: the pixels of {name} cannot be read: they are cut off, damaged or "
                    "compressed in an unknown way; copy the series again or export it uncompressed."
                ) from error
        planes = pixels.reshape(-1, *one.shape) if pixels.shape[-2:] == one.shape else pixels[:0]
        if len(planes) <= one.frame or (one.frame < 0 and pixels.shape != one.shape):
            raise FormatError(
                f"{self.path}: the pixels of {name} are {pixels.shape} where its header has {one.shape}; "
                "export it again."
            )
        return pixels

    def _check_whole(self, dataset: Dataset, syntax: UID, name: str) -> None:
        """Raise FormatError for a stream that its decoder would complete, and for a row or more beyond the
        picture.
        """
        frames = int(dataset.get("NumberOfFrames") or 1)
        if syntax in _ENDS_WITH_MARKER:
            for frame in generate_frames(dataset.PixelData, number_of_frames=frames):
                if _END_OF_IMAGE not in frame[-_PADDED:]:
                    raise FormatError(
                        f"{self.path}: the compressed pixels of {name} end too early; copy or export the "
                        "series again."
                    )
        elif not syntax.is_encapsulated and "PixelData" in dataset:
            row = int(dataset.Columns) * int(dataset.SamplesPerPixel) * int(dataset.BitsAllocated) // 8
            if len(dataset.PixelData) - frames * int(dataset.Rows) * row >= max(
                row, 2
            ):  # one byte may make it even
                raise FormatError(
                    f"{self.path}: {name} holds more pixels than its {dataset.Rows} rows and {frames} "
                    "frame(s) take; export it again."
                )


def _transfer_syntax(dataset: Dataset) -> UID:
    """The transfer syntax; for a file without file meta information the one that pydicom recognised, which is
    set.
    """
    if "TransferSyntaxUID" not in dataset.file_meta:
        is_implicit, is_little = dataset.original_encoding
        found = (
            ImplicitVRLittleEndian
            if is_implicit
            else ExplicitVRLittleEndian
            if is_little
            else ExplicitVRBigEndian
        )
        dataset.file_meta.TransferSyntaxUID = found
    return UID(str(dataset.file_meta.TransferSyntaxUID))


def _decode_without_plugin(path: Path, name: str, one: Slice, syntax: UID) -> NDArray[Any]:
    try:
        return decode_with_itk(one)
    except RuntimeError as error:
        raise FormatError(
            f"{path}: {name} is compressed ({syntax.name}) and no installed library decodes that; install "
            "the extra napari-ctseg[dicom], or export the series uncompressed."
        ) from error


def decode_with_itk(one: Slice) -> NDArray[Any]:
    """The stored numbers of one file by SimpleITK (whose GDCM decodes JPEG, JPEG-LS, JPEG 2000 and RLE),
    where pydicom lacks the plugin.

    SimpleITK applies the rescale of the file; it is undone here. Raises RuntimeError if it cannot read the
    file either.
    """
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(one.path), imageIO="GDCMImageIO"))
    values = values if one.frame >= 0 else values[0]
    slope, intercept = one.rescale.line
    stored: NDArray[Any] = np.rint((values.astype(np.float64) - intercept) / slope).astype(np.int32)
    return stored


def _has_decoder(syntax: UID) -> bool:
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def decoding(slices: Sequence[Slice], pixels: StoredPixels) -> Generator[Progress, None, NDArray[Any]]:
    """(z, y, x) real values: int16 where all fit (int32 if larger) when every slope and intercept is whole,
    else float32.
    """
    whole = all(one.rescale.is_whole for one in slices)
    volume: NDArray[Any] = np.empty((len(slices), *slices[0].shape), np.int16 if whole else np.float32)
    for k, one in enumerate(slices):
        yield Progress("pixels", k, len(slices), f"Reading slice {slice_number(k)} of {len(slices)}")
        values = real_values(one, pixels)
        if values.dtype.kind == "f" and volume.dtype.kind == "i":
            volume = volume.astype(np.float32)
        elif values.dtype.kind == "i" and volume.dtype.kind == "i":
            needed = smallest_integer(int(values.min()), int(values.max()))
            if needed.itemsize > volume.dtype.itemsize:
                volume = volume.astype(needed)
        volume[k] = values
    return volume


def real_values(one: Slice, pixels: StoredPixels) -> NDArray[Any]:
    """(rows, columns) of one slice after its rescale: int64 where slope, intercept and pixels are whole and
    every result fits, else float64.
    """
    stored = pixels[one]
    slope, intercept = one.rescale.line
    if stored.dtype.kind == "f" or not _stays_whole(one, stored):
        values: NDArray[Any] = stored.astype(np.float64) * slope + intercept
    else:
        values = stored.astype(np.int64) * int(slope) + int(intercept)
    return values


def _stays_whole(one: Slice, stored: NDArray[Any]) -> bool:
    if not one.rescale.is_whole:
        return False
    largest = max(abs(int(stored.min())), abs(int(stored.max())))
    return largest * abs(int(one.rescale.slope)) + abs(int(one.rescale.intercept)) <= np.iinfo(np.int64).max
