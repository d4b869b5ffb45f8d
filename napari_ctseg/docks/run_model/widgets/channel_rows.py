"""One row for each image that a model with several channels reads."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QWidget

from napari_ctseg import parts
from napari_ctseg.docks.run_model import words
from napari_ctseg.docks.run_model.state import RunModelState


class ChannelRows(QWidget):  # type: ignore[misc]
    """chosen : (number of the channel, name of the image). Hidden for models that read a single image."""

    chosen = Signal(int, str)

    def __init__(self) -> None:
        super().__init__()
        self.form = QFormLayout(self)
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.combos: list[QComboBox] = []
        self._wanted: tuple[str, ...] = ()

    def draw(self, state: RunModelState) -> None:
        """One row for each channel of the chosen models."""
        wanted = state.wanted if len(state.sources) > 1 else ()
        if wanted != self._wanted:
            self._build(wanted)
        for combo, source in zip(self.combos, state.sources, strict=False):
            parts.fill(combo, state.images, source or None)
            parts.able(
                combo,
                words.RUNS if state.busy else "",
                "The image for this channel. All images need the same grid.",
            )
        self.setVisible(bool(wanted))

    def _build(self, wanted: tuple[str, ...]) -> None:
        self._wanted, self.combos = wanted, []
        while self.form.rowCount():
            self.form.removeRow(0)
        for number, name in enumerate(wanted):
            combo = parts.combo("")
            combo.textActivated.connect(lambda text, number=number: self.chosen.emit(number, text))
            self.combos.append(combo)
            self.form.addRow(name, combo)
