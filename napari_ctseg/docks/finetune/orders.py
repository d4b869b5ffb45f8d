"""From what is chosen in the dock to an order for training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ctseg_imaging.volume import LabelMap, Volume, exact
from napari_ctseg.docks.finetune.cases import drawn_labels, write_dataset
from napari_ctseg.docks.finetune.jobs import Order
from napari_ctseg.docks.finetune.state import CaseSource, FineTuneState
from napari_ctseg.viewer.layers import label_map_of, volume_of

if TYPE_CHECKING:
    import napari

    from ctseg_models.contract.bundle import Bundle

Cases = Sequence[tuple[Volume, LabelMap]]


def order_of(state: FineTuneState, viewer: napari.viewer.Viewer, base: Bundle | None) -> Order:
    """The training as chosen; the masks are copied as they are now.

    base : the bundle called `state.start.base`. Raises CtsegError if a case cannot be trained on.
    """
    start, options = state.start, state.options
    order = Order(
        base,
        state.cases.folder,
        None,
        options.trainable.value,
        options.minutes,
        options.hold_out,
        options.name.strip(),
        start.recipe,
        start.features if start.needs_features else None,
    )
    if state.cases.source is CaseSource.FOLDER:
        return order
    cases = []
    for case in state.cases.rows:
        if case.ticked:
            mask = label_map_of(viewer.layers[case.mask])
            image = exact(volume_of(viewer.layers[case.image]), "train a model")
            cases.append((image, replace(mask, array=mask.array.copy())))
    return replace(order, data=None, write_cases=_writer(cases, base, order.name))


def _writer(cases: Cases, base: Bundle | None, name: str) -> Callable[[Path], None]:
    """A function that writes `cases` as a data set, with the model's labels or, from scratch, those drawn."""

    def write(folder: Path) -> None:
        labels = drawn_labels(mask for _, mask in cases) if base is None else base.labels
        write_dataset(folder, cases, labels, name)

    return write
