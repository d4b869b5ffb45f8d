"""`napari-ctseg predict`: labels for a file, a DICOM folder or a folder of cases."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_ctseg.commands.console import follow, note, refuse_existing, say, say_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ctseg_imaging.volume import Volume
    from ctseg_models.bundles.bundle import Bundle
    from ctseg_models.inference import Region, Settings
    from ctseg_models.prediction import Prediction
    from ctseg_models.stacking import Stack
    from napari_ctseg.commands.case_files import CaseFiles


class Combination(StrEnum):
    """How an ensemble comes to one label."""

    MEAN = "mean"
    VOTE = "vote"


class PrecisionChoice(StrEnum):
    """What the networks compute in."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


def predict(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A file, a DICOM folder, or a folder of cases.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A file (its ending decides the format) or a folder.")],
    model: Annotated[list[str], typer.Option("-m", "--model", metavar="BUNDLE", help="Name, folder, file, stack; repeat for an ensemble.")],
    combine: Annotated[Combination, typer.Option(help="How an ensemble comes to one label.")] = Combination.MEAN,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
    precision: Annotated[PrecisionChoice, typer.Option(help="auto takes bf16 where it is clearly faster.")] = PrecisionChoice.AUTO,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads.")] = None,
    region: Annotated[str | None, typer.Option(metavar="X0,X1,Y0,Y1,Z0,Z1", help="Look in this box of LPS mm only; no localiser.")] = None,
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also write the probabilities, on the network's grid.")] = False,
    edge_map: Annotated[bool, typer.Option("--edge-map", help="Also write where the borders of the labels are unsure.")] = False,
    volume: Annotated[int | None, typer.Option(min=1, metavar="K", help="Which volume of a 4D file, from 1.")] = None,
    series: Annotated[str | None, typer.Option(metavar="K|UID", help="Which DICOM series.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The provenance of every case on stdout.")] = False,
) -> None:
    """Run bundles on volumes; labels lie on the input's own grid, with a file NAME.provenance.json beside them."""
    from ctseg_imaging.errors import CtsegError
    from ctseg_models.bundles import store
    from ctseg_models.inference import Settings
    from napari_ctseg.commands.case_files import cases_in, read_case

    stack = _stack(model)
    bundles = [store.find(name) for name in model] if stack is None else [member.bundle() for member in stack.members]
    box = None if region is None else parse_region(region)
    settings = Settings(device=device, precision=precision.value, probabilities=probabilities, edge_map=edge_map, threads=threads)
    cases, several = cases_in(source, max(len(bundle.channels) for bundle in bundles))
    targets = [_target(case, target, several) for case in cases]
    for path in targets:
        refuse_existing(path, overwrite)
    records, failed = [], 0
    for case, path in zip(cases, targets, strict=True):
        try:
            image = read_case(case, volume=volume, series=series)
            prediction = _predict(stack or bundles, image, combine.value, box, settings)
            _write(path, image, prediction, overwrite)
        except CtsegError as error:
            if not several:
                raise
            failed += 1
            note(str(error))
            records.append({"case": case.name, "error": str(error)})
            continue
        for sentence in prediction.warnings:
            note(f"{case.name}: {sentence}")
        records.append({"case": case.name, "labels": str(path), **prediction.provenance})
        if not as_json:
            say(str(path))
    if as_json:
        say_json(records if several else records[0])
    if failed:
        note(f"{failed} of {len(cases)} cases failed.")
        raise typer.Exit(1)


def parse_region(text: str) -> Region:
    """"x0,x1,y0,y1,z0,z1" in LPS mm as a Region. Raises BadParameter."""
    from ctseg_models.inference import Region

    try:
        x0, x1, y0, y1, z0, z1 = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter("six numbers x0,x1,y0,y1,z0,z1 in LPS mm", param_hint="--region") from None
    if not (x0 < x1 and y0 < y1 and z0 < z1):
        raise typer.BadParameter("every axis needs its lower end first", param_hint="--region")
    return Region((x0, y0, z0), (x1, y1, z1))


def _target(case: CaseFiles, target: Path, several: bool) -> Path:
    """Where the labels of a case go: OUT itself when it is a file's name, else a file in the folder OUT."""
    from ctseg_imaging.errors import FormatError
    from napari_ctseg.commands.case_files import split_ending

    names_a_file = bool(split_ending(target)[1]) and not target.is_dir()
    if several and (names_a_file or target.is_file()):
        raise FormatError(f"{target}: is a file's name, and a folder of cases needs a folder to write to.")
    if not several and target.is_file() and not names_a_file:
        raise FormatError(f"{target}: cannot tell the format from the name; end it in .nii.gz, .nrrd or .mha.")
    return target if names_a_file else target / f"{case.name}{case.ending}"


def _stack(models: Sequence[str]) -> Stack | None:
    """The stack that is named, if one is (`napari-ctseg stack` writes them). Raises BundleError for one beside other models."""
    from ctseg_imaging.errors import BundleError
    from ctseg_models.stacking import DESCRIPTION, read_stack

    folders = [Path(name) for name in models if (Path(name) / DESCRIPTION).is_file()]
    if not folders:
        return None
    if len(models) > 1:
        raise BundleError(f"{folders[0]}: is a stack, which has its own members; give it alone.")
    return read_stack(folders[0])


def _predict(bundles: Sequence[Bundle] | Stack, image: Volume, combine: str, region: Region | None, settings: Settings) -> Prediction:
    """One bundle, an ensemble or a stack."""
    from ctseg_models.stacking import Stack, run_stack

    if isinstance(bundles, Stack):
        return follow(run_stack(bundles, image, region=region, settings=settings))
    if len(bundles) == 1:
        from ctseg_models.inference import run

        return follow(run(bundles[0], image, region=region, settings=settings))
    from ctseg_models.ensemble import run_ensemble

    return follow(run_ensemble(bundles, image, combine=combine, region=region, settings=settings))  # type: ignore[arg-type]


def _write(path: Path, image: Volume, prediction: Prediction, overwrite: bool) -> None:
    """The labels, what else was asked for, and the provenance; each whole or not at all, the labels last."""
    from ctseg_imaging import formats
    from ctseg_imaging.formats.atomic import write_bytes
    from napari_ctseg.commands.case_files import split_ending

    path.parent.mkdir(parents=True, exist_ok=True)
    stem, ending = split_ending(path)
    more = {"probabilities": prediction.probabilities, "edges": prediction.edge_map, "disagreement": prediction.disagreement}
    beside = {path.with_name(f"{stem}_{name}{ending}"): item for name, item in more.items() if item is not None}
    provenance = path.with_name(f"{stem}.provenance.json")
    for other in (*beside, provenance):
        refuse_existing(other, overwrite)
    for other, item in beside.items():
        formats.write(other, item, overwrite=overwrite)
    write_bytes(provenance, (json.dumps(prediction.provenance, indent=2) + "\n").encode(), overwrite)
    formats.write(path, prediction.labels, like=image, overwrite=overwrite)
