"""Checks of a slice's pixels from its headers: why they are not a plane of numbers, and why values may be
doubtful.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydicom.dataset import Dataset

from ctseg_imaging.formats.dicom.stacking import traits as dicom_traits
from ctseg_imaging.formats.dicom.tags import Garbled, integer, number, text, values, words

_PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"  # its pixels may be floats, of which no bits are described
_STORAGE = ("BitsAllocated", "BitsStored", "PixelRepresentation")


def picture_faults(headers: Sequence[Dataset]) -> list[str]:
    """Why a slice cannot be read. headers : its datasets, the most specific first."""
    return [*_kind_faults(headers), *_storage_faults(headers)]


def picture_remarks(headers: Sequence[Dataset]) -> tuple[str, ...]:
    """Sentences about its values."""
    return tuple(_remarks(headers))


def _remarks(headers: Sequence[Dataset]) -> Iterator[str]:
    if text(headers, "LossyImageCompression") in ("01", "1"):
        yield (
            "The images were compressed with loss, so fine structures and values may differ from the "
            "original."
        )
    if _has_another_scale(headers):
        yield (
            "The files map their values to real-world values (RealWorldValueMappingSequence), which was "
            "not applied."
        )


def _has_another_scale(headers: Sequence[Dataset]) -> bool:
    """Whether real-world values differ from the stored ones, which are used without a rescale."""
    if words(headers, "RescaleSlope"):
        return False
    try:
        scaled = [*headers, *values(headers, "RealWorldValueMappingSequence")[:1]]
        slope, intercept = number(scaled, "RealWorldValueSlope"), number(scaled, "RealWorldValueIntercept")
    except (Garbled, AttributeError):
        return False
    return slope is not None and (slope, intercept or 0.0) != (1.0, 0.0)


def _kind_faults(headers: Sequence[Dataset]) -> Iterator[str]:
    """Why the picture is not a plane of numbers: colour, a lookup table, a mosaic."""
    try:
        samples = integer(headers, "SamplesPerPixel") or 1
    except Garbled as fault:
        yield str(fault)
        samples = 1
    stored = text(headers, "PhotometricInterpretation").upper()
    if samples != 1 or (stored and not stored.startswith("MONOCHROME")):
        yield "it is a colour picture (a screen capture, a report or an overlay), not a CT, MR or PET image"
    try:
        if values(headers, "ModalityLUTSequence"):
            yield "it gives its values through a lookup table, which is not supported"
    except Garbled as fault:
        yield str(fault)
    count = dicom_traits.tiles(headers)
    if count is not None:
        yield (
            f"it is a Siemens mosaic, {count or 'many'} slices tiled in one picture, which is not supported "
            "(dcm2niix converts it, and scanners export the same as an enhanced, multi-frame object)"
        )


def _storage_faults(headers: Sequence[Dataset]) -> Iterator[str]:
    """Why the pixels do not say what their bits mean.

    Source: PS3.5 8.1.1; other places of the high bit are retired, and where files give them the bits mostly
    lie where they should.
    """
    floats = text(headers, "SOPClassUID") == _PARAMETRIC_MAP
    for keyword in ("SamplesPerPixel", "PhotometricInterpretation", *(() if floats else _STORAGE)):
        if not words(headers, keyword):
            yield f"{keyword} is missing or cannot be read, so its pixels could mean anything"
    try:
        stored, high, allocated = (
            integer(headers, keyword) for keyword in ("BitsStored", "HighBit", "BitsAllocated")
        )
    except Garbled as fault:
        yield str(fault)
        return
    if stored is not None and allocated is not None and stored > allocated:
        yield f"BitsStored is {stored} where a pixel has {allocated} bits"
    if stored is not None and high is not None and high != stored - 1:
        yield (
            f"HighBit is {high} where the {stored} bits stored end in bit {stored - 1}, so its pixels "
            "could mean two things"
        )
