"""How the Run model dock says things."""

from __future__ import annotations

from collections.abc import Sequence

from ctseg_models.contract.run_warning import WarningKind
from napari_ctseg.docks.run_model.state import BundleInfo, Combine, RunModelState

KINDS = {"ctseg": "", "nnunet": "nnU-Net", "monai": "MONAI", "torchscript": "TorchScript", "onnx": "ONNX"}
COMBINE = {Combine.MEAN: "Mean of probabilities", Combine.VOTE: "Majority vote", Combine.STAPLE: "STAPLE"}

IMAGE = "The volume that the model reads."
MODELS = (
    "Tick one model, or several to run them as an ensemble. A lock: it asks before it runs. Keys: "
    "arrows, Space ticks."
)
ADD = (
    "Takes a model from the disk: a folder (this project's, nnU-Net's results, MONAI's) or a file (.zip, "
    "ONNX, TorchScript). "
    "Or drop it onto this dock. Key: Ctrl+Shift+M"
)
CARD = "What the model is for, what not, what it was trained on and how it was measured."
MORE = "Verify, export, edit a network's description, and withdraw what was allowed."
COMBINED = (
    "How several models become one answer: the mean of their probabilities; a vote in each voxel; or STAPLE, "
    "which weighs each "
    "model by how well it agrees with the others."
)
WEIGHT = "How much this model counts next to the others."
NO_LOCALISER = (
    "Whole volume: none of the ticked models finds by itself where to look. A box I drew: "
    "rectangles in a shapes layer."
)
REGION = (
    "Found by the model: its localiser decides where to look. Whole volume: slower, coarser if it is large. "
    "A box I drew: rectangles in a shapes layer."
)
BOX = "The shapes layer whose rectangles are the box."
DRAW = (
    "Adds a shapes layer: drag a rectangle on the image; one in a second plane limits the third axis too. "
    "Key: Ctrl+Shift+B"
)
DEVICE = "cpu works everywhere; cuda is an NVIDIA card, mps an Apple one."
PRECISION = (
    "auto: bf16 where a short measurement shows that it is faster. fp32: as trained. bf16: half the memory."
)
MIRRORING = (
    "Runs the model on mirrored copies of the image too and takes the mean: smoother borders, for a "
    "multiple of the time."
)
EDGES = "Adds a hidden image that is bright where the model is least sure between two classes."
ENTROPY = (
    "Adds a hidden image of the entropy: 0 where one label is sure, 1 where all are as likely. Of several "
    "models it takes the place "
    "of the share of them that differs."
)
EXPECTED = "Loads the model and works out what a run will take. Key: Ctrl+Shift+E"
RUN = "Runs the model; a labels layer with its name is added. Key: Ctrl+Return"
CANCEL = "Stops; the dock is ready at once, and no layer is added. Key: Ctrl+Shift+X"
DETAILS = "What lies behind this: how the result was made, or what exactly went wrong, for a report."
DESCRIBE = (
    "Opens the form with what this network's side file says: channels, sizes, classes. Nothing is written "
    "before you save."
)
RUNS = "A model is running."
QUEUED = "Queued: waiting for another task to finish"
CANCELLED = "Cancelled; no layer was added."
NO_ESTIMATE = "No estimate until you allow this model to run its own code. Press Run to decide."
MOST_CAUTIONS = 3
SURE = (
    "How sure the model is (not whether it is right): volume in ml, mean probability inside (p), share of "
    "it above 0.9"
)


def duration(seconds: float) -> str:
    """Seconds as a user says them."""
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
    """What the list says of a model under the mouse."""
    what = ", ".join(filter(None, (kind(info), info.modality)))
    parts = [f"{info.name}: {what}; {', '.join(info.labels)}"]
    if len(info.channels) > 1:
        parts.append(f"Reads {len(info.channels)} images: {', '.join(info.channels)}.")
    if info.needs_trust:
        parts.append("Asks before it runs:" if info.locked else "You allowed it to run its code:")
        parts += info.needs_trust
    return "\n".join(parts)


def about(info: BundleInfo, state: RunModelState) -> str:
    """The lines under the list (HTML): who runs together, and the model that is looked at."""
    from html import escape

    lines = [f"Together: {escape(', '.join(state.chosen))}."] if len(state.chosen) > 1 else []
    name = f"{info.name}, " if (info.name,) != state.chosen else ""
    modality = f"{info.modality}: " if info.modality else ""
    lines.append(f"<b>{escape(name + modality + shortened(info.labels))}</b>")
    if info.about:
        lines.append(escape(info.about))
    if info.locked:
        more = f" and {len(info.needs_trust) - 1} more" if len(info.needs_trust) > 1 else ""
        lines.append(f"<b>Asks before it runs</b> code of its own: {escape(info.needs_trust[0])}{more}.")
    return "<br>".join(lines)


def shortened(labels: tuple[str, ...], most: int = 12) -> str:
    """A model may know a hundred labels; the tooltip and the card have them all."""
    beyond = len(labels) - most
    return ", ".join(labels[:most]) + (f" and {beyond} more" if beyond > 0 else "")


def cautions(state: RunModelState) -> str:
    """What a result asks to be careful about, beyond what was said before the run; what is too long for the
    dock is under Details.
    """
    new = [
        warning.text
        for warning in state.cautions
        if warning.text not in state.warnings and warning.kind is not WarningKind.PRECISION
    ]
    beyond = len(new) - MOST_CAUTIONS
    return "\n".join([*new[:MOST_CAUTIONS], *([f"And {beyond} more under Details."] if beyond > 0 else [])])


def sure(state: RunModelState) -> str:
    """The heading of the table of confidence, "" without one."""
    if not state.confidence:
        return ""
    measured = [row for row in state.confidence if row.disagreement is not None]
    if not measured:
        return f"{SURE}."
    measure = (
        "mean entropy (doubt, 0: none)" if measured[0].entropy else "where the models differ (0: nowhere)"
    )
    return f"{SURE}, {measure}."


def precision_notes(state: RunModelState) -> str:
    """What was said about precision only, one line each."""
    return "\n".join(warning.text for warning in state.cautions if warning.kind is WarningKind.PRECISION)


def mirroring(state: RunModelState) -> str:
    """The choice of mirroring with its cost."""
    counts = {info.mirror_axes for info in state.members if info.mirror_axes != 0}
    if state.why_no_mirroring or not counts:
        return "Mirroring"
    if None in counts:
        return "Mirroring (up to x8 the time)"
    return f"Mirroring (x{2 ** max(count for count in counts if count is not None)} the time)"
