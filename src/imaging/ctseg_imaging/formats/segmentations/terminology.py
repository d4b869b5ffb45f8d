"""The coded meaning of a segment, converted between Slicer's tags (.seg.nrrd) and the code sequences of DICOM
SEG.

Source: slicer.readthedocs.io, developer guide, "Segmentations", terminology serialization:
CONTEXT~CATEGORY~TYPE~TYPE MODIFIER~ANATOMIC CONTEXT~REGION~REGION MODIFIER, each code SCHEME^VALUE^MEANING.
"""

from __future__ import annotations

import re

from pydicom.dataset import Dataset

from ctseg_imaging.formats.segmentations.dicom_objects import first

_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_ANATOMY = "Anatomic codes - DICOM master list"
_ENTRY = re.compile(r"TerminologyEntry:([^|]*)")
_FIELDS = (("CodingSchemeDesignator", 16), ("CodeValue", 16), ("CodeMeaning", 64))  # characters at most
_CATEGORY, _TYPE = "SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence"
_MODIFIER, _REGION = "SegmentedPropertyTypeModifierCodeSequence", "AnatomicRegionSequence"
_REGION_MODIFIER = "AnatomicRegionModifierSequence"
TISSUE = f"TerminologyEntry:{_CONTEXT}~SCT^85756007^Tissue~SCT^85756007^Tissue~^^~{_ANATOMY}~^^~^^|"


def of_segment(item: Dataset) -> str:
    """The tags for the codes of an item of a SegmentSequence; "" without category and type."""
    category, kind, region = first(item, _CATEGORY), first(item, _TYPE), first(item, _REGION)
    if not (category.get("CodeValue") and kind.get("CodeValue")):
        return ""
    parts = [
        _CONTEXT,
        _written(category),
        _written(kind),
        _written(first(kind, _MODIFIER)),
        _ANATOMY,
        _written(region),
        _written(first(region, _REGION_MODIFIER)),
    ]
    return f"TerminologyEntry:{'~'.join(parts)}|"


def put_into(item: Dataset, tags: str) -> None:
    """Give an item of a SegmentSequence the codes of `tags`; tissue, as Slicer does, where they have no
    category and type.
    """
    category, kind, modifier, region, region_modifier = _codes(tags)
    if category is None or kind is None:
        category, kind, modifier, region, region_modifier = _codes(TISSUE)
    for holder, keyword, code in (
        (item, _CATEGORY, category),
        (item, _TYPE, kind),
        (kind, _MODIFIER, modifier),
        (item, _REGION, region),
        (region, _REGION_MODIFIER, region_modifier),
    ):
        if holder is not None and code is not None:
            setattr(holder, keyword, [code])


def _codes(tags: str) -> tuple[Dataset | None, ...]:
    """Category, type, type modifier, region, region modifier; None for one that is not given or fits no DICOM
    code.
    """
    entry = _ENTRY.search(tags)
    parts = entry[1].split("~") if entry else []
    return tuple(_code(parts[k]) if k < len(parts) else None for k in (1, 2, 3, 5, 6))


def _code(text: str) -> Dataset | None:
    values, code = text.split("^"), Dataset()
    if len(values) != len(_FIELDS):
        return None
    for (keyword, longest), value in zip(_FIELDS, values, strict=True):
        if not value or len(value) > longest or not value.isprintable() or "\\" in value:
            return None
        setattr(code, keyword, value)
    return code


def _written(code: Dataset) -> str:
    values = (str(code.get(keyword) or "") for keyword, _ in _FIELDS)
    return "^".join(re.sub(r"[~^|]", " ", value) for value in values)
