"""The options of the brush: its size, and which voxels it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from magicgui.widgets import Label

from napari_ctseg.docks.widgets import form

if TYPE_CHECKING:
    from napari_ctseg.docks.correct.brush import Brush
    from napari_ctseg.docks.correct.state import BrushState, HuLimits

DIAMETER = "Diameter of the brush, in steps of whole voxels. Keys: [ and ]"
BALL = "The brush is a ball that also paints the neighbouring slices."
ONLY_HU = "The brush changes only voxels whose image value lies in this range."
LOW = "The lowest image value that the brush changes."
HIGH = "The highest image value that the brush changes."
ONLY_BACKGROUND = "The brush does not overwrite other classes. Key: B"
LEAST_STEP_MM = 0.1


class BrushOptions(form.Form):
    """Diameter, disc or ball, HU limits, and whether other classes are protected."""

    def __init__(self) -> None:
        self.title = Label(value="Brush")
        self.diameter = form.number("diameter", 0.1, 200, 1, " mm")
        self.ball = form.check("ball", "3D")
        self.only_hu = form.check("only_hu", "Only HU")
        self.low = form.number("low", -5000, 20000, 10, decimals=0)
        self.high = form.number("high", -5000, 20000, 10, decimals=0)
        self.only_background = form.check("only_background", "Only on background")
        super().__init__(
            form.row(self.title, self.diameter, self.ball),
            form.row(self.only_hu, self.low, self.high),
            self.only_background,
            labels=False,
        )

    def connect_to(self, brush: Brush) -> None:
        """Pass changes on to `brush`."""
        self.diameter.changed.connect(brush.set_diameter)
        self.ball.changed.connect(brush.set_3d)
        self.only_background.changed.connect(brush.set_only_background)
        for field in (self.only_hu, self.low, self.high):
            field.changed.connect(
                lambda _: brush.set_hu_limits(self.only_hu.value, self.low.value, self.high.value)
            )

    def draw(self, brush: BrushState, hu: HuLimits, why_not: str) -> None:
        """why_not : why nothing can be painted, "" if it can."""
        self.diameter.native.setSingleStep(max(LEAST_STEP_MM, brush.step_mm))
        form.show(self.diameter, brush.diameter_mm)
        form.show(self.ball, brush.in_3d)
        form.show(self.only_background, brush.only_background)
        form.able(self.diameter, why_not, DIAMETER)
        form.able(self.ball, why_not, BALL)
        form.able(self.only_background, why_not, ONLY_BACKGROUND)
        self._draw_hu(hu, why_not or hu.why_not)
        self.title.min_width = self.title.max_width = self.only_hu.native.sizeHint().width()

    def _draw_hu(self, hu: HuLimits, why_not: str) -> None:
        off = "" if hu.on else 'Tick "Only HU" first.'
        form.show(self.only_hu, hu.on)
        form.show(self.low, hu.low_hu)
        form.show(self.high, hu.high_hu)
        form.able(self.only_hu, why_not, ONLY_HU)
        form.able(self.low, why_not or off, LOW)
        form.able(self.high, why_not or off, HIGH)
