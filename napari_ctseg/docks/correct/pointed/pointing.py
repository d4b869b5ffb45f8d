"""Accepts, relabels, merges, splits and deletes what is under the pointer, in the dock's mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ctseg_imaging.errors import CtsegError
from ctseg_imaging.volume import Labels
from napari_ctseg.background.threads import ThreadedCall
from napari_ctseg.docks.correct.classes import add_class, labels_in, set_labels
from napari_ctseg.docks.correct.mask_dock import MaskDock
from napari_ctseg.docks.correct.pointed import changes
from napari_ctseg.docks.correct.pointed.changes import Extent
from napari_ctseg.docks.correct.pointed.pointer import Pointed, pointed
from napari_ctseg.docks.correct.state import AcceptState
from napari_ctseg.viewer.layers import is_label_map
from napari_ctseg.viewer.painting import NewValues, set_values

if TYPE_CHECKING:
    from napari.layers import Labels as LabelsLayer

Change = Callable[[NDArray[Any]], NDArray[Any]]
POINT = "Point at a slice of the mask first, with the mouse over the image."
NOTHING = "There is no class under the pointer."
NO_OTHER = "Open another label map on the mask's grid first, such as a prediction."


class Pointing:
    """Each operation is one undo step; locked classes stay, and so does what is painted meanwhile."""

    def __init__(self, dock: MaskDock, aside: ThreadedCall) -> None:
        self._dock, self._aside = dock, aside
        self._chosen = ""

    # ---- what is accepted from

    def refresh(self) -> None:
        """Bring the label layers that can be accepted from in line with the viewer."""
        dock, mask = self._dock, self._dock.layer
        layers = [one for one in dock.viewer.layers if is_label_map(one) and one is not mask]
        sources = tuple(one.name for one in layers if mask is not None and dock.on_grid(one))
        wanted = self._chosen, dock.study.prediction, dock.study.truth, *reversed(sources)
        dock.update(accept=AcceptState(sources, next((one for one in wanted if one in sources), None)))

    def choose_source(self, name: str) -> None:
        """Accept from this layer."""
        self._chosen = name
        self.refresh()

    # ---- what the user does

    def accept_component(self) -> None:
        """What is connected under the pointer becomes as in the other map."""
        self._accept(Extent.COMPONENT)

    def accept_slice(self) -> None:
        """The class under the pointer becomes as in the other map, in the slice that is shown."""
        self._accept(Extent.SLICE)

    def accept_class(self) -> None:
        """The class under the pointer becomes as in the other map."""
        self._accept(Extent.CLASS)

    def relabel(self) -> None:
        """The component under the pointer becomes the selected class."""
        if (found := self._pointed_class(into_selected=True)) is not None:
            here, value, into = found
            self._change(
                {"operation": "relabel component", "label": into},
                f"{self._labels.name(value)} becomes {self._labels.name(into)}",
                lambda mask: changes.component_changed(mask, here, into),
            )

    def merge(self) -> None:
        """All of the class under the pointer becomes the selected class."""
        if (found := self._pointed_class(into_selected=True)) is not None:
            _, value, into = found
            self._change(
                {"operation": "merge", "label": into, "merged": value},
                f"{self._labels.name(value)} becomes {self._labels.name(into)}",
                lambda mask: changes.merged(mask, value, into),
            )

    def delete(self) -> None:
        """The component under the pointer becomes background."""
        if (found := self._pointed_class()) is not None:
            here, value, _ = found
            self._change(
                {"operation": "delete component", "label": value},
                f"Component of {self._labels.name(value)} deleted",
                lambda mask: changes.component_changed(mask, here, 0),
            )

    def split(self) -> None:
        """Every component of the class under the pointer becomes a class."""
        if (found := self._pointed_class()) is None or (layer := self._dock.layer) is None:
            return
        value, labels, made = found[1], self._labels, list[Labels]()

        def change(mask: NDArray[Any]) -> NDArray[Any]:
            after, classes = changes.split(mask, value, labels)
            made.append(classes)
            return after

        def name_them() -> None:
            set_labels(layer, made[0])

        record = {"operation": "split", "label": value}
        self._change(record, f"{labels.name(value)} split into components", change, name_them)

    # ---- inside

    @property
    def _labels(self) -> Labels:
        return Labels() if self._dock.followed is None else self._dock.followed.labels

    def _why_locked(self, *values: int) -> str:
        followed = self._dock.followed
        locked = [] if followed is None else [one for one in values if one in followed.painting.rules.locked]
        return f"{self._labels.name(locked[0])} is locked; unlock it first." if locked else ""

    def _pointed(self) -> tuple[LabelsLayer, Pointed] | None:
        """The mask and the voxel under the pointer; the reason becomes the message if there is none."""
        dock, layer = self._dock, self._dock.layer
        why_not = dock.state.edit_why_not
        here = pointed(dock.viewer, layer) if layer is not None and not why_not else None
        if layer is None or here is None:
            dock.update(message=why_not or POINT, details="")
            return None
        return layer, here

    def _pointed_class(self, into_selected: bool = False) -> tuple[Pointed, int, int] | None:
        """The voxel, its class, and the selected one if that is what it is to become."""
        if (found := self._pointed()) is None:
            return None
        layer, here = found
        value, into = int(layer.data[here.voxel]), int(layer.selected_label) if into_selected else 0
        why_not = "" if value else NOTHING
        if into_selected and not why_not:
            why_not = "" if into else "Choose a class first."
            why_not = f"This is {self._labels.name(value)} already." if into == value else why_not
        why_not = why_not or self._why_locked(value, into)
        if why_not:
            self._dock.update(message=why_not, details="")
        return None if why_not else (here, value, into)

    def _accept(self, extent: Extent) -> None:
        dock = self._dock
        if (found := self._pointed()) is None:
            return
        layer, here = found
        try:
            other, values = self._class_to_accept(layer, here)
        except CtsegError as error:
            dock.update(message=str(error), details="")
            return
        theirs = other.data
        self._change(
            {"operation": f"accept {extent}", "label": values[0]},
            f"{self._labels.name(values[0])} as in “{other.name}”",
            lambda mask: changes.accepted(mask, theirs, values, extent, here),
        )

    def _class_to_accept(self, layer: LabelsLayer, here: Pointed) -> tuple[LabelsLayer, tuple[int, int]]:
        """The other map, and the value of the class in the mask and there. Classes are the same by name; one
        that the mask lacks is added. Raises CtsegError if there is nothing to accept.
        """
        name = self._dock.state.accept.source
        if name is None:
            raise CtsegError(NO_OTHER)
        other = self._dock.viewer.layers[name]
        mine, theirs = int(layer.data[here.voxel]), int(other.data[here.voxel])
        other_labels = labels_in(other, None)
        if theirs:
            mine = self._value_named(layer, other_labels.name(theirs))
        elif mine:
            class_name = self._labels.name(mine)
            known = {label.name.casefold(): label.value for label in other_labels}
            if class_name.casefold() not in known:
                raise CtsegError(f"“{name}” has no class “{class_name}”; there is nothing to accept.")
            theirs = known[class_name.casefold()]
        else:
            raise CtsegError(f"Neither the mask nor “{name}” has a class under the pointer.")
        if why_not := self._why_locked(mine):
            raise CtsegError(why_not)
        return other, (mine, theirs)

    def _value_named(self, layer: LabelsLayer, name: str) -> int:
        known = {label.name.casefold(): label.value for label in self._labels}
        if name.casefold() in known:
            return known[name.casefold()]
        followed = self._dock.followed
        add_class(layer, name, None if followed is None else followed.live)
        self._dock.show_numbers()
        return int(layer.selected_label)

    def _change(
        self, record: dict[str, Any], told: str, change: Change, before_it: Callable[[], None] | None = None
    ) -> None:
        """Compute in a thread, then write it as one undo step. before_it : called just before."""
        dock, layer = self._dock, self._dock.layer
        assert layer is not None, "the callers look"
        mask = np.array(layer.data)

        def done(new: NewValues) -> None:
            dock.update(working="")
            if layer not in dock.viewer.layers:
                return
            if before_it is not None:
                before_it()
            changed = set_values(layer, new, record)
            dock.update(message=f"{told}: {changed} voxels changed.")

        dock.update(working=str(record["operation"]), message="", details="")
        self._aside(lambda: NewValues.between(mask, change(mask)), done, dock.show_error)
