"""The texts of the Run model dock."""

from __future__ import annotations

from collections.abc import Sequence

from ctseg_models.contract.run_warning import WarningKind
from napari_ctseg.docks.run_model.state import BundleInfo, Combine, RunModelState, RunProgress
from napari_ctseg.keys import table as keys

KINDS = {"ctseg": "", "nnunet": "nnU-Net", "monai": "MONAI", "torchscript": "TorchScript", "onnx": "ONNX"}
COMBINE = {Combine.MEAN: "Mean of probabilities", Combine.VOTE: "Majority vote", Combine.STAPLE: "STAPLE"}

IMAGE = "The volume that the model reads."
MODELS = (
    "Tick one model, or several to run them as an ensemble. A padlock marks a model that asks before it "
    "runs. Keys: arrows to move, Space to tick."
)
ADD = (
    "Adds a model from disk: a folder (of this project, nnU-Net results, MONAI) or a file (.zip, ONNX, "
    f"TorchScript). You can also drop it on this dock. Key: {keys.ADD_MODEL.name}"
)
CARD = "What the model is for, what it is not for, how it was trained and how it was evaluated."
MORE = "Verify, export, edit a network's description, or withdraw a permission."
COMBINED = (
    "How the models' results are combined: the mean of their probabilities, a majority vote in each voxel, "
    "or STAPLE, which weights each model by its agreement with the others."
)
WEIGHT = "The weight of this model in the ensemble."
NO_LOCALISER = (
    "Whole volume: none of the ticked models locates its region by itself. A box I drew: rectangles in a "
    "shapes layer."
)
REGION = (
    "Found by the model: its localiser decides where to segment. Whole volume: slower, and coarser for a "
    "large volume. A box I drew: rectangles in a shapes layer."
)
BOX = "The shapes layer whose rectangles span the box."
DRAW = (
    "Adds a shapes layer. Drag a rectangle on the image; a rectangle in a second plane also limits the third "
    f"axis. Key: {keys.DRAW_BOX.name}"
)
DEVICE = "cpu works everywhere; cuda is an NVIDIA GPU, mps an Apple GPU."
PRECISION = (
    "auto: bf16 where a short measurement shows that it is faster. fp32: as trained. bf16: half the memory."
)
MIRRORING = (
    "Test-time augmentation: averages the results of mirrored copies of the image. Smoother borders, several "
    "times the run time."
)
EDGES = "Adds a hidden image that is bright where the model is uncertain about the border of two classes."
ENTROPY = (
    "Adds a hidden image of the entropy: 0 where one label is certain, 1 where all labels are equally "
    "likely. For an ensemble it replaces the disagreement map."
)
PROBABILITIES = (
    "Keeps the model's probabilities with the mask, for Refine in Correct & export, which changes a label's "
    "volume. The run needs more memory (see Estimate); more than 512 MB are not kept."
)
EXPECTED = f"Loads the model and estimates the time and memory of a run. Key: {keys.ESTIMATE.name}"
RUN = f"Runs the model and adds its result as a labels layer. Key: {keys.RUN.name}"
CANCEL = f"Stops the run; no layer is added. Key: {keys.CANCEL.name}"
DETAILS = "How the result was computed, or the full error for a report."
DESCRIBE = (
    "Edits this network's side file: channels, sizes, classes. Nothing is written until you press Save."
)
RUNS = "A model is running."
QUEUED = "Queued: waiting for another task to finish"
CANCELLED = "Cancelled; no layer was added."
NO_ESTIMATE = "No estimate until you allow this model to run its own code. Press Run to decide."
MOST_CAUTIONS = 3
SURE = (
    "Confidence (not correctness): volume in ml, mean probability inside (p), share of voxels with a "
    "probability above 0.9"
)


def duration(seconds: float) -> str:
    """Seconds in a unit that suits them."""
    if seconds < 1:
        return "under a second"
    if seconds < 90:
        return f"{round(seconds)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def expected(state: RunModelState) -> str:
    """What the run will take, "" while that is not known."""
    if state.estimating:
        return "Working out time and memory…"
    if state.estimate is None:
        return ""
    return f"Expected: {duration(state.estimate.seconds)}, {state.estimate.bytes / 1e9:.1f} GB of memory."


def progress(now: RunProgress) -> str:
    """What a run does, and how long it will still take where that is known."""
    left = "" if now.seconds_left is None else f" – {duration(now.seconds_left)} left"
    return f"{now.stage}{left}"


def done(result: str, seconds: float, *, empty: bool, maps: bool, covered: Sequence[str]) -> str:
    """A run has ended. result : the layer's name. covered : names of earlier results that are hidden now."""
    sentences = [f'Done in {duration(seconds)}: "{result}".']
    if empty:
        sentences.append("No label was found: the layer is empty.")
    if maps:
        sentences.append("Its maps were added as hidden layers.")
    if covered:
        sentences.append(f"Hidden below it: {quoted(covered)}.")
    return " ".join(sentences)


def quoted(names: Sequence[str]) -> str:
    """Names of layers in a sentence."""
    return ", ".join(f'"{name}"' for name in names)


def kind(info: BundleInfo) -> str:
    """The format, "" for this project's own."""
    return KINDS.get(info.kind, info.kind)


def model_tip(info: BundleInfo) -> str:
    """The tooltip of a model in the list."""
    what = ", ".join(filter(None, (kind(info), info.modality)))
    parts = [f"{info.name}: {what}; {', '.join(info.labels)}"]
    if len(info.channels) > 1:
        parts.append(f"Reads {len(info.channels)} images: {', '.join(info.channels)}.")
    if info.needs_trust:
        parts.append("Asks before it runs:" if info.locked else "You allowed it to run its code:")
        parts += info.needs_trust
    return "\n".join(parts)


def about(info: BundleInfo, state: RunModelState) -> str:
    """The lines under the list (HTML): the models of an ensemble, and the current model."""
    from html import escape

    lines = [f"Ensemble: {escape(', '.join(state.chosen))}."] if len(state.chosen) > 1 else []
    name = f"{info.name}, " if (info.name,) != state.chosen else ""
    modality = f"{info.modality}: " if info.modality else ""
    lines.append(f"<b>{escape(name + modality + shortened(info.labels))}</b>")
    if info.about:
        lines.append(escape(info.about))
    if info.locked:
        more = f" and {len(info.needs_trust) - 1} more" if len(info.needs_trust) > 1 else ""
        lines.append(f"<b>Asks before it runs</b> its own code: {escape(info.needs_trust[0])}{more}.")
    return "<br>".join(lines)


def shortened(labels: tuple[str, ...], most: int = 12) -> str:
    """A model may know a hundred labels; the tooltip and the card have them all."""
    beyond = len(labels) - most
    return ", ".join(labels[:most]) + (f" and {beyond} more" if beyond > 0 else "")


def cautions(state: RunModelState) -> str:
    """The run's warnings that were not shown before it; what is too long for the dock is under Details."""
    new = [
        warning.text
        for warning in state.summary.cautions
        if warning.text not in state.warnings and warning.kind is not WarningKind.PRECISION
    ]
    beyond = len(new) - MOST_CAUTIONS
    return "\n".join([*new[:MOST_CAUTIONS], *([f"And {beyond} more under Details."] if beyond > 0 else [])])


def sure(state: RunModelState) -> str:
    """The heading of the table of confidence, "" without one."""
    if not state.summary.confidence:
        return ""
    measured = [row for row in state.summary.confidence if row.disagreement is not None]
    if not measured:
        return f"{SURE}."
    measure = (
        "mean entropy (0: certain)" if measured[0].entropy else "mean disagreement of the models (0: none)"
    )
    return f"{SURE}, {measure}."


def precision_notes(state: RunModelState) -> str:
    """The run's remarks on precision, one a line."""
    return "\n".join(
        warning.text for warning in state.summary.cautions if warning.kind is WarningKind.PRECISION
    )


def mirroring(state: RunModelState) -> str:
    """The choice of mirroring with its cost."""
    counts = {info.mirror_axes for info in state.members if info.mirror_axes != 0}
    if state.why_no_mirroring or not counts:
        return "Mirroring"
    if None in counts:
        return "Mirroring (up to x8 the time)"
    return f"Mirroring (x{2 ** max(count for count in counts if count is not None)} the time)"
