"""`napari-ctseg predict`: labels for a file, a DICOM folder or a folder of cases."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_ctseg.commands.console import NEAREST_GRID, follow, note, print_json, print_result
from napari_ctseg.commands.results.batch import Batch, Outcome, Pace, is_done
from napari_ctseg.commands.results.predict_options import (
    Combination,
    DisagreementKind,
    PrecisionChoice,
    ProbabilityType,
    parse_region,
    parse_weights,
    refuse_lone_disagreement,
    refuse_maps_of_several,
)
from napari_ctseg.commands.results.prediction_files import Outputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ctseg_imaging.volume import Volume
    from ctseg_models.contract.bundle import Bundle
    from ctseg_models.contract.prediction import Prediction
    from ctseg_models.ensembles.stack import Stack
    from ctseg_models.inference import InferenceSettings, Region
    from napari_ctseg.commands.results.case_files import CaseFiles
    from napari_ctseg.commands.results.prediction_files import Probabilities


def predict(
    source: Annotated[
        Path, typer.Argument(metavar="IN", help="A file, a DICOM folder, or a folder of cases.")
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="A file whose ending decides the format (.dcm: DICOM SEG, "
            ".rtstruct.dcm: RTSTRUCT), or a folder.",
        ),
    ],
    model: Annotated[
        list[str],
        typer.Option(
            "-m", "--model", metavar="BUNDLE", help="Name, folder, file, stack; repeat for an ensemble."
        ),
    ],
    combine: Annotated[Combination, typer.Option(help="How an ensemble is combined.")] = Combination.MEAN,
    weights: Annotated[
        str | None, typer.Option(metavar="W1,W2,...", help="Weight of each model, for mean and vote.")
    ] = None,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Average over mirrored inputs, if the model allows it; slow.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 ...")] = "cpu",
    precision: Annotated[
        PrecisionChoice, typer.Option(help="auto uses bf16 where it is clearly faster.")
    ] = PrecisionChoice.AUTO,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads.")] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="X0,X1,Y0,Y1,Z0,Z1", help="Segment only this box (LPS, mm), without a localiser."
        ),
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
        bool, typer.Option("--edge-map", help="Also write a map of uncertain borders.")
    ] = False,
    disagreement: Annotated[
        DisagreementKind | None,
        typer.Option(
            "--disagreement",
            help="Content of an ensemble's disagreement map; for a single model only entropy.",
        ),
    ] = None,
    volume: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Volume of a 4D file, counted from 1.")
    ] = None,
    series: Annotated[
        str | None, typer.Option(metavar="K|UID", help="DICOM series: its number in `info`, or its UID.")
    ] = None,
    nearest_grid: Annotated[bool, typer.Option("--nearest-grid", help=NEAREST_GRID)] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
    go_on: Annotated[
        bool,
        typer.Option(
            "--continue", help="Skip cases of a folder that the same models and settings have finished."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the provenance of every case.")] = False,
) -> None:
    """Segment volumes with one or more bundles.

    The labels are on the grid of the input; NAME.provenance.json is written next to them.
    """
    from ctseg_models.bundles import store
    from ctseg_models.bundles.loaded_once import LoadedOnce
    from ctseg_models.inference import InferenceSettings
    from napari_ctseg.commands.results.case_files import cases_in, read_case

    shares = parse_weights(weights, model, combine)
    stack = _stack(model)
    refuse_lone_disagreement(disagreement, model, stack)
    refuse_maps_of_several(
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
    todo = list(zip(cases, outputs, strict=True))
    if go_on:
        hashes = [bundle.sha256 for bundle in bundles]
        todo = [
            one for one in todo if not is_done(one[1].labels, one[1].provenance, hashes, asdict(settings))
        ]
        note(f"{len(cases) - len(todo)} of {len(cases)} cases are finished.")
    images = {file.resolve() for case in cases for file in case.files}
    for _, output in todo:
        output.check(_wanted(settings, len(bundles), stack), overwrite, images)
    if several and stack is None:
        bundles = [LoadedOnce.of(bundle) for bundle in bundles]
    work = _Work(stack or bundles, combine, shares, box, settings)
    reading = {"volume": volume, "series": series, "nearest_grid": nearest_grid}
    kind: Probabilities = (probabilities or ProbabilityType.AUTO).value
    pace = Pace(len(todo))

    def made(one: tuple[CaseFiles, Outputs], image: Volume) -> Prediction:
        if several:
            note(pace.next(one[0].name))
        return work.predict(image)

    batch = Batch(
        read=lambda one: read_case(one[0], **reading),  # type: ignore[arg-type]
        make=made,
        write=lambda one, image, prediction: _written(*one, image, prediction, kind, overwrite),
    )
    records = []
    for outcome in batch.run(todo):
        if outcome.error is not None and not several:
            raise outcome.error
        records.append(_reported(outcome, silent=as_json))
    if as_json:
        print_json(records if several else records[0])
    if failed := sum("error" in record for record in records):
        note(f"{failed} of {len(cases)} cases failed.")
        raise typer.Exit(1)


def _reported(outcome: Outcome[tuple[CaseFiles, Outputs], _Written], silent: bool) -> dict[str, Any]:
    """The record of a case; its file goes to stdout unless `silent`, its remarks or error to stderr."""
    case, output = outcome.item
    if outcome.written is None:
        note(f"{case.name}: {outcome.error}")
        return {"case": case.name, "error": str(outcome.error)}
    for sentence in outcome.written.remarks:
        note(f"{case.name}: {sentence}")
    if not silent:
        print_result(str(output.labels))
    return outcome.written.record


@dataclass(frozen=True)
class _Written:
    """A case on disk: its record for --json and what the user should know."""

    record: dict[str, Any]
    remarks: tuple[str, ...]


def _written(
    case: CaseFiles,
    output: Outputs,
    image: Volume,
    prediction: Prediction,
    kind: Probabilities,
    overwrite: bool,
) -> _Written:
    remarks = output.write(image, prediction, kind, overwrite)
    empty = () if prediction.labels.array.any() else ("No label was found; the label map is empty.",)
    warnings = (str(warning) for warning in prediction.warnings)
    record = {"case": case.name, "labels": str(output.labels), **prediction.provenance}
    return _Written(record, (*image.notes, *warnings, *empty, *remarks))


def _stack(models: Sequence[str]) -> Stack | None:
    """The stack that is named, if any (`napari-ctseg stack` writes them). Raises BundleError for one given
    with other models.
    """
    from ctseg_imaging.errors import BundleError
    from ctseg_models.ensembles.stack import DESCRIPTION, read_stack

    folders = [Path(name) for name in models if (Path(name) / DESCRIPTION).is_file()]
    if not folders:
        return None
    if len(models) > 1:
        raise BundleError(
            f"{folders[0]}: is a stack, which has its own members; give it without other models."
        )
    return read_stack(folders[0])


def _wanted(settings: InferenceSettings, members: int, stack: Stack | None) -> list[str]:
    """Which files will be written next to the labels."""
    single = members == 1 and stack is None
    disagreement = stack is None and (not single or settings.disagreement == "entropy")
    asked = {
        "probabilities": single and settings.probabilities,
        "edges": single and settings.edge_map,
        "disagreement": disagreement,
    }
    return [what for what, wanted in asked.items() if wanted]


@dataclass(frozen=True)
class _Work:
    """What is run on every case: one bundle, an ensemble or a stack. weights, combine : of an ensemble."""

    models: Sequence[Bundle] | Stack
    combine: Combination
    weights: Sequence[float] | None
    region: Region | None
    settings: InferenceSettings

    def predict(self, image: Volume) -> Prediction:
        """Run it, with its progress on stderr."""
        from ctseg_models.ensembles.stack import Stack

        where: dict[str, Any] = {"region": self.region, "settings": self.settings}
        if isinstance(self.models, Stack):
            from ctseg_models.ensembles.stacking import run_stack

            return follow(run_stack(self.models, image, **where))
        if len(self.models) == 1:
            from ctseg_models.inference import run

            return follow(run(self.models[0], image, **where))
        from ctseg_models.ensembles.ensemble import run_ensemble

        how: dict[str, Any] = {"combine": self.combine.value, "weights": self.weights}
        return follow(run_ensemble(self.models, image, **how, **where))
