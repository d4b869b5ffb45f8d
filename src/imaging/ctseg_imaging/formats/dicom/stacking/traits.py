"""The attributes by which slices of one SeriesInstanceUID may belong to different volumes.

Sources: DICOM PS3.3 C.7.3.1 (series), C.8.2.1 (CT image), C.8.3.1 (MR image), C.7.6.16 (functional groups);
private b-values as in dcm2niix.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from ctseg_imaging.formats.dicom.tags import Garbled, number, text, values, words

Value = str | float | int | tuple[Any, ...] | None
MOSAIC = "MOSAIC"
_DIMENSIONS = 5  # at most, of a frame's index
_SIEMENS_B, _GE_B, _PHILIPS_B = 0x0019100C, 0x00431039, 0x20011003
PRIVATE = (0x00190010, 0x0019100A, _SIEMENS_B, 0x00430010, _GE_B, 0x20010010, _PHILIPS_B)


@dataclass(frozen=True)
class Trait:
    """One attribute.

    label : what its value is called. read : its value from datasets, the most specific first; None: not
    given.

    private : the value may identify the patient, so its kinds are numbered instead of shown.
    """

    name: str
    label: str
    read: Callable[[Sequence[Dataset]], Value]
    private: bool = False


def _text(*keywords: str) -> Callable[[Sequence[Dataset]], Value]:
    return lambda headers: next((found for keyword in keywords if (found := text(headers, keyword))), None)


def _number(*keywords: str, digits: int = 3) -> Callable[[Sequence[Dataset]], Value]:
    def read(headers: Sequence[Dataset]) -> Value:
        for keyword in keywords:
            try:
                if (found := number(headers, keyword)) is not None:
                    return round(found, digits)
            except Garbled:
                return text(headers, keyword) or "unreadable"
        return None

    return read


def _image_type(headers: Sequence[Dataset]) -> Value:
    found = words(headers, "FrameType") or words(headers, "ImageType")
    return "\\".join(word.upper() for word in found if word) or None


def _patient(headers: Sequence[Dataset]) -> Value:
    return text(headers, "PatientID") or text(headers, "PatientName").strip(" ^").upper() or None


def _b_value(headers: Sequence[Dataset]) -> Value:
    """s/mm2: the standard's attribute, else that of Siemens, GE or Philips where its private creator is
    given.
    """
    try:
        standard = number(headers, "DiffusionBValue")
        if standard is not None:
            return round(standard, 1)
        creators = (
            (0x00190010, "SIEMENS MR", _SIEMENS_B),
            (0x00430010, "GEMS_PARM", _GE_B),
            (0x20010010, "PHILIPS IMAGING", _PHILIPS_B),
        )
        for creator, word, tag in creators:
            if text(headers, creator).upper().startswith(word) and (found := values(headers, tag)):
                return round(_private_number(found[0]) % 1e9, 1)
    except (Garbled, ValueError, TypeError):
        return None
    return None


def _dimension(index: int) -> Callable[[Sequence[Dataset]], Value]:
    """One of the indices that order the frames of an enhanced object; see PS3.3 C.7.6.17."""

    def read(headers: Sequence[Dataset]) -> Value:
        try:
            found = values(headers, "DimensionIndexValues")
            return float(found[index]) if index < len(found) else None
        except (Garbled, ValueError, TypeError):
            return None

    return read


def _private_number(value: Any) -> float:
    """Private attributes of unknown VR are bytes: text, or one little-endian float."""
    if not isinstance(value, bytes):
        return float(value)
    try:
        return float(value.split(b"\\")[0].decode("ascii").strip(" \0"))
    except ValueError:
        if len(value) != 4:
            raise
        return float(struct.unpack("<f", value)[0])


IDENTITY = (
    Trait("patient", "patient", _patient, private=True),
    Trait("study", "study", _text("StudyInstanceUID"), private=True),
    Trait("frame of reference", "frame of reference", _text("FrameOfReferenceUID"), private=True),
    Trait("modality", "modality", _text("Modality")),
)
# A volume has one value of each of these.
ALWAYS = (
    Trait("series number", "series number", _number("SeriesNumber")),
    Trait("photometric", "stored as", _text("PhotometricInterpretation")),
    Trait("units", "units", _text("Units")),
    Trait(
        "temporal position",
        "temporal position",
        _number("TemporalPositionIndex", "TemporalPositionIdentifier"),
    ),
    Trait("echo", "echo", _number("EchoNumbers")),
    Trait("stack", "stack", _text("StackID")),
    Trait("b-value", "b-value", _b_value),
    Trait("kernel", "kernel", _text("ConvolutionKernel")),
    Trait("tube voltage", "kVp", _number("KVP", digits=0)),
    Trait("image type", "image type", _image_type),
    Trait("component", "component", _text("ComplexImageComponent")),
)
# These may change from one block of slices to the next; where the blocks overlap, there are several volumes.
OVERLAPPING = (
    Trait("acquisition", "acquisition", _number("FrameAcquisitionNumber", "AcquisitionNumber")),
    Trait("contrast agent", "contrast agent", _text("ContrastBolusAgent")),
    Trait("echo time", "echo time (ms)", _number("EffectiveEchoTime", "EchoTime", digits=2)),
    Trait("inversion time", "inversion time (ms)", _number("InversionTime", digits=0)),
    Trait("flip angle", "flip angle", _number("FlipAngle", digits=0)),
    Trait("cardiac phase", "cardiac phase (%)", _number("NominalPercentageOfCardiacPhase")),
)
# These separate slices that lie at one position, and are ignored otherwise.
AT_ONE_POSITION = (
    Trait("diffusion direction", "diffusion direction", _text("DiffusionGradientOrientation")),
    Trait("contrast", "contrast phase", _text("ContrastBolusStartTime"), private=True),
    Trait("description", "protocol", _text("SeriesDescription"), private=True),
    Trait("protocol", "protocol", _text("ProtocolName"), private=True),
    Trait("acquisition UID", "acquisition", _text("AcquisitionUID"), private=True),
    Trait("thickness", "slice thickness (mm)", _number("SliceThickness", digits=1)),
    Trait("trigger time", "trigger time (ms)", _number("NominalCardiacTriggerDelayTime", "TriggerTime")),
    Trait(
        "acquisition time",
        "time of acquisition",
        _text("FrameAcquisitionDateTime", "AcquisitionDateTime", "AcquisitionTime"),
        private=True,
    ),
    Trait("content time", "time of reconstruction", _text("ContentTime"), private=True),
    *(Trait(f"dimension {k + 1}", f"dimension {k + 1} at", _dimension(k)) for k in range(_DIMENSIONS)),
    Trait("instance number", "block of instance numbers", _number("InstanceNumber"), private=True),
)
TRAITS = (*IDENTITY, *ALWAYS, *OVERLAPPING, *AT_ONE_POSITION)
KEYWORDS = (
    "PatientID",
    "PatientName",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "SeriesNumber",
    "PhotometricInterpretation",
    "Units",
    "TemporalPositionIndex",
    "TemporalPositionIdentifier",
    "EchoNumbers",
    "StackID",
    "DiffusionBValue",
    "ConvolutionKernel",
    "KVP",
    "ImageType",
    "ComplexImageComponent",
    "AcquisitionNumber",
    "ContrastBolusAgent",
    "EchoTime",
    "InversionTime",
    "FlipAngle",
    "SliceThickness",
    "NominalPercentageOfCardiacPhase",
    "DiffusionGradientOrientation",
    "ContrastBolusStartTime",
    "SeriesDescription",
    "ProtocolName",
    "AcquisitionUID",
    "TriggerTime",
    "AcquisitionDateTime",
    "AcquisitionTime",
    "ContentTime",
    "InstanceNumber",
    *PRIVATE,
)


def traits_of(headers: Sequence[Dataset]) -> Mapping[str, Value]:
    """Every trait that is given, by its name."""
    return {trait.name: value for trait in TRAITS if (value := trait.read(headers)) is not None}


def tiles(headers: Sequence[Dataset]) -> int | None:
    """How many slices a Siemens mosaic shows side by side, 0 where it does not say, None where the picture is
    no mosaic.
    """
    mosaic = MOSAIC in str(_image_type(headers) or "").split("\\")
    if not mosaic and not text(headers, 0x00190010).upper().startswith("SIEMENS MR"):
        return None
    try:
        count = int(_private_number(found[0])) if (found := values(headers, 0x0019100A)) else 0
    except (Garbled, ValueError, TypeError):
        count = 0
    return count if mosaic or count > 1 else None
