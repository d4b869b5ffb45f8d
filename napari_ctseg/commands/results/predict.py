"""`napari-ctseg predict`: labels for a file, a DICOM folder or a folder of cases."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from napari_ctseg.commands.console import NEAREST_GRID, follow, note, say, say_json
from napari_ctseg.commands.optional_values import OptionalValues
from napari_ctseg.commands.results.prediction_files import Outputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ctseg_imaging.volume import Volume
    from ctseg_models.contract.bundle import Bundle
    from ctseg_models.contract.prediction import Prediction
    from ctseg_models.ensembles.stack import Stack
    from ctseg_models.inference import InferenceSettings, Region


class Combination(StrEnum):
    """How an ensemble comes to one label."""

    MEAN = "mean"
    VOTE = "vote"
    STAPLE = "staple"


class ProbabilityType(StrEnum):
    """How probabilities are written: small ones as the labels are and large ones as Zarr, or as Zarr of this
    type.
    """

    AUTO = "auto"
    FLOAT16 = "float16"
    UINT8 = "uint8"


class DisagreementKind(StrEnum):
    """What the disagreement map holds."""

    SHARE = "share"
    ENTROPY = "entropy"


class PredictCommand(OptionalValues):
    """The two options that may stand alone."""

    values: ClassVar[dict[str, tuple[str, ...]]] = {
        "--probabilities": tuple(ProbabilityType),
        "--disagreement": tuple(DisagreementKind),
    }


class PrecisionChoice(StrEnum):
    """What the networks compute in."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


def predict(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A file, a DICOM folder, or a folder of cases.")
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="A file, whose ending decides the format (.dcm: DICOM SEG, "
            ".rtstruct.dcm: RTSTRUCT), or a folder.",
        ),
    ],
    model: Annotated[
        list[str],
        typer.Option(
            "-m", "--model", metavar="BUNDLE", help="Name, folder, file, stack; repeat for an ensemble."
        ),
    ],
    combine: Annotated[
        Combination, typer.Option(help="How an ensemble comes to one label.")
    ] = Combination.MEAN,
    weights: Annotated[
        str | None, typer.Option(metavar="W1,W2,...", help="How much each model counts, for mean and vote.")
    ] = None,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Mean over mirrored inputs, where a model allows it; slow.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
    precision: Annotated[
        PrecisionChoice, typer.Option(help="auto takes bf16 where it is clearly faster.")
    ] = PrecisionChoice.AUTO,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads.")] = None,
    region: Annotated[
        str | None,
        typer.Option(metavar="X0,X1,Y0,Y1,Z0,Z1", help="Look in this box of LPS mm only; no localiser."),
    ] = None,
    probabilities: Annotated[
        ProbabilityType | None,
        typer.Option(
            "--probabilities",
            help="Also write the probabilities, on the network's grid; with a type, or when large, as Zarr.",
        ),
    ] = None,
    rtstruct: Annotated[
        bool, typer.Option("--rtstruct", help="Also write contours, NAME.rtstruct.dcm, where IN is DICOM.")
    ] = False,
    edge_map: Annotated[
        bool, typer.Option("--edge-map", help="Also write where the borders of the labels are unsure.")
    ] = False,
    disagreement: Annotated[
        DisagreementKind | None,
        typer.Option(
            "--disagreement",
            help="What an ensemble's disagreement map holds; of a single model there is the entropy.",
        ),
    ] = None,
    volume: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Which volume of a 4D file, from 1.")
    ] = None,
    series: Annotated[
        str | None, typer.Option(metavar="K|UID", help="Which DICOM series: its number in `info` or its UID.")
    ] = None,
    nearest_grid: Annotated[bool, typer.Option("--nearest-grid", help=NEAREST_GRID)] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The provenance of every case on stdout.")] = False,
) -> None:
    """Run bundles on volumes; labels lie on the input's own grid, with a file NAME.provenance.json next to
    them.
    """
    from ctseg_imaging.errors import CtsegError
    from ctseg_models.bundles import store
    from ctseg_models.inference import InferenceSettings
    from napari_ctseg.commands.results.case_files import cases_in, read_case

    shares = _weights(weights, model, combine)
    stack = _stack(model)
    _refuse_lone_disagreement(disagreement, model, stack)
    _refuse_maps_of_several(
        model, stack, {"--probabilities": probabilities is not None, "--edge-map": edge_map}
    )
    bundles = (
        [store.find(name) for name in model]
        if stack is None
        else [member.bundle() for member in stack.members]
    )
    box = None if region is None else parse_region(region)
    settings = InferenceSettings(
        device=device,
        precision=precision.value,
        probabilities=probabilities is not None,
        edge_map=edge_map,
        threads=threads,
        mirroring=mirror,
        disagreement="share" if disagreement is None else disagreement.value,
    )
    cases, several = cases_in(source, max(len(bundle.channels) for bundle in bundles))
    outputs = [Outputs.of(case, target, several, rtstruct) for case in cases]
    images = {file.resolve() for case in cases for file in case.files}
    for output in outputs:
        output.check(_wanted(settings, len(bundles), stack), overwrite, images)
    records, failed = [], 0
    for case, output in zip(cases, outputs, strict=True):
        try:
            image = read_case(case, volume=volume, series=series, nearest_grid=nearest_grid)
            prediction = _predict(stack or bundles, image, combine, shares, box, settings)
            remarks = output.write(
                image, prediction, (probabilities or ProbabilityType.AUTO).value, overwrite
            )
        except CtsegError as error:
            if not several:
                raise
            failed += 1
            note(str(error))
            records.append({"case": case.name, "error": str(error)})
            continue
        empty = () if prediction.labels.array.any() else ("No label was found; the label map is empty.",)
        for sentence in (*image.notes, *prediction.warnings, *empty, *remarks):
            note(f"{case.name}: {sentence}")
        records.append({"case": case.name, "labels": str(output.labels), **prediction.provenance})
        if not as_json:
            say(str(output.labels))
    if as_json:
        say_json(records if several else records[0])
    if failed:
        note(f"{failed} of {len(cases)} cases failed.")
        raise typer.Exit(1)


def parse_region(text: str) -> Region:
    """ "x0,x1,y0,y1,z0,z1" in LPS mm as a Region. Raises BadParameter."""
    from ctseg_models.inference import Region

    try:
        x0, x1, y0, y1, z0, z1 = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter("six numbers x0,x1,y0,y1,z0,z1 in LPS mm", param_hint="--region") from None
    if not (x0 < x1 and y0 < y1 and z0 < z1):
        raise typer.BadParameter("every axis needs its lower end first", param_hint="--region")
    return Region((x0, y0, z0), (x1, y1, z1))


def _stack(models: Sequence[str]) -> Stack | None:
    """The stack that is named, if one is (`napari-ctseg stack` writes them). Raises BundleError for one
    next to other models.
    """
    from ctseg_imaging.errors import BundleError
    from ctseg_models.ensembles.stack import DESCRIPTION, read_stack

    folders = [Path(name) for name in models if (Path(name) / DESCRIPTION).is_file()]
    if not folders:
        return None
    if len(models) > 1:
        raise BundleError(f"{folders[0]}: is a stack, which has its own members; give it alone.")
    return read_stack(folders[0])


def _weights(text: str | None, models: Sequence[str], combine: Combination) -> tuple[float, ...] | None:
    """ "2,1,1" as numbers, one a model. Raises BadParameter."""
    if text is None:
        return None
    try:
        weights = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            "numbers above 0 with commas between them, one for each model", param_hint="--weights"
        ) from None
    if (
        len(weights) != len(models)
        or len(models) < 2
        or not all(0 < weight < float("inf") for weight in weights)
    ):
        raise typer.BadParameter(
            f"a number above 0 for each of several models; {len(models)} are named", param_hint="--weights"
        )
    if combine is Combination.STAPLE:
        raise typer.BadParameter(
            "STAPLE finds out itself how much to trust each model", param_hint="--weights"
        )
    return weights


def _refuse_lone_disagreement(
    kind: DisagreementKind | None, models: Sequence[str], stack: Stack | None
) -> None:
    if stack is not None and kind is not None:
        raise typer.BadParameter(
            "a stack has one opinion; name its members to see where they disagree",
            param_hint="--disagreement",
        )
    if kind is DisagreementKind.SHARE and len(models) == 1:
        raise typer.BadParameter(
            "a single model cannot disagree with others; ask for entropy", param_hint="--disagreement"
        )


def _refuse_maps_of_several(models: Sequence[str], stack: Stack | None, asked: dict[str, bool]) -> None:
    for option, wanted in asked.items():
        if wanted and (len(models) > 1 or stack is not None):
            raise typer.BadParameter("is for a single model; several have --disagreement", param_hint=option)


def _wanted(settings: InferenceSettings, members: int, stack: Stack | None) -> list[str]:
    """Which files will stand next to the labels."""
    single = members == 1 and stack is None
    disagreement = stack is None and (not single or settings.disagreement == "entropy")
    asked = {
        "probabilities": single and settings.probabilities,
        "edges": single and settings.edge_map,
        "disagreement": disagreement,
    }
    return [what for what, wanted in asked.items() if wanted]


def _predict(
    bundles: Sequence[Bundle] | Stack,
    image: Volume,
    combine: Combination,
    weights: Sequence[float] | None,
    region: Region | None,
    settings: InferenceSettings,
) -> Prediction:
    """One bundle, an ensemble or a stack."""
    from ctseg_models.ensembles.stack import Stack
    from ctseg_models.ensembles.stacking import run_stack

    if isinstance(bundles, Stack):
        return follow(run_stack(bundles, image, region=region, settings=settings))
    if len(bundles) == 1:
        from ctseg_models.inference import run

        return follow(run(bundles[0], image, region=region, settings=settings))
    from ctseg_models.ensembles.ensemble import run_ensemble

    return follow(
        run_ensemble(bundles, image, combine=combine.value, weights=weights, region=region, settings=settings)
    )
