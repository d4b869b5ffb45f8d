"""Forms of the docks: fields of magicgui that are drawn from a state."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import CheckBox, Container, FloatSpinBox, Widget
from qtpy.QtCore import QSignalBlocker

SPACING = 4  # px, between the fields of a row


class Form(Container):  # type: ignore[type-arg]
    """Fields one below the other, next to their labels where there are any."""

    def __init__(self, *fields: Widget, labels: bool = True) -> None:
        super().__init__(labels=labels)
        self.margins = (0, 0, 0, 0)
        self.extend(fields)  # labels that are added to a finished container get one width


def row(*fields: Widget) -> Container[Widget]:
    """Fields side by side."""
    made = Container(widgets=fields, layout="horizontal", labels=False)
    made.margins = (0, 0, 0, 0)
    made.native.layout().setSpacing(SPACING)
    return made


def number(
    name: str, low: float, high: float, step: float, unit: str = "", decimals: int = 1
) -> FloatSpinBox:
    """A number with its unit, taken over when the typing has ended."""
    field = FloatSpinBox(name=name, min=low, max=high, step=step)
    field.native.setDecimals(decimals)
    field.native.setSuffix(unit)
    field.native.setKeyboardTracking(False)
    return field


def check(name: str, words: str, tip: str = "") -> CheckBox:
    """A choice that is on or off."""
    return CheckBox(name=name, text=words, tooltip=tip)


def show(field: Any, value: Any) -> None:
    """Set a value without a signal; one that is shown already keeps the cursor in its place. A number beyond
    the field's range is shown as the end of the range.
    """
    if isinstance(field, FloatSpinBox):
        value = min(max(value, field.min), field.max)
    if field.value != value:
        with field.changed.blocked(), QSignalBlocker(field.native):
            field.value = value


def able(field: Widget, why_not: str, tip: str) -> None:
    """Enable the field, or grey it out with the reason as its tooltip."""
    field.enabled = not why_not
    field.tooltip = why_not or tip
