"""Slicer's segmentations (.seg.nrrd): names, colours, values and layers in the key/value pairs of an NRRD
file.

Source: slicer.readthedocs.io, developer guide, "Segmentations", segmentation file format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from ctseg_imaging.errors import FormatError, GeometryError
from ctseg_imaging.formats import itk
from ctseg_imaging.formats.itk.images import place
from ctseg_imaging.formats.itk.stored import Stored
from ctseg_imaging.formats.segmentations import terminology
from ctseg_imaging.formats.segmentations.segments import (
    Segment,
    Segmentation,
    colour_of,
    refuse_empty,
    rgb_of,
)
from ctseg_imaging.geometry import Geometry
from ctseg_imaging.volume import LabelMap

SUFFIX = ".seg.nrrd"
_KEY = re.compile(r"^segment(\d+)_(.+)$")


def read(path: Path) -> Segmentation:
    """Every segment of a file on the file's own grid, which Slicer often crops.

    Raises FormatError or GeometryError.
    """
    stored = itk.layout(path)
    array, geometry, notes = _voxels(path, stored)
    described = _segment_fields(stored.fields)
    if not described:
        notes.append("The file names no segments; each value became one.")
        described = {
            k: {"labelvalue": str(value), "name": f"label {value}"}
            for k, value in enumerate(np.unique(array[array > 0]))
        }
    boxes = [ndimage.find_objects(layer) for layer in array]
    segments = tuple(_segment(path, k, fields, array, boxes) for k, fields in sorted(described.items()))
    refuse_empty(path, segments)
    notes += _unlisted(array, described)
    return Segmentation(path, geometry, segments, tuple(notes))


def write(path: Path, item: LabelMap, overwrite: bool = False) -> None:
    """One layer with names, colours and values; the terminology of a segmentation that was read is kept,
    others are tissue.
    """
    image = place(sitk.GetImageFromArray(np.ascontiguousarray(item.array)), item.geometry)
    for key, value in _fields(item).items():
        image.SetMetaData(key, value)
    itk.write_checked(path, image, overwrite)


def _voxels(path: Path, stored: Stored) -> tuple[NDArray[Any], Geometry, list[str]]:
    """(layers, z, y, x) integers, their grid, notes."""
    try:
        grid = Geometry.from_parts(
            stored.shape, stored.spacing_mm[::-1], stored.origin_lps_mm, stored.direction
        )
    except GeometryError as error:
        raise GeometryError(f"{path}: {str(error)[0].lower()}{str(error)[1:]}") from error
    notes = list(stored.notes)
    array = np.zeros((stored.volumes, *stored.shape), np.int32)
    for layer, plane in enumerate(array):
        values, remarks = stored.read(path, layer)
        if values.dtype.kind not in "iu" or (
            values.size and (values.min() < 0 or values.max() > np.iinfo(np.int32).max)
        ):
            raise FormatError(f"{path}: its voxels are not label values; is it a segmentation?")
        plane[...] = values
        notes += [remark for remark in remarks if remark not in notes]
    return array, grid, notes


def _segment_fields(pairs: Sequence[tuple[str, str]]) -> dict[int, dict[str, str]]:
    """{segment number: {field in lower case: value}}."""
    found: dict[int, dict[str, str]] = {}
    for key, value in pairs:
        if match := _KEY.match(key.lower()):
            found.setdefault(int(match[1]), {})[match[2]] = value
    return found


def _segment(
    path: Path, number: int, fields: Mapping[str, str], array: NDArray[Any], boxes: list[Any]
) -> Segment:
    """Files from before Slicer 4.11 have one layer for each segment, with the value 1."""
    try:
        value = int(fields.get("labelvalue", "1"))
        layer = int(fields.get("layer", str(number if len(array) > 1 else 0)))
        colour = colour_of(*[float(share) for share in fields["color"].split()]) if "color" in fields else ""
    except (ValueError, TypeError, OverflowError) as error:
        raise FormatError(
            f"{path}: the value, layer or colour of its segment {number} is not a number; export it again."
        ) from error
    if not 0 <= layer < len(array) or value < 1:
        raise FormatError(
            f"{path}: its segment {number} lies in layer {layer} with value {value}, which the file does not "
            "have; export it again."
        )
    box = boxes[layer][value - 1] if value <= len(boxes[layer]) else None
    mask = np.zeros((0, 0, 0), bool) if box is None else array[layer][box] == value
    name = fields.get("name") or f"segment {number + 1}"
    return Segment(value, name, colour, box, mask, fields.get("tags", ""))


def _unlisted(array: NDArray[Any], described: Mapping[int, Mapping[str, str]]) -> list[str]:
    """A note about voxels that belong to no segment."""
    known = {
        (int(one.get("layer", k if len(array) > 1 else 0)), int(one.get("labelvalue", 1)))
        for k, one in described.items()
    }
    odd = sorted(
        {
            int(value)
            for layer in range(len(array))
            for value in np.unique(array[layer])
            if value and (layer, int(value)) not in known
        }
    )
    return (
        [f"Voxels of the value(s) {', '.join(map(str, odd[:8]))} belong to no segment and were left out."]
        if odd
        else []
    )


def _fields(item: LabelMap) -> dict[str, str]:
    z, y, x = item.geometry.shape
    fields = {
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for k, label in enumerate(item.labels):
        colour = " ".join(f"{share / 255:.6g}" for share in rgb_of(label.colour))
        fields |= {
            f"Segment{k}_ID": f"Segment_{label.value}",
            f"Segment{k}_Name": label.name,
            f"Segment{k}_NameAutoGenerated": "0",
            f"Segment{k}_Color": colour,
            f"Segment{k}_ColorAutoGenerated": "0",
            f"Segment{k}_LabelValue": str(label.value),
            f"Segment{k}_Layer": "0",
            f"Segment{k}_Extent": f"0 {x - 1} 0 {y - 1} 0 {z - 1}",
            f"Segment{k}_Tags": label.tags or terminology.TISSUE,
        }
    return fields
