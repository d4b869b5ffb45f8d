"""What the keys do with what is under the pointer, in the Correct & export dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_ctseg import parts
from napari_ctseg.keys import Gesture
from napari_ctseg.keys import table as keys

if TYPE_CHECKING:
    from napari_ctseg.docks.correct.pointed.pointing import Pointing
    from napari_ctseg.docks.correct.state import AcceptState

SOURCE = "The label layer that a class, a slice or a component is accepted from by key."
ACCEPT: tuple[tuple[Gesture, str], ...] = (
    (keys.ACCEPT_COMPONENT, "component"),
    (keys.ACCEPT_SLICE, "slice"),
    (keys.ACCEPT_CLASS, "class"),
)
OWN: tuple[tuple[Gesture, str], ...] = (
    (keys.RELABEL, "relabel"),
    (keys.DELETE_COMPONENT, "delete"),
    (keys.MERGE, "merge"),
    (keys.SPLIT, "split"),
)


class PointedSection(parts.Section):
    """The other map, and the keys."""

    def __init__(self) -> None:
        super().__init__()
        self.source = parts.combo(SOURCE)
        self.accept, self.own = _lines("Accept under the pointer", ACCEPT), _lines("Under the pointer", OWN)
        self.from_ = parts.group([parts.form(("Accept from", self.source)), self.accept])
        self.stack(self.from_, self.own)

    def connect_to(self, pointing: Pointing) -> None:
        """Pass the choice on to `pointing`."""
        self.source.textActivated.connect(pointing.choose_source)

    def draw(self, accept: AcceptState, why_not: str) -> None:
        """why_not : why the mask cannot be changed, "" if it can."""
        self.setVisible(not why_not)
        self.from_.setVisible(bool(accept.sources))
        parts.fill(self.source, accept.sources, accept.source)


def _lines(beginning: str, keys_of: tuple[tuple[Gesture, str], ...]) -> parts.Text:
    """The keys with one word each; the tooltip says all."""
    text = parts.text()
    text.setText(f"{beginning}: " + ", ".join(f"<b>{key.name}</b> {word}" for key, word in keys_of))
    text.setToolTip("<br>".join(f"{key.name}: {key.does}." for key, _ in keys_of))
    return text
