"""`napari-ctseg info`: what a file contains, and what looks suspicious."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_ctseg.commands.console import LAYER, NEAREST_GRID, out, print_json, print_result
from napari_ctseg.commands.images import series_table

if TYPE_CHECKING:
    from ctseg_imaging.volume import LabelMap, Volume

MOST_LABELS = 64  # more distinct whole numbers than this is an image, not a label map


def info(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file or a DICOM folder.")],
    volume: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Volume of a 4D file, counted from 1.")
    ] = None,
    series: Annotated[
        str | None, typer.Option(metavar="K|UID", help="DICOM series: its number in the list, or its UID.")
    ] = None,
    layer: Annotated[str | None, typer.Option(metavar="K|NAME", help=LAYER)] = None,
    nearest_grid: Annotated[bool, typer.Option("--nearest-grid", help=NEAREST_GRID)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show geometry, orientation, HU range and labels, and what looks suspicious."""
    from ctseg_imaging import formats
    from napari_ctseg.compute import reading

    segmented = formats.kind_of_segmentation(path)
    study = series_table.study_of(path) if volume is None and series is None and segmented is None else None
    if study is not None and len(study.candidates) != 1:
        if as_json:
            print_json(
                {
                    "path": str(path),
                    "choices": series_table.facts(study),
                    "without_series": series_table.drawing_facts(study.unassigned),
                }
            )
        else:
            print_result("\n".join(series_table.lines(study)))
        return
    choices = reading.list_choices(path) if study is None else []
    if len(choices) > 1 and volume is None and series is None and layer is None:
        _show({"path": str(path), "choices": [asdict(choice) for choice in choices]}, as_json)
        return
    if segmented is not None:
        _show(describe_labels(reading.read_labels(path, volume=volume, segment_layer=layer), path), as_json)
        return
    facts = describe(reading.read(path, volume=volume, series=series, nearest_grid=nearest_grid), path)
    if study is not None and (drawings := series_table.every_drawing(study)):
        facts["segmentations"] = series_table.drawing_facts(drawings)
    _show(facts, as_json)


def describe(volume: Volume, path: Path) -> dict[str, Any]:
    """The facts about a volume as plain JSON. `labels` is there when its values look like labels; `remarks`
    are sentences.
    """
    import numpy as np

    geometry = volume.geometry
    values = (
        volume.array[np.isfinite(volume.array)] if volume.array.dtype.kind == "f" else volume.array.ravel()
    )
    facts: dict[str, Any] = {
        "path": str(path),
        "modality": volume.modality or None,
        "shape_zyx": list(geometry.shape),
        "channels": volume.channels,
        "dtype": str(volume.array.dtype),
        "spacing_zyx_mm": [round(step, 6) for step in geometry.spacing_mm],
        "size_zyx_mm": [
            round(n * step, 3) for n, step in zip(geometry.shape, geometry.spacing_mm, strict=True)
        ],
        "origin_lps_mm": [round(x, 4) for x in geometry.origin_lps_mm],
        "direction": [[round(float(cosine), 6) for cosine in row] for row in geometry.direction],
        "axes_zyx": geometry.axis_codes,
        "oblique": geometry.is_oblique,
        "minimum": float(values.min()) if values.size else None,
        "maximum": float(values.max()) if values.size else None,
        "median": float(np.median(values)) if values.size else None,
    }
    faults: list[str] = []
    if (labels := _label_counts(values)) is not None:
        facts["labels"] = labels
        names, faults = _names(path, labels)
        facts |= {"names": names} if names else {}
    facts["windows"] = [{"name": w.name, "width": w.width, "level": w.level} for w in volume.windows]
    facts["remarks"] = list(dict.fromkeys([*volume.notes, *faults, *_suspicions(volume, facts)]))
    return facts


def describe_labels(label_map: LabelMap, path: Path) -> dict[str, Any]:
    """The facts about a segmentation as plain JSON: those of `describe`, and `names` with the value, name and
    colour of each label.
    """
    from ctseg_imaging.label_names import as_records
    from ctseg_imaging.volume import Volume

    facts = describe(Volume(label_map.array, label_map.geometry, source=path, notes=label_map.notes), path)
    facts["names"] = as_records(label_map.labels)
    return facts


def _names(path: Path, counts: dict[str, int]) -> tuple[list[dict[str, Any]], list[str]]:
    """The labels as the files next to `path` name them, [] where nothing names one that occurs; and what is
    wrong with those files.
    """
    from ctseg_imaging.label_names import as_records, complete_labels
    from ctseg_imaging.volume import Labels

    labels, faults = complete_labels(Labels.from_values([int(value) for value in counts]), path)
    return as_records(labels) if any(
        label.named and str(label.value) in counts for label in labels
    ) else [], faults


def _label_counts(values: Any) -> dict[str, int] | None:
    """{value: voxels} if the values are few, whole and not negative, as labels are; else None."""
    import numpy as np

    if (
        values.size == 0
        or values.min() < 0
        or values.max() > 65535
        or (values.dtype.kind == "f" and (values % 1 != 0).any())
    ):
        return None
    found, counts = np.unique(values, return_counts=True)
    if len(found) > MOST_LABELS:
        return None
    return {str(int(value)): int(count) for value, count in zip(found, counts, strict=True)}


def _suspicions(volume: Volume, facts: dict[str, Any]) -> list[str]:
    """Properties that a careful reader would check."""
    import numpy as np

    remarks = []
    spacing = volume.geometry.spacing_mm
    if not np.isfinite(volume.array).all():
        remarks.append("Some voxels are not finite numbers.")
    if min(spacing) < 0.1 or max(spacing) > 20:
        remarks.append(
            f"A voxel of {' x '.join(f'{step:g}' for step in spacing)} mm is unusual for CT; check the units."
        )
    if max(spacing) > 5 * min(spacing):
        remarks.append("The voxels are more than five times longer than wide; thin structures may be missed.")
    if min(volume.geometry.shape) < 8:
        remarks.append(f"Only {min(volume.geometry.shape)} slices along one axis.")
    lowest, highest = facts["minimum"], facts["maximum"]
    if (
        "labels" not in facts
        and volume.modality in ("CT", "")
        and lowest is not None
        and lowest >= 0
        and highest > 500
    ):
        remarks.append(
            "No value is below 0: if this is a CT, its values may not be HU (rescale missing, or an offset "
            "of 1024)."
        )
    if lowest is not None and lowest == highest:
        remarks.append("Every voxel has the same value.")
    return remarks


def _show(facts: dict[str, Any], as_json: bool) -> None:
    """Facts as JSON or as lines."""
    if as_json:
        print_json(facts)
        return
    if "choices" in facts:
        print_result(f"{facts['path']}: {len(facts['choices'])} to choose from")
        for choice in facts["choices"]:
            print_result(
                (
                    f"  {choice['index']:>3}  {choice['slices']:>4} slices  {choice['description']}  "
                    f"{choice['uid']}"
                ).rstrip()
            )
        return
    for line in _lines(facts):
        print_result(line)
    for remark in facts["remarks"]:
        out.print(f"! {remark}", style="yellow", markup=False)


def _lines(facts: dict[str, Any]) -> list[str]:
    """The facts, one line each, for a user."""

    def row(name: str, values: list[Any]) -> str:
        return f"{name:<12}{'  '.join(f'{value:g}' for value in values)}"

    z, y, x = facts["axes_zyx"]
    channels = f", {facts['channels']} channels" if facts["channels"] > 1 else ""
    lines = [
        facts["path"],
        f"{'kind':<12}{facts['modality'] or 'unknown modality'}, {facts['dtype']}{channels}",
        row("shape", facts["shape_zyx"]) + "  voxels (z, y, x)",
        row("spacing", facts["spacing_zyx_mm"]) + "  mm (z, y, x)",
        row("size", facts["size_zyx_mm"]) + "  mm (z, y, x)",
        row("origin", facts["origin_lps_mm"]) + "  LPS mm (x, y, z)",
        f"{'axes':<12}z to {z}, y to {y}, x to {x}" + (", oblique" if facts["oblique"] else ""),
    ]
    if facts["minimum"] is not None:
        lines.append(
            f"{'values':<12}{facts['minimum']:g} to {facts['maximum']:g}, median {facts['median']:g}"
        )
    for label in facts.get("names", ()):
        voxels = facts.get("labels", {}).get(str(label["value"]), 0)
        name = label["name"] or f"label {label['value']}"
        marked = "" if label["contoured"] else "  not contoured"
        lines.append(f"{'label':<12}{label['value']}  {name}  {label['colour']}  {voxels} voxels{marked}")
    if "labels" in facts and "names" not in facts:
        lines.append(
            f"{'labels':<12}"
            + ", ".join(f"{value}: {count} voxels" for value, count in facts["labels"].items())
        )
    lines += [f"{one['kind']:<12}{one['path']}" for one in facts.get("segmentations", ())]
    lines += [f"{'window':<12}{w['name']} {w['width']:g}/{w['level']:g}" for w in facts["windows"]]
    return lines
